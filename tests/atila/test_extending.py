"""Extending and overriding: whose routes, hooks, templates and names win."""

from __future__ import annotations

import pytest
from driving import Driver, module

from atila import Atila
from atila.errors import ConfigError


@pytest.fixture
def app():
    return Atila("myapp")


def serving(name, *children, file="", **rules):
    """A module whose routes answer ``<module>: <resource id>``."""

    def setup(app):
        for point, child in children:
            app.mount(point, child)

    def mount(app):
        for resource, rule in rules.items():

            def show(was, **parameters):
                return f"{name}: {was.request.routable['func_id']}"

            show.__name__ = resource
            app.route(rule)(show)

    return module(name, __setup__=setup, __mount__=mount, __file__=file or f"/nowhere/{name}.py")


def texts(driver, *paths):
    return [driver.get(path).text for path in paths]


def test_what_the_app_has_not_is_taken_from_what_it_extends(app):
    app.extends(serving("base", index="/", more="/more"))
    driver = Driver(app, module=serving("myapp", index="/", own="/own"))
    assert texts(driver, "/", "/own", "/more") == ["myapp: index", "myapp: own", "base: more"]


def test_the_path_of_the_app_wins_whatever_the_resource_is_called(app):
    app.extends(serving("base", base_index="/", base_user="/users/<user>"))
    driver = Driver(app, module=serving("myapp", index="/", show="/users/<name>", me="/users/me"))
    assert texts(driver, "/", "/users/me", "/users/kim") == [
        "myapp: index", "myapp: me", "myapp: show"
    ]  # fmt: skip


def test_a_resource_that_the_app_moves_is_not_served_at_its_old_place(app):
    app.extends(serving("base", login="/login"))
    driver = Driver(app, module=serving("myapp", login="/account/login"))
    assert driver.get("/account/login").text == "myapp: login"
    assert driver.get("/login").status == 404
    assert app.urls.build("login") == "/account/login"


def test_methods_are_taken_over_one_by_one(app):
    def declare(name, **methods):
        def mount(app):
            for resource, method in methods.items():
                route = app.route("/x", methods=[method])

                def show(was):
                    return name

                show.__name__ = resource
                route(show)

        return module(name, __mount__=mount, __file__=f"/nowhere/{name}.py")

    app.extends(declare("base", base_get="GET", base_post="POST"))
    driver = Driver(app, module=declare("myapp", own_get="GET"))
    assert driver.get("/x").text == "myapp"
    assert driver.request("POST", "/x").text == "base"


def test_overriding_modules_win(app):
    app.overrides(serving("custom", index="/", login="/sign-in", more="/more"))
    driver = Driver(app, module=serving("myapp", index="/", login="/login", own="/own"))
    assert texts(driver, "/", "/own", "/more", "/sign-in") == [
        "custom: index", "myapp: own", "custom: more", "custom: login"
    ]  # fmt: skip
    assert app.urls.build("login") == "/sign-in"


def test_a_function_can_override(app):
    def custom(app, mntopt):
        assert mntopt["overrides"] is True

        @app.route("/")
        def index(was):
            return "custom"

    app.overrides(custom)
    assert Driver(app, module=serving("myapp", index="/")).get("/").text == "custom"


def test_of_several_the_first_extended_and_the_last_overriding_win(app):
    both = {"a": "/a", "b": "/b", "c": "/c"}
    for name in ("base1", "base2"):
        app.extends(serving(name, **both))
    for name in ("custom1", "custom2"):
        app.overrides(serving(name, c="/c"))
    driver = Driver(app, module=serving("myapp", b="/b", c="/c"))
    assert texts(driver, "/a", "/b", "/c") == ["base1: a", "myapp: b", "custom2: c"]


def test_nested_modules_have_the_priority_of_their_root(app):
    def tree(name):
        books = serving(f"{name}.services.books", show="/show", **{f"{name}_only": f"/{name}"})
        services = serving(f"{name}.services", ("/books", books), index="/")
        return serving(name, ("/", services))

    app.extends(tree("base"))
    app.overrides(tree("custom"))
    driver = Driver(app, module=tree("myapp"))
    assert texts(driver, "/", "/books/show", "/books/base", "/books/myapp", "/books/custom") == [
        "custom.services: index",
        "custom.services.books: books.show",
        "base.services.books: books.base_only",
        "myapp.services.books: books.myapp_only",
        "custom.services.books: books.custom_only",
    ]
    assert app.urls.build("books.show") == "/books/show"


def test_hooks_run_from_the_lowest_to_the_highest(app):
    diary = []

    def noting(name):
        def note(hook):
            return lambda app: diary.append((name, hook))

        hooks = {f"__{hook}__": note(hook) for hook in ("setup", "mount", "mounted", "umount")}
        return module(name, **hooks, __file__=f"/nowhere/{name}.py")

    app.extends(noting("base1"))
    app.extends(noting("base2"))
    app.overrides(noting("custom1"))
    app.overrides(noting("custom2"))
    Driver(app, module=noting("myapp"))
    order = ["base2", "base1", "myapp", "custom1", "custom2"]
    hooks = ("setup", "mount", "mounted")
    assert diary == [(name, hook) for hook in hooks for name in order]
    diary.clear()
    app.cleanup()
    assert diary == [(name, "umount") for name in reversed(order)]


def test_hooks_of_requests_are_replaced_in_that_order(app):
    def deciding(name):
        def setup(app):
            @app.before_request
            def decide(was):
                return name

        return module(name, __setup__=setup, __file__=f"/nowhere/{name}.py")

    app.extends(deciding("base"))
    driver = Driver(app, module=serving("myapp", index="/"))
    assert driver.get("/").text == "base"
    both = Atila("both")
    both.extends(deciding("base"))
    both.overrides(deciding("custom"))

    def setup(app):
        deciding("myapp").__setup__(app)
        app.route("/")(lambda was: "never")

    assert Driver(both, module=module("myapp", __setup__=setup)).get("/").text == "custom"


def test_extensions_without_services_are_fine(app):
    app.extends(module("resources", __file__="/nowhere/resources.py"))
    assert Driver(app, module=serving("myapp", index="/")).get("/").text == "myapp: index"


def test_the_hook_of_an_extension_configures_the_app_itself(app):
    def config(pref):
        pref.config.NUMBER = 5
        pref.securekey = "secret"

    app.extends(module("base", __config__=config, __file__="/nowhere/base.py"))
    assert app.config.NUMBER == 5
    assert app.securekey == "secret"


def test_an_app_may_extend_in_setup(app):
    seen = []
    base = serving("base", index="/", more="/more")
    custom = serving("custom", index="/")
    base.__umount__ = lambda app: seen.append("umount")

    def setup(app):
        app.extends(base)
        app.extends(base)
        app.overrides(custom)
        app.overrides(custom)

    own = serving("myapp", index="/", own="/own")
    own.__setup__ = setup
    driver = Driver(app, module=own)
    assert texts(driver, "/", "/own", "/more") == ["custom: index", "myapp: own", "base: more"]
    app.cleanup()
    assert seen == ["umount"]


def test_options_tell_a_module_how_it_is_used(app):
    seen = {}

    def keep(app, mntopt):
        seen[mntopt["module_name"]] = mntopt

    app.extends(module("base", __setup__=keep, __file__="/nowhere/base.py"))
    app.overrides(module("custom", __setup__=keep, __file__="/nowhere/custom.py"))
    Driver(app)
    assert seen == {
        "base": {"point": "/", "module_name": "base", "ns": "", "extends": True},
        "custom": {"point": "/", "module_name": "custom", "ns": "", "overrides": True},
    }


@pytest.mark.parametrize("wrong", ["base", None, 5, Atila])
def test_only_modules_extend(app, wrong):
    with pytest.raises(ConfigError, match="extends: needs an imported module"):
        app.extends(wrong)
    with pytest.raises(ConfigError, match="overrides: needs an imported module or a function"):
        app.overrides(wrong)


def test_templates_in_the_order_of_priority(app, tmp_path):
    def package(name, **templates):
        directory = tmp_path / name / "templates"
        directory.mkdir(parents=True)
        for template, text in templates.items():
            (directory / f"{template}.j2").write_text(text)
        return serving(name, file=str(tmp_path / name / "__init__.py"))

    app.extends(package("base", a="base", b="base", c="base", d="base {% include 'c.j2' %}"))
    app.overrides(package("custom", a="custom"))
    package("myapp", a="own", b="own")

    def mount(app):
        @app.route("/<name>")
        def show(was, name):
            return was.render(f"{name}.j2")

    driver = Driver(app, module=module("myapp", __mount__=mount), home=tmp_path / "myapp")
    assert texts(driver, "/a", "/b", "/c", "/d") == ["custom", "own", "base", "base base"]


def test_template_directories_may_be_given_as_they_come(app, tmp_path):
    app.home = str(tmp_path)
    app.config.TEMPLATE_DIRS = str(tmp_path / "one")
    assert app.template_directories() == [str(tmp_path / "templates"), str(tmp_path / "one")]
    app.config.TEMPLATE_DIRS = None
    assert app.template_directories() == [str(tmp_path / "templates")]
