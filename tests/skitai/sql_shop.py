"""A small shop, and statements that have to do the same to it in both databases."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

from skitai.sql import D, F, Q, V, const

USERS = [
    {"id": 1, "name": "Hans", "email": "hans@x.com", "age": 30, "score": Decimal("1.50"),
     "active": True, "born": date(1990, 5, 1), "seen": datetime(2020, 1, 31, 23, 59, 59, 123456),
     "data": {"a": {"b": [1, 2]}, "tag": "x", "n": 5, "ok": True}, "order": 3},
    {"id": 2, "name": "Hugo_50%", "email": "hugo@x.com", "age": 40, "score": Decimal("10"),
     "active": False, "born": date(1980, 12, 31), "seen": datetime(2021, 4, 1, 0, 0, 0),
     "data": {"a": {"b": []}, "tag": "y", "n": 50, "ok": False}, "order": 2},
    {"id": 3, "name": "hans\\peter", "email": "peter@x.com", "age": None, "score": Decimal("-2.25"),
     "active": True, "born": None, "seen": datetime(1999, 12, 31, 12, 30, 5),
     "data": {}, "order": 1},
    {"id": 4, "name": "O'Neil [*?]", "email": "neil@x.com", "age": 50, "score": Decimal("9"),
     "active": True, "born": date(2000, 2, 29), "seen": datetime(2021, 7, 4, 8, 15, 0),
     "data": {"tag": "x", "n": 7}, "order": 9},
]  # fmt: skip
BUYS = [
    {"id": 1, "user_id": 1, "item": "Hans", "total": 5},
    {"id": 2, "user_id": 1, "item": "book", "total": 7},
    {"id": 3, "user_id": 2, "item": "%", "total": 9},
    {"id": 4, "user_id": None, "item": "lost", "total": 1},
]

TABLES = """
create table users (
    id integer primary key, name text, email text unique, age integer, score numeric,
    active boolean, born date, seen timestamp, data {json}, "order" integer);
create table buys (id integer primary key, user_id integer, item text, total integer);
create table counts (name text primary key, n integer)
"""

# What users a condition finds, as keywords or a Q.
CONDITIONS = [
    ({}, [1, 2, 3, 4]),
    ({"id": 3}, [3]),
    ({"id": None}, [1, 2, 3, 4]),
    ({"id__neq": 3, "age__gte": 40}, [2, 4]),
    ({"age__between": (30, 40)}, [1, 2]),
    ({"age__between": (None, 40)}, [1, 2]),
    ({"id__in": [1, 4, None]}, [1, 4]),
    ({"id__in": []}, []),
    ({"id__notin": []}, [1, 2, 3, 4]),
    ({"id__notin": [1, None]}, [2, 3, 4]),
    ({"age__isnull": True}, [3]),
    ({"age__isnull": False}, [1, 2, 4]),
    ({"active": True}, [1, 3, 4]),
    ({"order": 9}, [4]),
    ({"order__lt": 3}, [2, 3]),
    ({"users__order__in": [1, 2]}, [2, 3]),
    ({"score": Decimal("1.5")}, [1]),
    ({"score__gt": Decimal("9")}, [2]),
    ({"score__lt": 0}, [3]),
    ({"score__in": [Decimal("10.00"), Decimal("-2.25")]}, [2, 3]),
    ({"score__between": (Decimal("1.50"), Decimal("9.5"))}, [1, 4]),
    ({"name": "O'Neil [*?]"}, [4]),
    ({"name__contains": "an"}, [1, 3]),
    ({"name__contains": "han"}, [3]),
    ({"name__icontains": "HAN"}, [1, 3]),
    ({"name__startswith": "Hans"}, [1]),
    ({"name__istartswith": "hans"}, [1, 3]),
    ({"name__endswith": "peter"}, [3]),
    ({"name__iendswith": "PETER"}, [3]),
    ({"name__ncontains": "an"}, [2, 4]),
    ({"name__nstartswith": "H"}, [3, 4]),
    ({"name__incontains": "H"}, [4]),
    ({"name__iexact": "HANS"}, [1]),
    ({"name__iexact": "h%"}, []),
    ({"name__contains": "%"}, [2]),
    ({"name__contains": "_"}, [2]),
    ({"name__icontains": "_50%"}, [2]),
    ({"name__contains": "\\"}, [3]),
    ({"name__icontains": "\\"}, [3]),
    ({"name__contains": "*"}, [4]),
    ({"name__contains": "[*?]"}, [4]),
    ({"name__icontains": "[*?]"}, [4]),
    ({"name__contains": ""}, [1, 2, 3, 4]),
    ({"email__startswith": F("lower(name)")}, [1]),
    ({"email__contains": F("'@'")}, [1, 2, 3, 4]),
    ({"name__contains": F("'%'")}, [2]),
    ({"name__contains": F("'*'")}, [4]),
    ({"name__endswith": F("'_50%'")}, [2]),
    ({"name__icontains": F("'HANS'")}, [1, 3]),
    ({"email": F("lower(name) || {}", "@x.com")}, [1]),
    ({"age__gt": F("id * 20")}, [1]),
    ({"born": date(1980, 12, 31)}, [2]),
    ({"born__gt": date(1980, 12, 31)}, [1, 4]),
    ({"seen": datetime(2020, 1, 31, 23, 59, 59, 123456)}, [1]),
    ({"seen__gt": datetime(2020, 1, 31, 23, 59, 59, 123455)}, [1, 2, 4]),
    ({"seen__gt": datetime(2020, 1, 31, 23, 59, 59, 123456)}, [2, 4]),
    ({"seen__date": date(2020, 1, 31)}, [1]),
    ({"seen__date__lt": date(2020, 1, 31)}, [3]),
    ({"seen__time": time(12, 30, 5)}, [3]),
    ({"seen__century": 20}, [3]),
    ({"seen__century": 21}, [1, 2, 4]),
    ({"seen__decade": 202}, [1, 2, 4]),
    ({"seen__year": 2021}, [2, 4]),
    ({"seen__year__in": [1999, 2020]}, [1, 3]),
    ({"seen__year": "2021"}, [2, 4]),
    ({"seen__quarter": 2}, [2]),
    ({"seen__quarter__between": (3, 4)}, [3, 4]),
    ({"seen__month": 12}, [3]),
    ({"seen__day": 31}, [1, 3]),
    ({"seen__day_of_week": 0}, [4]),
    ({"seen__day_of_year": 365}, [3]),
    ({"seen__hour__gte": 12}, [1, 3]),
    ({"seen__minute": 15}, [4]),
    ({"seen__second": 59}, [1]),
    ({"born__month": 2}, [4]),
    ({"data___tag": "x"}, [1, 4]),
    ({"users__data___tag__neq": "x"}, [2]),
    ({"data___n": 7}, [4]),
    ({"data___n__gt": 5}, [2, 4]),
    ({"data___n__lt": Decimal("7.5")}, [1, 4]),
    ({"data___n__in": [5, 50]}, [1, 2]),
    ({"data___n__between": (5, 7)}, [1, 4]),
    ({"data___ok": True}, [1]),
    ({"data___ok": False}, [2]),
    ({"data___a___b__1": 2}, [1]),
    ({"data___a": {"b": [1, 2]}}, [1]),
    ({"data___a___b": []}, [2]),
    ({"data___tag__isnull": True}, [3]),
    ({"data___tag__contains": "X"}, []),
    ({"data___tag__icontains": "X"}, [1, 4]),
    ({"__all": True}, [1, 2, 3, 4]),
    (Q(id=1) | Q(age__gt=45), [1, 4]),
    (~Q(id=1) & (Q(id=1) | Q(id=2)), [2]),
    (Q("id = 1 or id = 2") & Q("id % 2 = 0"), [2]),
    (~(Q(id=1) | Q(id=2)), [3, 4]),
    (Q(id=None) | Q(id=4), [4]),
]


def sold(db):
    return db.select("buys").get("user_id").filter(user_id__isnull=False)


# Selects, and the rows that they find.
SELECTS = [
    (lambda db: db.select("users").get("id").filter(id__in=sold(db)), [(1,), (2,)]),
    (lambda db: db.select("users").get("id").filter(id__notin=sold(db)), [(3,), (4,)]),
    (lambda db: db.select("users").get("id").filter(id=db.select("buys").get("max(user_id)")),
     [(2,)]),
    (lambda db: db.select("users", "u").get("id").filter(
        __exists=db.select("buys", "b").filter(b__user_id=F("u.id"), total__gt=8)), [(2,)]),
    (lambda db: db.select("users", "u").get("id").filter(
        __nexists=db.select("buys", "b").filter(b__user_id=F("u.id"))), [(3,), (4,)]),
    (lambda db: db.select("users").get("id").exclude(id=1, age=30).exclude(id=4), [(2,), (3,)]),
    (lambda db: db.select("users").get("id").order_by("-age nulls last", "id"),
     [(4,), (2,), (1,), (3,)]),
    (lambda db: db.select("users").get("id").order_by("-active, -id")[1:3], [(3,), (1,)]),
    (lambda db: db.select("users").get("id").order_by("id")[2:], [(3,), (4,)]),
    (lambda db: db.select("users").limit(0), []),
    (lambda db: db.select("users").get("id", V("x"), F("id % {}", 2)).limit(2),
     [(1, "x", 1), (2, "x", 0)]),
    (lambda db: db.select("users").aggregate("count(*)", "max(id)"), [(4, 4)]),
    (lambda db: db.select("users").order_by("id")[1:3].aggregate("sum(id)", ignore_limit=False),
     [(5,)]),
    (lambda db: db.select("users").get("id").union(db.select("buys").get("id"))
     .aggregate("count(*)"), [(4,)]),
    (lambda db: db.select("buys").get("user_id, sum(total)").group_by("user_id")
     .having("count(*) > 1").order_by("user_id"), [(1, 12)]),
    (lambda db: db.select("users", "u").get("u.id, b.id").join(
        "buys", "b", b__user_id=F("u.id")).order_by("b.id"), [(1, 1), (1, 2), (2, 3)]),
    (lambda db: db.select("users", "u").get("u.id, b.id").left_join(
        "buys", "b", Q(b__user_id=F("u.id")) & Q(b__total__gt=8)).order_by("u.id"),
     [(1, None), (2, 3), (3, None), (4, None)]),
    (lambda db: db.select("users").get("count(*)").cross_join("buys"), [(16,)]),
    (lambda db: db.select("users").get("count(*)").join("buys", "true"), [(16,)]),
    (lambda db: db.select("users", "u").get("b.id").from_("buys", "b", b__user_id=F("u.id"))
     .filter(u__id=1).order_by("b.id"), [(1,), (2,)]),
    (lambda db: db.select(sold(db), "s").get("count(*)"), [(3,)]),
    (lambda db: db.select(sold(db)).get("count(*)"), [(3,)]),
    (lambda db: db.select("users").get("name").get(
        db.select("buys").get("count(*)").filter(user_id=F("users.id"))).limit(2),
     [("Hans", 2), ("Hugo_50%", 1)]),
    (lambda db: db.select("users").get("id").filter(id__lt=3).union(
        db.select("buys").get("id").order_by("-id").limit(1)).order_by("-id"), [(4,), (2,), (1,)]),
    (lambda db: db.select("users").get("id").union_all("select 1").except_("select 2")
     .order_by("id"), [(1,), (3,), (4,)]),
    (lambda db: db.select("users").get("id").filter(id=1).union("select 2")
     .intersect("select 1"), [(1,)]),
    (lambda db: db.select("users").get("id").except_(
        db.select("users").get("id").filter(id=1).union("select 2")), [(3,), (4,)]),
    (lambda db: db.with_("v", [D(x=1, y="a%"), D(x=2, y=None)]).select("v").get("x, y")
     .order_by("x"), [(1, "a%"), (2, None)]),
    (lambda db: db.with_("recursive n(x)", db.sql("select 1 union all select x + 1 from n "
                                                  "where x < {}", 3)).select("n"),
     [(1,), (2,), (3,)]),
    (lambda db: db.select("cte_1").from_("cte_2").with_("select 1 as a").with_("select 2 as b"),
     [(1, 2)]),
    (lambda db: db.select("users").get("id").filter(id=const("me")).const("me", 3), [(3,)]),
    (lambda db: db.sql("select {}, '{{}}'", "it's"), [("it's", "{}")]),
    (lambda db: db.template(
        "select {this.columns} from users where {this.filter} and name like '%' "
        "and id {ids} {this.order_by} {this.limit} {this.offset}")
     .feed(ids=V(__in=[1, 2, 4])).get("id").filter(active=True).order_by("-id").offset(1), [(1,)]),
    (lambda db: db.template("select id from users where id {a} and id {b} and {q}").feed(
        a=V(__notin=[]), b=V(__between=(2, 4)), q=Q(id=3) | Q(id=1)), [(3,)]),
    (lambda db: db.template("select id from users where id {a}").feed(a=V(__in=[])), []),
]  # fmt: skip

# Changes, what they give back, and what is there afterwards.
COUNTS = "select name, n from counts order by name"
IDS = "select id, age from users order by id"
CHANGES = [
    (lambda db: db.insert("counts").set(name="a", n=1), None, COUNTS, [("a", 1)]),
    (lambda db: db.insert("counts").set(name="%s ? it's", n=None).returning("name", "n"),
     [("%s ? it's", None)], COUNTS, [("%s ? it's", None)]),
    (lambda db: db.insert("counts").set([{"name": "a"}, {"name": "b"}], n=F("1 + {}", 1)),
     None, COUNTS, [("a", 2), ("b", 2)]),
    (lambda db: db.insert("users").set(id=5).returning(), "row", IDS,
     [(1, 30), (2, 40), (3, None), (4, 50), (5, None)]),
    (lambda db: db.insert("counts").set(name="a", n=db.select("users").get("count(*)")),
     None, COUNTS, [("a", 4)]),
    (lambda db: db.insert("counts").set([{"name": "a", "n": 1}, {"name": "b", "n": 2}]).append(
        db.insert("counts").set(name="a", n=5).upflict("name", n=F("counts.n + excluded.n"))),
     None, COUNTS, [("a", 6), ("b", 2)]),
    (lambda db: db.insert("counts").set(name="a", n=1).append(
        db.insert("counts").set(name="a", n=5).upflict("name")), None, COUNTS, [("a", 1)]),
    (lambda db: db.select("users").get("name, age").filter(id__lt=3).into("counts", "name", "n"),
     None, COUNTS, [("Hans", 30), ("Hugo_50%", 40)]),
    (lambda db: db.select("buys").get("item, total").into("counts").upflict("name", n=0)
     .append(db.select("buys").get("item, 5").union("select 'new', 6").into("counts")
             .upflict("name", n=F("excluded.n"))), None, COUNTS,
     [("%", 5), ("Hans", 5), ("book", 5), ("lost", 5), ("new", 6)]),
    (lambda db: db.update("users").set(age=F("age + {}", 1)).filter(id__in=[1, 3]).returning("id"),
     [(1,), (3,)], IDS, [(1, 31), (2, 40), (3, None), (4, 50)]),
    (lambda db: db.update("users").set(age=None).all(), None, IDS,
     [(1, None), (2, None), (3, None), (4, None)]),
    (lambda db: db.update("users").set(age=F("b.total")).from_(
        "buys", "b", b__user_id=F("users.id")).filter(b__id=2), None, IDS,
     [(1, 7), (2, 40), (3, None), (4, 50)]),
    (lambda db: db.update("users", "u").set(
        age=db.select("buys").get("sum(total)").filter(user_id=F("u.id"))).filter(u__id__lt=3),
     None, IDS, [(1, 12), (2, 9), (3, None), (4, 50)]),
    (lambda db: db.update("users").set({"order": 100}).filter(order=9).returning('"order"'),
     [(100,)], IDS, [(1, 30), (2, 40), (3, None), (4, 50)]),
    (lambda db: db.delete("users").filter(Q(id=1) | Q(age=None, id=2)).returning("id"),
     [(1,), (2,)], IDS, [(3, None), (4, 50)]),
    (lambda db: db.delete("users").exclude(id__in=sold(db)), None, IDS, [(1, 30), (2, 40)]),
    (lambda db: db.delete("users").all(), None, IDS, []),
    (lambda db: db.with_("old", db.select("users").get("id").filter(id=4)).delete("users").filter(
        "id in (select id from old)"), None, IDS, [(1, 30), (2, 40), (3, None)]),
    (lambda db: db.template("insert into counts ({d.columns}) values ({d.values}) {this.returning}")
     .feed(d=D(name="a", n=1)).returning("n"), [(1,)], COUNTS, [("a", 1)]),
    (lambda db: db.template("update users set {this.pairs} where {this.filter}").set(age=1)
     .filter(id=1), None, IDS, [(1, 1), (2, 40), (3, None), (4, 50)]),
    (lambda db: db.sql().append(db.delete("users").filter(id=1)).append("delete from users "
                                                                        "where id % 2 = 0;").tran(),
     None, IDS, [(3, None)]),
]  # fmt: skip


def fill(db, execute):
    """Put everybody into the tables, with the builder."""
    execute(db.insert("users").set(USERS))
    execute(db.insert("buys").set(BUYS))


def in_order(builder, rows):
    """The rows as a statement gives them; sorted if it doesn't say in which order."""
    return rows if "ORDER BY" in str(builder) else sorted(rows)


def find(db, condition):
    """The users of a condition."""
    users = db.select("users").get("id").order_by("id")
    return users.filter(condition) if isinstance(condition, Q) else users.filter(**condition)
