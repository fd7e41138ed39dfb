"""Rows: dictionaries whose columns are attributes too."""

from __future__ import annotations

import copy
import pickle

import msgspec
import orjson
import pytest

from skitai.sql import Row


def make_row():
    return Row(zip(("id", "name"), (1, "Hans"), strict=True))


def test_columns_are_items_and_attributes():
    row = make_row()
    assert (row.id, row["id"], row.name, list(row)) == (1, 1, "Hans", ["id", "name"])


def test_what_is_set_one_way_is_read_the_other():
    row = make_row()
    row.password = "****"
    row["name"] = "Hugo"
    assert row == {"id": 1, "name": "Hugo", "password": "****"}
    assert (row["password"], row.name) == ("****", "Hugo")
    del row.password
    assert "password" not in row


def test_a_missing_column_is_an_attribute_error_that_names_those_there_are():
    row = make_row()
    with pytest.raises(AttributeError, match="no column 'nam'; its columns: id, name"):
        row.nam  # noqa: B018 - the access is what is tested
    with pytest.raises(AttributeError, match="no column 'nam'"):
        del row.nam
    assert not hasattr(row, "nam")
    assert getattr(row, "nam", None) is None


def test_a_column_never_hides_a_method_of_dict():
    row = Row(items=3)
    assert (list(row.items()), row["items"]) == ([("items", 3)], 3)
    with pytest.raises(AttributeError, match=r"write row\['items'\]"):
        row.items = 4


def test_rows_are_json_as_dictionaries_are():
    row = make_row()
    assert orjson.dumps([row]) == msgspec.json.encode([row]) == b'[{"id":1,"name":"Hans"}]'


@pytest.mark.parametrize(
    "duplicate",
    [Row.copy, copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))],
    ids=["method", "copy", "deepcopy", "pickle"],
)
def test_copies_are_rows(duplicate):
    row = make_row()
    other = duplicate(row)
    other.name = "Hugo"
    assert (type(other), row.name, other.id) == (Row, "Hans", 1)
