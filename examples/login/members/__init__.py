"""The app: its hooks, and what guards every request."""

import skitai
from atila import Atila

from . import accounts


def __config__(pref):
    skitai.alias("@accounts", skitai.DB_SQLITE3, "accounts.sqlite3")


def __app__():
    return Atila(__name__)


def __setup__(app, mntopt):
    from . import pages

    app.mount("/", pages)

    # Every request that isn't GET, HEAD, OPTIONS or TRACE needs the token of a page of ours.
    @app.before_request
    @app.csrf_verification_required
    def before_request(was):
        was.response.set_header("Cache-Control", "no-store")  # pages are of one user

    # For routes with login_required (an empty set) and permission_required.
    @app.permission_handler
    def permission_handler(was, permissions):
        was.request.user = was.session["user"]
        if was.request.user is None:
            raise was.Error("401 Unauthorized", "log in first")
        if permissions and was.session["role"] not in permissions:
            raise was.Error("403 Forbidden", f"only for {' and '.join(sorted(permissions))}")

    @app.error_handler(401)
    def unauthorized(was, error):
        return was.render("login.j2")


def __mounted__(app, mntopt):
    accounts.prepare(app.was)
