"""What a value consists of, found without running its code: lazy objects, records, their fields.

``values`` describes values with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Classes that stand for something else, or that ask a database when they are looked at.
_LAZY_MODULES = (
    *("django.db.models.query", "django.db.models.manager", "django.utils.functional"),
    *("mongoengine.queryset", "tortoise.queryset", "sqlalchemy.orm.query", "werkzeug.local"),
    *("lazy_object_proxy", "wrapt", "celery.local", "skitai.current", "skitai.tasks"),
)
_LAZY_NAMES = (
    *("QuerySet", "LazyObject", "LazyProxy", "LocalProxy", "ObjectProxy", "Promise"),
    *("ModelSelect", "ModelRaw"),
)
# Our own objects have much in them that is no business of an app.
OURS = ("skitai", "atila")
_SLOTS = ("member_descriptor", "getset_descriptor")


def is_lazy(kind: type) -> bool:
    """Whether objects of a class ask something else, e.g. a database, when they are looked at."""
    for base in kind.__mro__:
        module = base.__module__ if isinstance(base.__module__, str) else ""
        if module.startswith(_LAZY_MODULES) or base.__name__.endswith(_LAZY_NAMES):
            return True
    return False


def describe_lazy(value: Any) -> str:
    """What is known of a lazy object without asking it."""
    kind = type(value)
    model: Any = own_dict(value).get("model")
    of = f" of {model.__name__}" if issubclass(type(model), type) else ""
    return f"<{name_of(kind)}{of}, not evaluated>"


def name_of(kind: type) -> str:
    """The name of a class with its module, whatever its metaclass says."""
    name = str(type.__dict__["__qualname__"].__get__(kind))
    module = find(kind, "__module__")
    plain = module in ("builtins", "__main__") or type(module) is not str
    return name if plain else f"{module}.{name}"


def find(kind: type, name: str) -> Any:
    """An attribute of a class, without asking its metaclass."""
    for base in type.__dict__["__mro__"].__get__(kind):
        own = type.__dict__["__dict__"].__get__(base)
        if name in own:
            return own[name]
    return None


def own_dict(value: Any) -> dict[str, Any]:
    try:
        found = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return found if type(found) is dict else {}


def fields_of(value: Any, kind: type, represent: Any) -> Iterable[tuple[str, Any]] | None:
    """Names and values of what a repr would show, for records whose repr was generated."""
    module = kind.__module__
    if module.partition(".")[0] in OURS:
        return None
    declared = find(kind, "__dataclass_fields__")
    if declared is not None and _is_generated(represent):
        return _read(value, [name for name, field in declared.items() if field.repr])
    attrs = find(kind, "__attrs_attrs__")
    if attrs is not None and _is_generated(represent):
        return _read(value, [each.name for each in attrs if each.repr])
    structure = getattr(type(kind), "__module__", "")
    if structure == "msgspec" or find(kind, "__struct_fields__") is not None:
        return _read(value, list(getattr(kind, "__struct_fields__", ())))
    if find(kind, "__pydantic_validator__") is not None:
        return list(own_dict(value).items())
    if any(base.__module__ == "django.db.models.base" for base in kind.__mro__):
        # The text of a row may be made of other rows, which would have to be asked for.
        return [(name, item) for name, item in own_dict(value).items() if name != "_state"]
    plain = represent is object.__repr__ or module == "types"
    if plain and own_dict(value):
        return list(own_dict(value).items())
    return None


def _is_generated(represent: Any) -> bool:
    """Whether a repr was made by ``dataclass`` or ``attrs`` and not written by somebody."""
    code = getattr(getattr(represent, "__wrapped__", represent), "__code__", None)
    return code is not None and (code.co_filename.startswith("<") or "attr" in code.co_filename)


def _read(value: Any, names: list[str]) -> Iterator[tuple[str, Any]]:
    """Fields from the dictionary or the slots of an object; properties are not asked."""
    own, kind = own_dict(value), type(value)
    for name in names:
        if name in own:
            yield name, own[name]
        elif type(slot := find(kind, name)).__name__ in _SLOTS:
            try:
                yield name, slot.__get__(value, kind)
            except AttributeError:
                continue
