"""An API for programs that log in once and send a token: `python3 serve.py --devel`"""

import os
import time

import skitai
from atila import Atila

import users

app = Atila(__name__)
LIFETIME = 900  # seconds; a token can't be revoked, so it is short


@app.on("mounted")
def prepare(was):
    users.prepare(was)


@app.post("/tokens", authenticate=False)
def log_in(was, username: str, password: str):
    """Trade name and password for a token."""
    user = users.authenticate(was, username, password)
    if user is None:
        raise was.Error("401 Unauthorized", "unknown name or wrong password")
    claims = {"username": user.name, "role": user.role, "exp": time.time() + LIFETIME}
    return was.API("201 Created", token=was.encode_jwt(claims), expires_in=LIFETIME)


# The framework has checked signature and end of the token before a route is called, see below.
@app.get("/me")
async def me(was):
    """Who the token belongs to."""
    return was.API(name=was.request.user.name, role=was.request.user["role"])


@app.permission_handler
def permission_handler(was, permissions):
    if permissions and was.request.user["role"] not in permissions:
        raise was.Error("403 Forbidden", f"only for {' and '.join(sorted(permissions))}")


@app.get("/reports")
@app.permission_required(["staff"])
async def reports(was):
    """For those whose role is staff."""
    return was.API(reports=["income", "losses"])


def secret_key():
    """What tokens are signed with. In production it has to come from outside."""
    key = os.environ.get("TOKENS_SECRET")
    if not key and not skitai.is_devel():
        raise skitai.ConfigError("TOKENS_SECRET is not set: give a random text of 32 characters")
    return key or "only for development, 32 letters"


if __name__ == "__main__":
    skitai.alias("@users", skitai.DB_SQLITE3, users.FILE)
    with skitai.preference() as pref:
        pref.securekey = secret_key()
        pref.authenticate = "bearer"  # all routes need a token, but those that say otherwise
        skitai.mount("/", app, pref)

    skitai.run(port=5000, name="tokens")
