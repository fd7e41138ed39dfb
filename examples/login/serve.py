"""Accounts with passwords, sessions and permissions: `python3 serve.py --devel`, then open
http://127.0.0.1:5000/
"""

import os

import skitai

import members


def secret_key():
    """The key of sessions. In production it has to come from outside, and be the same for ever."""
    key = os.environ.get("LOGIN_SECRET")
    if not key and not skitai.is_devel():
        raise skitai.ConfigError(
            "LOGIN_SECRET is not set: give a long random text, as from"
            " python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return key or "only for development, 32 letters"


if __name__ == "__main__":
    with skitai.preference() as pref:
        pref.securekey = secret_key()
        pref.session_timeout = 3600  # seconds after the last change
        skitai.mount("/", members, pref)

    skitai.run(port=5000, name="login")
