"""Packs what was ordered, one after the other; the service keeps it running."""

import sqlite3
import time
from pathlib import Path

FILE = Path(__file__).with_name("orders.sqlite3")
PAUSE = 0.2  # seconds between two looks when nothing is to be done
NEXT = "select id, item from orders where packed is null order by id limit 1"
DONE = "update orders set packed = current_timestamp where id = ?"

connection = sqlite3.connect(FILE, timeout=10, isolation_level=None)
while True:
    found = connection.execute(NEXT).fetchone()
    if found is None:
        time.sleep(PAUSE)
        continue
    number, item = found
    # If this fails, or is killed, the order is still there when the next packer starts.
    print(f"order {number}: {len(item)} characters on the label")
    connection.execute(DONE, (number,))
