# SPDX-License-Identifier: Apache-2.0
"""One kind by two names: clients say projectcalico.org/v3, the CRD behind us calls the same v3crd.

Promises that only the name of the version changes, and only where it stands as such: in
`apiVersion`, in `metadata.managedFields`, in objects within lists, tables and patches. What
people wrote (annotations but one, owner references) stays. The tricky thing is an object that was
written under both names: one manager then has two entries in `managedFields`, which a client
would see as two of one name, and which are therefore shown as one.

Sources: kubernetes.io, API concepts; apimachinery's meta/v1 ManagedFieldsEntry and Table.
"""

from collections.abc import Iterable
from typing import Any

import yaml

from buoy.kubernetes.resources import CALICO, CALICO_TWIN
from buoy.model.errors import InvalidInput

GROUP = CALICO
VERSION, TWIN = "v3", CALICO_TWIN
SERVED, BEHIND = f"{GROUP}/{VERSION}", f"{GROUP}/{TWIN}"
"""What clients write as `apiVersion`, and what the CRD serves beside it."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Json = Any
"""A value as JSON has it; objects are dictionaries."""


def inward(body: Json) -> Json:
    """Return an object, or a patch that resembles one, as the CRD reads it; changes `body` itself."""
    if isinstance(body, dict):
        _rename(body, SERVED, BEHIND)
        for entry in _managed_fields(body):
            _rename(entry, SERVED, BEHIND)
        _rename_applied(body, SERVED, BEHIND)
    return body


def inward_operations(operations: Json) -> Json:
    """Return a JSON Patch (RFC 6902) as the CRD reads it; changes `operations` itself."""
    for operation in operations if isinstance(operations, list) else ():
        if isinstance(operation, dict) and "value" in operation:
            operation["value"] = _inward_value(str(operation.get("path", "")), operation["value"])
    return operations


def _inward_value(path: str, value: Json) -> Json:
    match path:
        case "":
            return inward(value)
        case "/apiVersion":
            return BEHIND if value == SERVED else value
        case "/metadata":
            return inward({"metadata": value})["metadata"]
    parts = path.split("/")[1:]
    if parts[:2] != ["metadata", "managedFields"]:
        return value
    if len(parts) == 4 and parts[3] == "apiVersion":
        return BEHIND if value == SERVED else value
    for entry in value if isinstance(value, list) else [value]:
        _rename(entry, SERVED, BEHIND)
    return value


def inward_yaml(text: str) -> str:
    """Return one YAML document as the CRD reads it: its `apiVersion` is replaced, every other character stays.

    It is not read as values, for YAML 1.1 would make a number of a community such as ``65000:50``.
    Raises `InvalidInput`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InvalidInput("body", getattr(error, "problem", None) or "(not YAML)", "correct the YAML") from error
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "apiVersion" and value.value == SERVED:
            return text[: value.start_mark.index] + f'"{BEHIND}"' + text[value.end_mark.index :]
    return text


def outward(answer: Json) -> Json:
    """Return an object, list, table or Status of the CRD's as clients know it; changes `answer` itself."""
    if not isinstance(answer, dict):
        return answer
    _rename(answer, BEHIND, SERVED)
    if entries := list(_managed_fields(answer)):
        for entry in entries:
            _rename(entry, BEHIND, SERVED)
        answer["metadata"]["managedFields"] = _united(entries)
    _rename_applied(answer, BEHIND, SERVED)
    for item in answer.get("items") or ():
        outward(item)
    if answer.get("kind") == "Table":
        for row in answer.get("rows") or ():
            outward(row.get("object"))
    if answer.get("kind") == "Status":
        _retell(answer)
    return answer


def outward_text(text: str) -> str:
    """Return what the CRD's server says to people, such as a warning, as clients know it."""
    # no word of anybody else's: field and object names are not chosen to be this one
    return text.replace(TWIN, VERSION)


def _rename(named: Json, old: str, new: str) -> None:
    if isinstance(named, dict) and named.get("apiVersion") == old:
        named["apiVersion"] = new


def _rename_applied(body: dict[str, Json], old: str, new: str) -> None:
    """Rename the version in what was last applied by a client, as JSON in an annotation.

    In both directions: kube-apiserver writes it anew, in its words, when such an object is applied on
    the server, and kubectl then says the same in ours, which must not be a conflict.
    """
    metadata = body.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict) and isinstance(applied := annotations.get(_LAST_APPLIED), str):
        annotations[_LAST_APPLIED] = applied.replace(f'"{old}"', f'"{new}"')


def _retell(status: dict[str, Json]) -> None:
    details = status.get("details")
    for said in [status, *((details.get("causes") or ()) if isinstance(details, dict) else ())]:
        if isinstance(said.get("message"), str):
            said["message"] = outward_text(said["message"])


def _managed_fields(body: dict[str, Json]) -> Iterable[Json]:
    metadata = body.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, dict) else None
    return entries if isinstance(entries, list) else ()


def _united(entries: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Return entries of which no two are the same manager's; of two the fields are joined and the later time kept."""
    found: dict[tuple[str, ...], dict[str, Json]] = {}
    for entry in entries:
        name = tuple(str(entry.get(part, "")) for part in ("manager", "operation", "apiVersion", "subresource"))
        first = found.setdefault(name, entry)
        if first is not entry:
            first["fieldsV1"] = _joined(first.get("fieldsV1") or {}, entry.get("fieldsV1") or {})
            # RFC 3339 in UTC: the order of the texts is that of the times
            first["time"] = max(first.get("time", ""), entry.get("time", ""))
    return list(found.values())


def _joined(one: dict[str, Json], other: dict[str, Json]) -> dict[str, Json]:
    shared = {key: _joined(one[key], other[key]) for key in one if key in other}
    return {**one, **other, **shared}
