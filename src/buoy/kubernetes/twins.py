# SPDX-License-Identifier: Apache-2.0
"""The model's structs as Kubernetes writes them: the same fields, in camelCase.

Promises that a struct and its twin hold the same: the twin is made from the struct's
own type hints, so a field that is added to the model is at once in its CRD. Fields
that an object's name says already are left out; keys of mappings are data, and stay.
"""

from collections.abc import Collection
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec

from buoy.model.pool import Selector

Struct: TypeAlias = type[msgspec.Struct]

_NAMES: dict[Struct, dict[str, str]] = {Selector: {"labels": "matchLabels", "expressions": "matchExpressions"}}
"""Where Kubernetes has a word of its own."""

_made: dict[tuple[Struct, frozenset[str]], Struct] = {}
_origins: dict[Struct, Struct] = {}


def twin(struct: Struct, without: Collection[str] = ()) -> Struct:
    """Return the struct with camelCase names, some fields left out, and its inner structs' twins inside."""
    key = struct, frozenset(without)
    if key not in _made:
        hints = get_type_hints(struct, include_extras=True)
        fields = [
            (field.name, _of_type(hints[field.name]), _default(field))
            for field in msgspec.structs.fields(struct)
            if field.name not in without
        ]
        made = msgspec.defstruct(
            struct.__name__, fields, frozen=True, kw_only=True, omit_defaults=True, rename=_rename(struct)
        )
        _made[key], _origins[made] = made, struct
    return _made[key]


def origin(made: Struct) -> Struct:
    """Return the struct a twin was made from; a struct that is no twin is its own."""
    return _origins.get(made, made)


def camel(name: str) -> str:
    """Return a field's name as Kubernetes writes it."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _rename(struct: Struct) -> Any:  # noqa: ANN401  msgspec's own types are not so exact
    names = _NAMES.get(struct, {})
    return lambda name: names.get(name) or camel(name)


def _default(field: msgspec.structs.FieldInfo) -> Any:  # noqa: ANN401  a default may be anything
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default


def _of_type(hint: Any) -> Any:  # noqa: ANN401  a type hint may be anything
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return twin(hint)
    if get_origin(hint) is tuple:
        return tuple.__class_getitem__((_of_type(get_args(hint)[0]), ...))
    if get_origin(hint) in {Union, UnionType}:
        return Union[tuple(_of_type(part) for part in get_args(hint))]  # noqa: UP007  | needs types, these are values
    return hint
