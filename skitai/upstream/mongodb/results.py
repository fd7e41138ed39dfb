"""What methods of pymongo return, as plain data; and what BSON has no JSON for."""

from __future__ import annotations

from typing import Any

from skitai.sql.rows import Row

# The attributes of the driver's results that say something.
_RESULTS = {
    "InsertOneResult": ("inserted_id",),
    "InsertManyResult": ("inserted_ids",),
    "UpdateResult": ("matched_count", "modified_count", "upserted_id"),
    "DeleteResult": ("deleted_count",),
    "BulkWriteResult": (
        "inserted_count",
        "matched_count",
        "modified_count",
        "deleted_count",
        "upserted_count",
        "upserted_ids",
    ),
}


def plain(result: Any) -> Any:
    """A result as data that can be pickled and written as JSON.

    Results of writing become rows: ``done.inserted_id`` is ``done["inserted_id"]``. Of a write that
    the server does not acknowledge nothing is known: the row is empty. A collection becomes its
    name; documents and values stay.
    """
    kind = type(result).__name__
    names = _RESULTS.get(kind)
    if names is not None:
        known = result.acknowledged
        return Row({name: getattr(result, name) for name in names}) if known else Row()
    return result.name if kind == "AsyncCollection" else result


def json_form(value: Any) -> Any:
    """What stands in JSON for a value of BSON.

    ``ObjectId`` and ``Decimal128`` become text, ``Binary`` base64, ``Timestamp`` and
    ``DatetimeMS`` datetimes, ``Regex`` its pattern, ``DBRef`` a dictionary. The driver need not be
    installed to ask. Raises ``TypeError`` for anything else.
    """
    kind = type(value)
    if kind.__module__.partition(".")[0] == "bson":
        write = _FORMS.get(kind.__name__)
        if write is not None:
            return write(value)
    raise TypeError(f"{kind.__name__} has no JSON form")


def _base64(value: bytes) -> str:
    from base64 import b64encode

    return b64encode(value).decode()


_FORMS: dict[str, Any] = {
    "ObjectId": str,
    "Decimal128": str,
    "Binary": _base64,
    "Timestamp": lambda value: value.as_datetime(),
    "DatetimeMS": lambda value: value.as_datetime(),
    "Regex": lambda value: value.pattern,
    "DBRef": lambda value: dict(value.as_doc()),
    "Code": str,
}
