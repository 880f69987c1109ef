# SPDX-License-Identifier: Apache-2.0
"""Structs as the structural schemas of CRDs: what the API server itself refuses, with field and remedy.

Promises that a schema takes whatever the struct takes, and refuses at `kubectl apply`
what a reader would call broken, as far as CEL can say it. The tricky thing is CEL's
price, which the server estimates from bounds alone: so every text, list and mapping
has a greatest size, far above what anybody needs.

Source: kubernetes.io, "Custom Resource Definitions", "CEL in Kubernetes".
"""

import datetime as dt
import enum
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec

from buoy.kubernetes import descriptions
from buoy.kubernetes.bounds import BOUNDS, ITEMS, RULES
from buoy.kubernetes.twins import origin
from buoy.model.address import Address, Prefix
from buoy.model.reason import Reason

Schema: TypeAlias = dict[str, Any]

_TEXT, _PROPERTIES = 16384, 256

_ADDRESS: Schema = {
    "type": "string",
    "maxLength": 45,
    "x-kubernetes-validations": [
        {"rule": "isIP(self) && ip.isCanonical(self)", "message": "give one address, such as 192.0.2.7 or 2001:db8::7"}
    ],
}
_PREFIX: Schema = {
    "type": "string",
    "maxLength": 49,
    "x-kubernetes-validations": [
        {
            "rule": "isCIDR(self) && string(cidr(self).masked()) == self",
            "message": "give a network without host bits, such as 192.0.2.0/24 or 2001:db8::/64",
        }
    ],
}
_PLAIN: dict[Any, Schema] = {
    str: {"type": "string", "maxLength": _TEXT},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number"},
    dt.datetime: {"type": "string", "format": "date-time"},
    Address: _ADDRESS,
    Prefix: _PREFIX,
    # an agent of another version may have a reason that this one does not know
    Reason: {"type": "string", "maxLength": 64},
}


def struct_schema(struct: type[msgspec.Struct]) -> Schema:
    """Return the schema of a twin, or of a struct that has Kubernetes' names itself."""
    hints = get_type_hints(struct, include_extras=True)
    model = origin(struct)
    told = descriptions.of_fields(model)
    properties: Schema = {}
    required = []
    for field in msgspec.structs.fields(struct):
        bounds = BOUNDS.get((model, field.name), {})
        says = {"description": told[field.name]} if field.name in told else {}
        found = of_type(hints[field.name], ITEMS.get((model, field.name)))
        properties[field.encode_name] = {**found, **says, **bounds}
        if field.required:
            required.append(field.encode_name)
    made: Schema = {"type": "object", "description": descriptions.of_struct(model), "properties": properties}
    if required:
        made["required"] = required
    if model in RULES:
        made["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in RULES[model]]
    return made


def of_type(hint: Any, items: int | None = None) -> Schema:  # noqa: ANN401  a type hint may be anything
    """Return the schema of a field's type; lists have at most `items` items."""
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if hint is Any:
        return {"x-kubernetes-preserve-unknown-fields": True}
    made = get_origin(hint)
    if made is Annotated:
        return of_type(get_args(hint)[0], items)
    if made in {Union, UnionType}:
        parts = [part for part in get_args(hint) if part is not NoneType]
        if set(parts) == {int, str}:
            return {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
        return of_type(parts[0], items)
    if made is tuple:
        return {"type": "array", "maxItems": items or 128, "items": of_type(get_args(hint)[0])}
    if made is Mapping:
        return {"type": "object", "maxProperties": _PROPERTIES, "additionalProperties": of_type(get_args(hint)[1])}
    if issubclass(hint, enum.Enum):
        return {"type": "string", "enum": [member.value for member in hint]}
    return struct_schema(hint)
