"""Accounts in the database. Hashing a password takes 0.2 seconds: call these in plain functions."""

import sqlite3

SCHEMA = """
    create table if not exists account (
        name text primary key collate nocase,
        salt text not null,
        signature text not null,
        role text not null
    )
"""


def prepare(was):
    """Make the table; called in every worker before its first request."""
    was.db("@accounts").execute(SCHEMA).commit()


def create(was, name, password):
    """Store a new account; False if the name is taken. The first one is that of the admin."""
    salt, signature = was.encrypt_password(password)
    with was.transaction("@accounts") as tx:
        count = tx.execute("select count(*) as accounts from account").one().accounts
        role = "member" if count else "admin"
        values = {"name": name, "salt": salt, "signature": signature, "role": role}
        try:
            tx.insert("account").set(values).execute()
        except sqlite3.IntegrityError:
            return False
        tx.commit()
    return True


def authenticate(was, name, password):
    """The account of this name and password, or None."""
    rows = was.db("@accounts").select("account").filter(name=name).execute().fetch()
    account = rows[0] if rows else None
    # Empty ones for a name that nobody has: it takes as long, so the time tells nobody who is here.
    salt, signature = (account.salt, account.signature) if account else ("", "")
    return account if was.verify_password(password, salt, signature) else None


def everybody(was):
    """All accounts, without what belongs to their passwords."""
    query = was.db("@accounts").select("account").get("name, role").order_by("name")
    return query.execute().fetch()
