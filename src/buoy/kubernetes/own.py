# SPDX-License-Identifier: Apache-2.0
"""Buoy's own objects: from a document to what is sent to the API server, and from what it sends to a document.

Promises that what comes back is what was written: encode and decode are each other's
reverse for every kind. An object of another name than its document asks for is
refused, however it came there: one address must never have two claims.
"""

from typing import Any

import msgspec

from buoy.kubernetes.objects import Metadata
from buoy.kubernetes.resources import KINDS, Kind, kind_at, object_name
from buoy.kubernetes.twins import Struct, twin
from buoy.model import validate
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.store.api_names import Resource

_twins = {kind.kind: twin(kind.struct, kind.without) for kind in KINDS}


def _object_struct(kind: Kind) -> Struct:
    spec = _twins[kind.kind]
    optional = all(not field.required for field in msgspec.structs.fields(spec))
    return msgspec.defstruct(
        kind.kind,
        [("metadata", Metadata), ("spec", spec, spec() if optional else msgspec.NODEFAULT)],
        frozen=True,
        kw_only=True,
    )


STRUCTS: dict[Resource, Struct] = {kind.resource: _object_struct(kind) for kind in KINDS}
"""The struct of each kind's objects: `metadata` and `spec`."""


def spec_struct(kind: Kind) -> Struct:
    """Return the struct of a kind's spec."""
    return _twins[kind.kind]


def encode(path: str, document: Document) -> dict[str, Any]:
    """Return the object of a document, ready to be sent; raise `InvalidInput` if it is none that stands there."""
    kind = kind_at(path)
    spec = msgspec.to_builtins(msgspec.convert(document, _twins[kind.kind], from_attributes=True))
    return {
        "apiVersion": kind.resource.api_version,
        "kind": kind.kind,
        "metadata": {"name": object_name(path).name},
        "spec": spec,
    }


def decode(kind: Kind, found: Any) -> Document:  # noqa: ANN401  structs made at run time have no static type
    """Return the document of an object; raise `InvalidInput` if it says what cannot be."""
    metadata, spec = found.metadata, found.spec
    fields = {name: getattr(spec, name) for name in spec.__struct_fields__}
    identity = kind.identity(metadata.name)
    for field, value in identity.items():
        if fields.get(field) not in {None, "", value}:
            raise InvalidInput(
                f"spec.{field}", fields[field], f"write {value}, as the object's name says, or leave it out"
            )
    document: Document = msgspec.convert({**fields, **identity}, kind.struct, from_attributes=True)
    validate.check(kind.path(metadata.name), document)
    return document
