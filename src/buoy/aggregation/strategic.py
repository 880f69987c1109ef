# SPDX-License-Identifier: Apache-2.0
"""Strategic merge patches, as merge patches (RFC 7386) that do the same.

Promises: the merge patch made of an object and a strategic patch gives what apimachinery's
strategicpatch gives for Calico's kinds. Their lists have no patch strategy and are replaced
whole; only `ASSOCIATIVE` lists, which all kinds have, are merged item by item. The tricky
thing: a patch without directives and without those lists *is* a merge patch, which the API
server applies at once; any other needs the object as it is now.

Source: kubernetes/community, sig-api-machinery/strategic-merge-patch.md.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from buoy.model.errors import InvalidInput

Json = Any
Object = dict[str, Json]

ASSOCIATIVE: Mapping[tuple[str, ...], str] = {
    ("metadata", "finalizers"): "",
    ("metadata", "ownerReferences"): "uid",
    ("status", "conditions"): "type",
}
"""Lists that are merged, by path, and the field that tells their items apart; "" where items are texts."""

_PATCH, _RETAIN = "$patch", "$retainKeys"
_DELETE, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


def is_merge_patch(patch: Json, path: tuple[str, ...] = ()) -> bool:
    """Tell whether a strategic merge patch means the same as RFC 7386 has it mean, whatever the object is."""
    if isinstance(patch, dict):
        return all(
            not _is_directive(key) and (*path, key) not in ASSOCIATIVE and is_merge_patch(value, (*path, key))
            for key, value in patch.items()
        )
    return not isinstance(patch, list) or all(is_merge_patch(item, (*path, "[]")) for item in patch)


def as_merge_patch(current: Object, patch: Object) -> Object:
    """Return the merge patch that does to `current` what a strategic one means; raise `InvalidInput`."""
    return difference(current, merge(current, patch))


def merge(current: Object, patch: Object, path: tuple[str, ...] = ()) -> Object:
    """Return an object after a strategic merge patch; `path` is where it stands. Raises `InvalidInput`."""
    if _PATCH in patch:
        return _replaced(patch, path)
    result = _retained(current, patch, path)
    # what is taken away first: members of an object have no order, and what is named twice is wanted
    for key, value in sorted(patch.items(), key=lambda member: not member[0].startswith(_DELETE)):
        # the order of what it names has no meaning: finalizers, owners and conditions are sets
        if not key.startswith(_ORDER) and key != _RETAIN:
            _set(result, key, value, path)
    return result


def difference(before: Object, after: Object) -> Object:
    """Return the merge patch (RFC 7386) that makes `after` of `before`; `after` has no nulls in its objects."""
    patch: Object = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := difference(old, value):
                patch[key] = inner
        # as JSON: to Python 1 is true, and 1.0 is 1
        elif key not in before or msgspec.json.encode(old) != msgspec.json.encode(value):
            patch[key] = value
    return patch


def _set(result: Object, key: str, value: Json, path: tuple[str, ...]) -> None:
    """Let one member of a patch change the result."""
    if key.startswith(_DELETE):
        key = key.removeprefix(_DELETE)
        gone = _texts(value, (*path, key))
        if isinstance(result.get(key), list):
            result[key] = [item for item in result[key] if item not in gone]
        return
    old, path = result.get(key), (*path, key)
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        # to what is not there yet nothing of a patch is told but its values: no nulls, no directives
        result[key] = merge(old if isinstance(old, dict) else {}, value, path)
    elif isinstance(value, list):
        result[key] = _merge_list(old if isinstance(old, list) else [], value, path)
    else:
        result[key] = value


def _replaced(patch: Object, path: tuple[str, ...]) -> Object:
    match patch[_PATCH]:
        case "replace":
            return merge({}, {key: value for key, value in patch.items() if key != _PATCH}, path)
        case "delete":
            return {}
    raise _refused(path, _PATCH, patch[_PATCH], "write replace or delete")


def _retained(current: Object, patch: Object, path: tuple[str, ...]) -> Object:
    if _RETAIN not in patch:
        return dict(current)
    kept = _texts(patch[_RETAIN], (*path, _RETAIN))
    named = {key for key, value in patch.items() if value is not None and not _is_directive(key)}
    if not named <= set(kept):
        raise _refused(path, _RETAIN, ", ".join(sorted(named - set(kept))), "name every field that the patch sets")
    return {key: value for key, value in current.items() if key in kept}


def _merge_list(current: list[Json], patch: list[Json], path: tuple[str, ...]) -> list[Json]:
    key = ASSOCIATIVE.get(path)
    if key is None:
        return _whole_list(patch, path)
    if key:
        return _keyed_list(current, patch, path)
    return list(dict.fromkeys([*current, *_texts(patch, path)]))


def _whole_list(patch: list[Json], path: tuple[str, ...]) -> list[Json]:
    """Return a list that is replaced; that it says so of itself changes nothing."""
    items = [item for item in patch if item != {_PATCH: "replace"}]
    if not is_merge_patch(items, path):
        raise _refused(path, "directive", "(in an item)", "give the whole list: its items have no key to be found by")
    return items


def _keyed_list(current: list[Json], patch: list[Json], path: tuple[str, ...]) -> list[Json]:
    key = ASSOCIATIVE[path]
    for item in patch:
        if not isinstance(item, dict):
            raise _refused(path, "item", item, "write an object")
    replaces = any(item.get(_PATCH) == "replace" for item in patch)
    found: dict[str, Json] = {} if replaces else {str(item.get(key)): item for item in current}
    for item in patch:
        directive, name = item.get(_PATCH), item.get(key)
        if directive == "replace":
            continue
        if directive not in {None, "delete"}:
            raise _refused(path, _PATCH, directive, "write replace or delete")
        if not isinstance(name, str):
            raise _refused(path, key, name, "give it: it tells which item is meant")
        if directive == "delete":
            found.pop(name, None)
        else:
            found[name] = merge(found.get(name, {}), item, (*path, "[]"))
    return list(found.values())


def _texts(value: Json, path: tuple[str, ...]) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _refused(path[:-1], path[-1], value, "write a list of texts")
    return value


def _is_directive(key: str) -> bool:
    return key in {_PATCH, _RETAIN} or key.startswith((_DELETE, _ORDER))


def _refused(path: tuple[str, ...], field: str, value: Json, remedy: str) -> InvalidInput:
    return InvalidInput(".".join((*path, field)), value, f"correct the strategic merge patch: {remedy}")
