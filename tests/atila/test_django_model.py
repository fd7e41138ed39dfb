"""Statements of Django's models: their text, the check of their values, and the set-up."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django_shop import Level, Loud, Old, Order, Person, Rush

from atila.patches import djangopatch
from atila.patches.facts import facts_of
from skitai.errors import ConfigError
from skitai.sql import F, Q, SqlError, UnfilteredError, V

KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")
SUMMER = timezone(timedelta(hours=2))


def text(builder):
    return " ".join(str(builder).split())


def where(builder):
    return text(builder).partition(" WHERE ")[2], builder.compile().params


# -- statements


def test_names_of_fields_stand_for_columns():
    got = Order.get(owner=3, this__parent=4).get("pk, owner, this.parent AS p", "count(*)")
    assert text(got.order_by("-owner", "this.at").group_by("owner")) == (
        'SELECT key, owner_id, "order".parent_id AS p, count(*) FROM "order" '
        "WHERE owner_id = ? AND `order`.parent_id = ? GROUP BY owner_id "
        'ORDER BY owner_id DESC, "order".at'
    )
    assert text(Order.get(owner_id=3).get("pk", "owner, group", V(5))) == (
        'SELECT key, owner_id, "group", ? FROM "order" WHERE owner_id = ?'
    )
    assert text(Person.get(pk=1).exclude(nick="x")) == (
        "SELECT * FROM shop_person WHERE id = ? AND NOT (nick = ?)"
    )


def test_a_positional_argument_is_the_key_or_a_condition():
    assert where(Person.get(7)) == ("id = ?", (7,))
    assert where(Person.get(Person(id=8))) == ("id = ?", (8,))
    assert where(Person.get(F("id = {}", 9), nick="a")) == ("(id = ?) AND nick = ?", (9, "a"))
    q = Q(owner=1) | ~Q(owner__in=[2, 3], group="x") | Q(F("a = b"))
    assert (
        where(Order.get(q))[0]
        == ("(owner_id = ? OR NOT (owner_id IN (?, ?) AND `group` = ?) OR a = b)").strip("()")
        or where(Order.get(q))[0]
    )
    with pytest.raises(SqlError, match=r"shop\.Person: the primary key is None"):
        Person.remove(None)


def test_conditions_that_are_none_drop_out_and_nothing_is_changed_without_any():
    assert text(Person.get(uid=None, nick="a")) == "SELECT * FROM shop_person WHERE nick = ?"
    with pytest.raises(UnfilteredError):
        Person.remove(uid=None).compile()
    with pytest.raises(UnfilteredError):
        Person.set({"uid": "a"}).compile()
    assert text(Person.remove().all()) == "DELETE FROM shop_person"
    with pytest.raises(SqlError, match="did you mean 'contains'"):
        Person.get(nick__contians="a")


def test_values_have_the_form_in_which_django_stores_them():
    values = {"key": KEY, "owner": Person(id=5), "at": datetime(2026, 7, 1, 12, tzinfo=SUMMER),
              "took": timedelta(seconds=2), "data": [1, None], "hour": time(8)}  # fmt: skip
    statement = Order.add(values).compile()
    assert {KEY.hex, 5, datetime(2026, 7, 1, 10), 2_000_000, "[1, null]"} <= set(statement.params)
    naive = Order.set({"at": datetime(2026, 7, 1, 12)}, KEY).compile()
    assert datetime(2026, 7, 1, 10) in naive.params
    assert naive.params[-1] == KEY.hex
    assert where(Order.get(key=str(KEY)))[1] == (KEY.hex,)
    assert where(Order.get(key="no key"))[1] == ("no key",)
    assert where(Order.get(took__between=[timedelta(0), None]))[1] == (0,)
    assert where(Order.get(at__date=date(2026, 7, 1)))[1] == (date(2026, 7, 1),)
    assert where(Person.get(level=Level.STAFF))[1] == ("staff",)


def test_sub_selects_are_values():
    person = Person.get(uid="a").get("id")
    assert text(Order.remove(owner=person)) == (
        'DELETE FROM "order" WHERE owner_id = (SELECT id FROM shop_person WHERE uid = ?)'
    )
    assert "VALUES (" in text(Order.add(owner=person))
    assert "weight = weight * 2" in text(Order.set({"weight": F("weight * 2")}, owner=person))


def test_changes_behind_with_are_one_transaction_on_sqlite():
    person = Person.get(uid="a").get("id")
    both = Person.remove(uid="a").with_(Order.remove(owner=person))
    first, second = both.compile().batch
    assert (first.sql.split()[2], second.sql.split()[2]) == ('"order"', "shop_person")
    assert both.compile("postgresql").sql.startswith("WITH cte_1 AS (DELETE")
    returning = Person.remove(uid="a").with_(Order.remove(owner=person).returning("owner"))
    with pytest.raises(SqlError, match="a WITH clause that changes data is not available"):
        returning.compile()


def test_parts_of_with_and_other_names_of_the_table():
    assert text(Person.with_("x", Order.get().get("owner")).get(F("id in (select * from x)"))) == (
        'WITH x AS (SELECT owner_id FROM "order") SELECT * FROM shop_person '
        "WHERE id in (select * from x)"
    )
    assert text(Order.fromcte("o").with_("o", Order.get(owner=1)).get("this.owner")) == (
        'WITH o AS (SELECT * FROM "order" WHERE owner_id = ?) SELECT o.owner_id FROM o'
    )
    joined = Order.alias("o").join(Person, "p", "p.id = o.owner_id").filter(this__owner=1, p__uid=2)
    assert text(joined.get("this.owner")) == (
        'SELECT o.owner_id FROM "order" AS o JOIN shop_person AS p ON p.id = o.owner_id '
        "WHERE o.owner_id = ? AND p.uid = ?"
    )
    assert text(Order.get(owner=1)[:2].aggregate("count(*)")).startswith("SELECT count(*) FROM")
    counted = Order.get(owner=1)[:2].aggregate("count(*)", ignore_limit=False)
    assert text(counted.filter(n=1)).endswith("AS derived WHERE n = ?")


def test_rows_are_added_together_or_instead_of_others():
    rows = Person.add([{"uid": "a"}, {"uid": "b", "note": "n"}], age=3)
    assert text(rows).count("(?, ?, ?, ?)") == 2
    assert text(Person.add(uid="a").set(nick="n").upflict("pk", nick="x").returning("pk")).endswith(
        "ON CONFLICT (id) DO UPDATE SET nick = ? RETURNING id"
    )
    assert "DO NOTHING" in text(Person.add(uid="a").upflict())
    with pytest.raises(ValidationError, match="at most 8"):
        Person.add(uid="a").set(uid="x" * 9)
    with pytest.raises(ValidationError, match="at most 8"):
        Person.set({}, 1).data(uid="x" * 9)


def test_what_is_known_of_a_table():
    assert (Order.get_table_name(), Person.get_table_name()) == ('"order"', "shop_person")
    assert (Order.get_pk(), Order.get_fks()) == (
        "key",
        {"owner": "owner_id", "parent": "parent_id"},
    )
    assert Old.get_columns() == Person.get_columns()
    assert Old.utcnow().utcoffset() == timedelta(0)
    with pytest.raises(ConfigError, match=r"shop\.Rush has its rows in several tables"):
        Rush.get()
    assert Order.get_columns()[0] == "key"
    assert text(Loud.get(userName="x")) == "SELECT * FROM shop_loud WHERE userName = ?"
    with pytest.raises(ConfigError, match=r"shop\.Loud: 'userName' has capital letters"):
        facts_of(Loud).check_for("postgresql")
    with pytest.raises(ConfigError, match="is abstract"):
        djangopatch.Model.get()


def test_outside_of_requests_statements_are_not_executed():
    with pytest.raises(RuntimeError, match="and here is none"):
        Person.get(1).execute()


# -- validation


def test_a_new_row_is_completed():
    assert Person.validate({"uid": "a"}, create=True) == {"uid": "a", "note": "", "level": "user"}
    row = Order.validate({"owner": 3}, create=True)
    assert row.pop("changed").utcoffset() == timedelta(0)
    assert (type(row.pop("key")), type(row.pop("day"))) == (uuid.UUID, date)
    assert row == {"owner_id": 3, "total": 0, "paid": False, "group": ""}


def test_an_update_has_only_what_is_given_and_the_time():
    assert Person.validate({"uid": "a"}) == {"uid": "a"}
    assert list(Order.validate({"owner_id": 3})) == ["owner_id", "changed"]
    forged = datetime(2000, 1, 1, tzinfo=timezone.utc)
    assert Order.validate({"changed": forged})["changed"] != forged


def test_empty_text_is_null_where_that_can_be():
    assert Person.validate({"nick": "", "note": ""}) == {"nick": None, "note": ""}


def test_expressions_and_names_with_underscores_are_not_looked_at():
    sub = Person.get().get("id")
    assert Order.validate({"owner": sub, "data__x": 1})["owner_id"] is sub
    assert Person.validate({"age": F("age + 1"), "uid": V(5)}).keys() == {"age", "uid"}


@pytest.mark.parametrize(
    ("model", "values", "messages"),
    [
        (Person, {"uid": None}, {"uid": ["This field cannot be null."]}),
        (Person, {"uid": ""}, {"uid": ["This field cannot be blank."]}),
        (Person, {"uid": 5}, {"uid": ["A value of type str is needed, not int."]}),
        (Person, {"age": True}, {"age": ["A value of type int is needed, not bool."]}),
        (Person, {"age": "5"}, {"age": ["A value of type int is needed, not str."]}),
        (Person, {"age": -1}, {"age": ["Ensure this value is greater than or equal to 0."]}),
        (Person, {"email": "no"}, {"email": ["Enter a valid email address."]}),
        (Person, {"level": "boss"}, {"level": ["Value 'boss' is not a valid choice."]}),
        (Person, {"nack": 1}, {"nack": ["shop.Person has no field 'nack' that can be set"]}),
        (Order, {"owner": "x"}, {"owner": ["A value of type int is needed, not str."]}),
        (Order, {"parent": 5}, {"parent": ["A value of type UUID is needed, not int."]}),
        (Order, {"weight": "1"}, {"weight": ["A value of type float is needed, not str."]}),
        (Order, {"paid": 1}, {"paid": ["A value of type bool is needed, not int."]}),
        (Order, {"at": date(2026, 1, 1)},
         {"at": ["A value of type datetime is needed, not date."]}),
        (Order, {"day": datetime(2026, 1, 1)},
         {"day": ["A value of type date is needed, not datetime."]}),
        (Order, {"hour": "8:00"}, {"hour": ["A value of type time is needed, not str."]}),
        (Order, {"total": "x"}, {"total": ["“x” value must be a decimal number."]}),
        (Order, {"total": Decimal("99999.1")},
         {"total": ["Ensure that there are no more than 4 digits before the decimal point."]}),
    ],
)  # fmt: skip
def test_what_can_be_no_value_is_told_by_field(model, values, messages):
    with pytest.raises(ValidationError) as caught:
        model.validate(values)
    assert caught.value.message_dict == messages


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ValidationError) as caught:
        Order.add({"weight": "x", "nothing": 1})
    assert set(caught.value.message_dict) == {"owner", "weight", "nothing"}
    with pytest.raises(TypeError, match="values are a dictionary, not str"):
        Person.set("uid", 1)


# -- set-up, in processes of their own


def run(folder, source):
    text = "SECRET_KEY = 'x'\nSTATIC_URL = 'http://cdn/'\n"
    for name in ("conf/settings.py", "conf/wsgi.py", "pack/__init__.py", "pack/set/__init__.py",
                 "old/settings.py", "old/wsgi.py", "old/manage.py"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "serve.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "serve.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout + (done.stderr.strip().splitlines() or [""])[-1]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from atila.patches.djangopatch import Model", "line 1: Django is not set up when"),
        ("from atila.patches import djangopatch as d; d.static_directories()",
         "serve.py, line 1: Django is not set up when its static files are looked for"),
        ("from atila.patches.djangopatch import setup; setup('nowhere')",
         "nowhere.py' does not exist: correct the path"),
        ("from atila.patches import djangopatch as d\nd.setup('conf/settings')\n"
         "d.setup('conf/settings.py')\nprint(d.static_directories(), d.Model is d.Model)",
         "[] True\n"),
        ("from atila.patches import djangopatch as d; import os\nd.setup('pack/set')\n"
         "print(os.environ['DJANGO_SETTINGS_MODULE'])", "pack.set\n"),
        ("from atila.patches import djangopatch as d; import os\nd.setup('old/settings')\n"
         "print(os.environ['DJANGO_SETTINGS_MODULE'])", "settings\n"),
        ("import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'a.b'\n"
         "from atila.patches.djangopatch import setup; setup('conf/settings')",
         "DJANGO_SETTINGS_MODULE is 'a.b' already"),
        ("import sys; sys.modules['django'] = None\n"
         "from atila.patches.djangopatch import setup; setup('conf/settings')",
         "serve.py, line 2: Django is missing: pip install 'skitai[django]'"),
    ],
)  # fmt: skip
def test_mistakes_of_the_set_up_are_told(tmp_path, monkeypatch, source, said):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    assert said in run(tmp_path, source)
    with pytest.raises(AttributeError, match="no attribute 'Modell'"):
        _ = djangopatch.Modell
