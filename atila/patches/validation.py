"""Values for a model's row: checked by its fields, completed by their defaults.

The rules are those of Django's ``full_clean``, without its queries: what only the database knows,
such as uniqueness, it says itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.fields import NOT_PROVIDED
from django.utils import timezone

from atila.patches.facts import EXPRESSIONS, target_of

if TYPE_CHECKING:
    from atila.patches.facts import Facts

# The first that fits counts: a DateTimeField is a DateField, too.
_TYPES: list[tuple[type[Any], tuple[type, ...]]] = [
    (models.CharField, (str,)),
    (models.TextField, (str,)),
    (models.BooleanField, (bool,)),
    (models.IntegerField, (int,)),
    (models.FloatField, (float, int)),
    (models.DateTimeField, (datetime,)),
    (models.DateField, (date,)),
    (models.TimeField, (time,)),
    (models.UUIDField, (UUID,)),
]


def validated(facts: Facts, payload: Mapping[str, Any], create: bool) -> dict[str, Any]:
    """The values by column.

    - Of an ``auto_now`` field, and of ``auto_now_add`` for a new row, it is now.
    - A new row gets the defaults of what is missing. Text that may be blank is ``""``.
    - ``""`` is None where NULL may be.
    - An SQL expression is not looked at, nor is a name with ``__``.

    Parameters:
        payload: values by field, column or attribute; an object of Django stands for its key.
        create: it is a new row.

    Raises ``ValidationError`` with all messages by field: for a missing value, for None or ``""``
    where that can't be, for a value of the wrong type or outside of the choices, for what a
    validator of the field refuses, and for a field that there is not. ``TypeError`` when the
    payload is no dictionary.
    """
    if not isinstance(payload, Mapping):
        raise TypeError(f"{facts.name}: values are a dictionary, not {type(payload).__name__}")
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in payload.items():
        field = facts.names.get(name)
        if field is None and "__" in name:
            values[name] = value
        elif field is None or getattr(field, "generated", False):
            errors[name] = [f"{facts.name} has no field {name!r} that can be set"]
        else:
            try:
                values[field.column] = check(field, value)
            except ValidationError as exc:
                errors[field.name] = exc.messages
    _complete(facts, values, errors, create)
    if errors:
        raise ValidationError(errors)
    return values


def _complete(
    facts: Facts, values: dict[str, Any], errors: dict[str, list[str]], create: bool
) -> None:
    for field in facts.fields:
        if getattr(field, "auto_now", False) or (create and getattr(field, "auto_now_add", False)):
            values[field.column] = _now(field)
        elif create and field.column not in values and field.name not in errors:
            if field.has_default():
                try:
                    values[field.column] = check(field, field.get_default())
                except ValidationError as exc:
                    errors[field.name] = exc.messages
            elif _may_be_missing(field):
                continue
            elif field.blank and field.empty_strings_allowed and field.remote_field is None:
                values[field.column] = ""
            else:
                errors[field.name] = ["This field is required."]


def _may_be_missing(field: Any) -> bool:
    """Whether the database fills it."""
    return bool(
        field.null
        or field.primary_key
        or getattr(field, "generated", False)
        or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED
    )


def _now(field: Any) -> Any:
    now = timezone.now()
    if isinstance(field, models.DateTimeField):
        return now
    local = timezone.localtime(now) if timezone.is_aware(now) else now
    return local.date() if isinstance(field, models.DateField) else local.time()


def check(field: Any, value: Any) -> Any:
    """One value, as the field takes it. Raises ``ValidationError``."""
    if isinstance(value, EXPRESSIONS):
        return value
    if isinstance(value, models.Model):
        value = value.pk
    if value == "" and field.null and isinstance(value, str):
        value = None
    if value is None:
        if not field.null:
            raise ValidationError(field.error_messages["null"], code="null")
        return None
    if value == "" and isinstance(value, str):
        if not field.blank:
            raise ValidationError(field.error_messages["blank"], code="blank")
        if field.empty_strings_allowed:
            return value
    value = _typed(target_of(field), value)
    if field.choices and value not in [key for key, _ in field.flatchoices]:
        message = field.error_messages["invalid_choice"]
        raise ValidationError(message, code="invalid_choice", params={"value": value})
    field.run_validators(value)
    return value


def _typed(field: Any, value: Any) -> Any:
    for kind, types in _TYPES:
        if isinstance(field, kind):
            fits = isinstance(value, types)
            if isinstance(value, bool) and bool not in types:
                fits = False
            if isinstance(value, datetime) and datetime not in types:
                fits = False
            if not fits:
                wanted = types[0].__name__
                text = f"A value of type {wanted} is needed, not {type(value).__name__}."
                raise ValidationError(text, code="invalid")
            return value
    if isinstance(field, models.DecimalField):
        return field.to_python(value)
    return value
