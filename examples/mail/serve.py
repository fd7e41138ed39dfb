"""Invitations by mail: `python3 serve.py --devel`; mail goes to SMTP_SERVER."""

import os
from typing import Annotated

import skitai
from atila import Atila
from msgspec import Meta

app = Atila(__name__)
Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^\r\n]+$")]
Address = Annotated[str, Meta(max_length=200, pattern=r"^[^@\s,<>]+@[^@\s,<>]+$")]


@app.post("/invitations")
def invite(was, name: Name, address: Address):
    """Hand a mail over: it is on the disk when send() returns, and workers deliver it."""
    mail = was.email("Come to tea", "The tea house <tea@example.com>", address)
    mail.add_text(was.render("invitation.txt", name=name))
    # The same for clients that show pages; values are escaped there.
    mail.add_content(was.render("invitation.j2", name=name), "text/html")
    mail.add_attachment(b"name,place\ntea,table 3\n", "table.csv")
    return was.API("202 Accepted", id=mail.send().fetch())


if __name__ == "__main__":
    # user=, password= and ssl= for a server of a provider; take them from the environment as well.
    skitai.set_smtp(os.environ.get("SMTP_SERVER", "127.0.0.1:2525"))
    skitai.mount("/", app)
    skitai.run(port=5000, name="mail-example")  # the name of the directory where mail waits
