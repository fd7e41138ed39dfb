"""Users in SQLite. `python3 users.py NAME ROLE` adds one and prints the password."""

import secrets
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from atila.tokens.password_hash import encrypt_password

FILE = str(Path(__file__).with_name("users.sqlite3"))
SCHEMA = """
    create table if not exists user (name text primary key, role text, salt text, signature text)
"""


def prepare(was):
    """Make the table; called in every worker before its first request."""
    was.db("@users").execute(SCHEMA).commit()


def authenticate(was, name, password):
    """The user of this name and password, or None. It takes 0.2 seconds on purpose."""
    rows = was.db("@users").select("user").filter(name=name).execute().fetch()
    user = rows[0] if rows else None
    # Empty ones for a name that nobody has: it takes as long, so the time tells nobody who is here.
    salt, signature = (user.salt, user.signature) if user else ("", "")
    return user if was.verify_password(password, salt, signature) else None


def add(name, role):
    """Store a user, or another role of one; give the new password."""
    password = secrets.token_urlsafe(12)
    with closing(sqlite3.connect(FILE)) as connection, connection:
        connection.execute(SCHEMA)
        values = (name, role, *encrypt_password(password))
        connection.execute("insert or replace into user values (?, ?, ?, ?)", values)
    return password


if __name__ == "__main__":
    _, name, role = sys.argv
    print(f"the password of {name} is {add(name, role)}")
