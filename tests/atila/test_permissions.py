"""Permissions, log-in, identification and tests in front of handlers."""

from __future__ import annotations

import pytest
from driving import Driver

from atila import Atila
from atila.errors import ConfigError
from atila.steps import guards_of


def asking_app(**options) -> tuple[Atila, list[set[str]]]:
    """An app, and what its permission handler is asked."""
    app = Atila("animals")
    asked: list[set[str]] = []

    @app.permission_handler
    def permission_handler(was, perms):
        asked.append(perms)

    return app, asked


def animals(*perms, defaults: str = "id=None", methods=("GET", "POST", "DELETE", "PUT"), **cond):
    """A driver of ``/animals/<id>`` behind ``permission_required``, and what it asks for."""
    app, asked = asking_app()

    @app.route("/animals/<id>", methods=list(methods))
    @app.permission_required(*perms, **cond)
    def animals(was, id=None, **others):
        return str(id)

    return Driver(app), asked


# -- plain permissions


@pytest.mark.parametrize(
    ("perms", "expected"),
    [
        ((), set()),
        ((None,), set()),
        (([],), set()),
        ((["staff"],), {"staff"}),
        (("staff",), {"staff"}),
        ((("a", "b"),), {"a", "b"}),
        (({"a"},), {"a"}),
    ],
)
def test_the_handler_gets_the_permissions_as_a_set(perms, expected):
    driver, asked = animals(*perms)
    assert driver.get("/animals/5").text == "5"
    assert asked == [expected]
    assert type(asked[0]) is set


def test_the_keyword_and_the_bare_form_are_forms_too():
    app, asked = asking_app()

    @app.route("/keyword")
    @app.permission_required(perms="staff")
    def keyword(was):
        return "in"

    @app.route("/bare")
    @app.permission_required
    def bare(was):
        return "in"

    @app.route("/login")
    @app.login_required
    def login(was):
        return "in"

    driver = Driver(app)
    assert [driver.get(path).text for path in ("/keyword", "/bare", "/login")] == ["in"] * 3
    assert asked == [{"staff"}, set(), set()]


def test_what_a_handler_does_to_the_set_is_gone_with_the_request():
    app = Atila("animals")
    asked = []

    @app.permission_handler
    def permission_handler(was, perms):
        asked.append(set(perms))
        perms.clear()

    @app.route("/")
    @app.permission_required(["staff"], GET=["admin"])
    def index(was):
        return "in"

    driver = Driver(app)
    driver.get("/")
    driver.get("/")
    driver.form("/")
    driver.form("/")
    assert asked == [{"admin"}, {"admin"}, {"staff"}, {"staff"}]


def test_the_handler_refuses_by_an_error_and_answers_by_a_result():
    app = Atila("animals")

    @app.permission_handler
    async def permission_handler(was, perms):
        if "admin" in perms:
            raise was.Error("403 Permission Denied", "admins only")
        if "staff" in perms:
            return was.API(go="away")
        was.request.user = "visitor"
        return None

    @app.route("/admin")
    @app.permission_required("admin")
    def admin(was):
        return "in"

    @app.route("/staff")
    @app.permission_required("staff")
    def staff(was):
        return "in"

    @app.route("/all")
    @app.login_required
    async def everybody(was):
        return was.request.user

    driver = Driver(app)
    refused = driver.get("/admin")
    assert (refused.status, refused.reason) == (403, "Permission Denied")
    assert refused.json["more_info"] == "admins only"
    assert driver.get("/staff").json == {"go": "away"}
    assert driver.get("/all").text == "visitor"


def test_several_decorators_are_asked_from_top_to_bottom():
    app, asked = asking_app()

    @app.permission_required("first")
    @app.route("/")
    @app.permission_required("second")
    @app.login_required
    def index(was):
        return "in"

    assert Driver(app).get("/").text == "in"
    assert asked == [{"first"}, {"second"}, set()]


def test_permission_check_handler_is_an_old_name():
    app = Atila("animals")

    @app.permission_check_handler
    def check(was, perms):
        return "asked"

    @app.route("/")
    @app.login_required
    def index(was):
        return "in"

    assert Driver(app).get("/").text == "asked"


# -- conditions


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/animals", {"user"}),
        ("/animals/me", {"user"}),
        ("/animals/3", {"staff"}),
        ("/animals/new", {"staff"}),
        ("/animals/notme", {"staff"}),
        ("/animals/ME", {"staff"}),
        ("/animals/0", {"staff"}),
    ],
)
def test_an_argument_other_than_me_asks_for_its_own_permissions(target, expected):
    driver, asked = animals(["user"], id=["staff"])
    assert driver.get(target).status == 200
    assert asked == [expected]


def test_an_argument_of_the_query_or_the_body_counts_as_well():
    app, asked = asking_app()

    @app.route("/animals")
    @app.permission_required("user", id="staff")
    def animals(was, id=None):
        return "in"

    driver = Driver(app)
    for answer in (
        driver.get("/animals"),
        driver.get("/animals?id=me"),
        driver.get("/animals?id=3"),
        driver.get("/animals?id="),
        driver.get("/animals?id=me&id=me"),
        driver.get("/animals?id=me&id=3"),
        driver.json("/animals", {"id": None}),
        driver.json("/animals", {"id": 0}),
        driver.json("/animals", {"id": ["me"]}),
        driver.json("/animals", {"id": [["me"]]}),
    ):
        assert answer.status == 200
    user, staff = {"user"}, {"staff"}
    assert asked == [user, user, staff, staff, user, staff, user, staff, user, staff]


def test_a_default_other_than_me_asks_for_its_own_permissions():
    app, asked = asking_app()

    @app.route("/all")
    @app.permission_required("user", id="staff")
    def of_all(was, id="all"):
        return "in"

    @app.route("/mine")
    @app.permission_required("user", id="staff")
    def mine(was, id="me"):
        return "in"

    driver = Driver(app)
    driver.get("/all")
    driver.get("/mine")
    assert asked == [{"staff"}, {"user"}]


def test_a_body_can_not_hide_what_is_in_the_path():
    driver, asked = animals(["user"], id=["staff"])
    assert driver.json("/animals/3", {"id": "me"}).text == "me"
    assert driver.json("/animals/me", {"id": "3"}).text == "3"
    assert driver.json("/animals/me", {"id": "me"}).text == "me"
    assert driver.json("/animals/me", {"id": None}).status == 200
    assert asked == [{"staff"}, {"staff"}, {"user"}, {"user"}]


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/animals/me", {"user"}),
        ("GET", "/animals/3", {"staff"}),
        ("DELETE", "/animals/me", {"admin"}),
        ("DELETE", "/animals/3", {"staff", "admin"}),
        ("POST", "/animals/3", {"staff"}),
    ],
)
def test_permissions_of_a_method_come_beside_those_of_an_argument(method, target, expected):
    driver, asked = animals(["user"], id=["staff"], DELETE=["admin"])
    assert driver.request(method, target).status == 200
    assert asked == [expected]


def test_permissions_of_a_method_work_alone():
    driver, asked = animals(DELETE=["admin"], PUT=[])
    for method in ("GET", "DELETE", "PUT"):
        assert driver.request(method, "/animals/3").status == 200
    assert asked == [set(), {"admin"}, set()]


def test_a_method_that_asks_for_nothing_takes_the_place_of_the_usual():
    driver, asked = animals("staff", GET=[])
    driver.request("GET", "/animals/3")
    driver.request("POST", "/animals/3")
    assert asked == [set(), {"staff"}]


def test_head_asks_for_what_get_does():
    driver, asked = animals(GET="staff")
    assert driver.request("HEAD", "/animals/3").status == 200
    assert asked == [{"staff"}]


def test_the_first_argument_that_holds_decides():
    app, asked = asking_app()

    @app.route("/pets")
    @app.permission_required("user", owner="staff", pet="vet")
    def pets(was, owner=None, pet=None):
        return "in"

    driver = Driver(app)
    for query in ("", "?owner=1", "?pet=1", "?owner=1&pet=1", "?owner=me&pet=1"):
        assert driver.get(f"/pets{query}").status == 200
    assert asked == [{"user"}, {"staff"}, {"vet"}, {"staff"}, {"vet"}]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_notme_can_be_read_but_not_written(method):
    driver, asked = animals(id=["staff"])
    assert driver.request("GET", "/animals/notme").status == 200
    assert driver.request("HEAD", "/animals/notme").status == 200
    assert len(asked) == 2
    assert driver.request(method, "/animals/notme").status == 421
    assert len(asked) == 2


def test_notme_in_a_body_or_a_list_can_not_be_written_either():
    driver, asked = animals(id=["staff"])
    assert driver.json("/animals/me", {"id": "notme"}).status == 421
    assert driver.json("/animals/notme", {"id": "me"}).status == 421
    assert driver.json("/animals/me", {"id": ["me", "notme"]}).status == 421
    assert asked == []


def test_without_a_condition_notme_is_nothing_special():
    driver, asked = animals("user")
    assert driver.request("DELETE", "/animals/notme").status == 200
    assert asked == [{"user"}]


def test_a_malformed_body_is_400_before_anybody_is_asked():
    driver, asked = animals(id=["staff"])
    assert driver.send("/animals/me", "{", "application/json").status == 400
    assert asked == []


# -- identification


def test_identification_ignores_refusals_only():
    app = Atila("animals")

    @app.permission_handler
    def permission_handler(was, perms):
        was.request.user = was.request.get_header("x-user")
        if was.request.user == "broken":
            raise ValueError("out of order")
        if was.request.user == "asserted":
            raise AssertionError(was.Error("403 Forbidden"))
        if was.request.user == "wrong":
            raise AssertionError
        if was.request.user is None:
            raise was.Error("401 Unauthorized")
        return "not a response"

    @app.route("/")
    @app.identification_required
    def index(was):
        return f"hello {was.request.user}"

    @app.route("/old")
    @app.clarify_permission
    async def old(was):
        return f"hello {was.request.user}"

    driver = Driver(app)
    for path in ("/", "/old"):
        assert driver.get(path).text == "hello None"
        assert driver.get(path, x_user="kim").text == "hello kim"
        assert driver.get(path, x_user="asserted").text == "hello asserted"
        assert driver.get(path, x_user="wrong").status == 500
        assert driver.get(path, x_user="broken").status == 500


def test_identification_waits_for_a_coroutine():
    app = Atila("animals")

    @app.permission_handler
    async def permission_handler(was, perms):
        assert perms == set()
        was.request.user = "somebody"
        raise was.Error("401 Unauthorized")

    @app.route("/")
    @app.identification_required
    def index(was):
        return was.request.user

    assert Driver(app).get("/").text == "somebody"


# -- tests


def test_a_test_lets_in_refuses_or_answers():
    app = Atila("animals")
    verdicts = {"no": False, "yes": True, "none": None, "other": "answer", "empty": ""}

    def judge(was):
        return verdicts[was.request.get_header("x-case")]

    class Judge:
        async def __call__(self, was):
            return judge(was)

    @app.route("/plain")
    @app.testpass_required(judge)
    def plain(was):
        return "in"

    @app.route("/object")
    @app.testpass_required(Judge())
    def of_object(was):
        return "in"

    driver = Driver(app)
    for path in ("/plain", "/object"):
        refused = driver.get(path, x_case="no")
        assert (refused.status, refused.reason) == (403, "Permission Denied")
        texts = [driver.get(path, x_case=case).text for case in ("yes", "none", "other", "empty")]
        assert texts == ["in", "in", "answer", ""]


def test_a_test_may_raise():
    app = Atila("animals")

    def check_otp(was):
        raise was.Error("403 Unauthorized")

    @app.route("/admin-task")
    @app.testpass_required(check_otp)
    def task(was):
        return "done"

    assert Driver(app).get("/admin-task").status == 403


# -- what the documentation of the API says


def test_guards_tell_what_they_demand():
    app, _ = asking_app()

    def is_admin(was):
        return True

    @app.testpass_required(is_admin)
    @app.identification_required
    @app.login_required
    @app.permission_required(["b", "a"], id="staff", DELETE=["admin", "root"], GET=[])
    def handler(was, id=None):
        return ""

    assert [guard.facts for guard in guards_of(handler)] == [
        ("testpass", "is_admin"),
        ("identification", True),
        ("permission", []),
        ("permission", ["a", "b", "id: staff", "DELETE: admin, root", "GET: any"]),
    ]


# -- misconfiguration


@pytest.mark.parametrize(
    "decorator", ["login_required", "permission_required", "identification_required"]
)
def test_a_demand_without_a_handler_is_an_error_at_the_start(decorator):
    app = Atila("animals")

    @app.route("/cats")
    @getattr(app, decorator)
    def cats(was):
        return ""

    with pytest.raises(ConfigError) as caught:
        Driver(app)
    for word in (decorator, "'/cats'", "@app.permission_handler", "'animals'"):
        assert word in str(caught.value)


def test_a_condition_on_what_is_no_argument_is_an_error_at_the_start():
    app, _ = asking_app()

    @app.route("/cats/<id>")
    @app.permission_required(di=["staff"])
    def cats(was, id):
        return ""

    with pytest.raises(ConfigError, match=r"'/cats/<id>': 'di' is neither an argument of cats nor"):
        Driver(app)


@pytest.mark.parametrize("perms", [5, [5], [["a"]], {"a": 1, 2: 3}, b"staff"])
def test_what_are_no_permissions_is_an_error_at_once(perms):
    app = Atila("animals")
    with pytest.raises(ConfigError, match="names of permissions"):
        app.permission_required(perms)
    with pytest.raises(ConfigError, match="names of permissions"):
        app.permission_required(id=perms)


def test_what_can_not_be_called_is_an_error_at_once():
    app = Atila("animals")
    with pytest.raises(ConfigError, match="testpass_required"):
        app.testpass_required("is_admin")
    with pytest.raises(ConfigError, match="permission_handler"):
        app.permission_handler("f")
