"""Pages and forms. Messages for the next page wait in the message box."""

from typing import Annotated

from msgspec import Meta

from . import accounts

Name = Annotated[str, Meta(pattern=r"^\w{1,30}$")]
Password = Annotated[str, Meta(min_length=10, max_length=200)]


def __mount__(app, mntopt):
    @app.get("/")
    @app.login_required
    def home(was):
        return was.render("home.j2", name=was.request.user, role=was.session["role"])

    @app.get("/login")
    def login_form(was):
        return was.render("login.j2")

    @app.post("/login")
    def login(was, name: str, password: str):
        account = accounts.authenticate(was, name, password)
        if account is None:
            was.mbox.send("That name and password are not right.", "error")
            return was.redirect(was.urlfor("pages.login_form"), status="303 See Other")
        was.session.expire()  # nothing of the session before is kept
        was.session["user"] = account.name
        was.session["role"] = account.role
        was.generate_csrf()
        return was.redirect(was.urlfor("pages.home"), status="303 See Other")

    @app.get("/register")
    def register_form(was):
        return was.render("register.j2")

    @app.post("/register")
    def register(was, name: Name, password: Password):
        if not accounts.create(was, name, password):
            was.mbox.send("That name is taken.", "error")
            return was.redirect(was.urlfor("pages.register_form"), status="303 See Other")
        was.mbox.send(f"Welcome, {name}. Now log in.", "notice")
        return was.redirect(was.urlfor("pages.login_form"), status="303 See Other")

    @app.post("/logout")
    def logout(was):
        was.session.expire()
        return was.redirect(was.urlfor("pages.login_form"), status="303 See Other")

    @app.get("/admin")
    @app.permission_required(["admin"])
    def admin(was):
        return was.render("admin.j2", accounts=accounts.everybody(was))
