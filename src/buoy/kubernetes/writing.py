# SPDX-License-Identifier: Apache-2.0
"""One document into the API server: made, replaced or deleted, at an expected revision or whatever is there.

Promises that what is written is the whole document: no field of the one before it
stays. Status and metadata of the object are left alone, for they are others'. The
tricky thing is a write that expects nothing: Kubernetes makes or changes, but does
not do either as needed, so the likelier is tried, and then the other.
"""

import msgspec

from buoy.kubernetes import own
from buoy.kubernetes.resources import kind_at, object_name
from buoy.model.errors import Conflict, StoreUnavailable
from buoy.store.api_client import ApiServer
from buoy.store.api_names import Target
from buoy.store.api_objects import head, number
from buoy.store.store import Write

_ATTEMPTS = 3


async def write(api: ApiServer, wish: Write, *, likely: bool, owner: object = None) -> int:
    """Do one write and return the revision it made, 0 if nothing is there now; `likely` if an object is there already.

    What is made goes with its `owner`, an owner reference, if one is given. Raises `Conflict` if the object
    is not at the expected revision, and like `ApiServer.create`.
    """
    target = kind_at(wish.path).resource.at(object_name(wish.path))
    if wish.document is None:
        return await _delete(api, target, wish.expected)
    body = own.encode(wish.path, wish.document)
    if owner is not None:
        body["metadata"]["ownerReferences"] = [owner]
    if wish.expected == 0:
        return await _create(api, target, body)
    if wish.expected is not None:
        return await _replace(api, target, body, wish.expected)
    for _ in range(_ATTEMPTS):
        if likely and (revision := await _put(api, target, body["spec"])):
            return revision
        try:
            return await _create(api, target, body)
        except Conflict:
            likely = True
    raise StoreUnavailable(f"write {target}: it is made and deleted by others all the time")


async def _create(api: ApiServer, target: Target, body: dict[str, object]) -> int:
    return _revision(await api.create(target.resource, target.name.namespace, body, msgspec.Raw))


async def _put(api: ApiServer, target: Target, spec: object) -> int:
    """Replace the spec of an object; return 0 if it is not there."""
    patch = [{"op": "add", "path": "/spec", "value": spec}]
    answer = await api.patch(target, patch, msgspec.Raw, "json")
    return 0 if answer is None else _revision(answer)


async def _replace(api: ApiServer, target: Target, body: dict[str, object], expected: int) -> int:
    patch = [
        # not "test": a test that fails is an error of the patch, a version that is not current a conflict
        {"op": "replace", "path": "/metadata/resourceVersion", "value": str(expected)},
        {"op": "add", "path": "/spec", "value": body["spec"]},
    ]
    answer = await api.patch(target, patch, msgspec.Raw, "json")
    if answer is None:
        raise Conflict(f"{target}: expected revision {expected}, is not there")
    return _revision(answer)


async def _delete(api: ApiServer, target: Target, expected: int | None) -> int:
    if expected == 0:
        if await api.get(target, msgspec.Raw) is not None:
            raise Conflict(f"{target}: expected not to be there, is")
    elif not await api.delete(target, revision=str(expected or "")) and expected:
        raise Conflict(f"{target}: expected revision {expected}, is not there")
    return 0


def _revision(raw: msgspec.Raw) -> int:
    return number(head(raw).revision)
