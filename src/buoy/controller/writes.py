# SPDX-License-Identifier: Apache-2.0
"""What the controller writes to the API server, each write a compare-and-set.

Promises: nothing is written over what was not read, and what of an object is not ours
is not touched. The tricky thing is a list: a patch writes all of it or none, so it
goes with the version it was read in.
"""

from typing import Any, Literal, Protocol, TypeVar

import msgspec

from buoy.controller.claims import CLAIM_OBJECT, CLAIMS, claim_of, object_of
from buoy.controller.fronts import INGRESSES, Ingress
from buoy.controller.objects import Service, conditions_with
from buoy.controller.reading import Holder
from buoy.controller.step import Finalize, Publish
from buoy.controller.subject import Claim
from buoy.kubernetes.objects import Metadata
from buoy.kubernetes.resources import PODS, SERVICES
from buoy.model.errors import Conflict
from buoy.model.service_ip import Owner
from buoy.store.api_names import ObjectName, Resource, Target

T = TypeVar("T")
PROVABLE = frozenset({"Service", "Ingress"})
"""Kinds of owners that are objects with a status of ours."""


class Api(Protocol):
    """What is used of `ApiServer`."""

    async def get(self, target: Target, into: type[T]) -> T | None:
        """Return an object; None if it is not there."""

    async def create(self, resource: Resource, namespace: str, body: object, into: type[T]) -> T:
        """Make an object; raise `Conflict` if there is one of its name."""

    async def patch(
        self, target: Target, body: object, into: type[T], kind: Literal["merge", "json"] = "merge"
    ) -> T | None:
        """Change an object; None if it is not there; raise `Conflict` if it is of another version."""

    async def delete(self, target: Target, uid: str = "", revision: str = "") -> bool:
        """Delete an object; raise `Conflict` if it is of another version."""


class _Head(msgspec.Struct, frozen=True):
    metadata: Metadata


class Writes:
    """Writes on one API server; each raises `Conflict`, `InvalidInput` or `StoreUnavailable`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def holder(self, holder: Holder, step: Finalize | Publish) -> Holder:
        """Write finalizers or status of an object that is as it was read; return it as it then is."""
        said = holder.metadata
        resource = SERVICES if isinstance(holder, Service) else INGRESSES
        at = resource.at(ObjectName(said.namespace, said.name), "status" if isinstance(step, Publish) else "")
        body: dict[str, Any] = {"metadata": {"uid": said.uid, "resourceVersion": said.resource_version}}
        if isinstance(step, Finalize):
            body["metadata"]["finalizers"] = step.finalizers
        else:
            body["status"] = {}
            if isinstance(holder, Service):
                body["status"]["conditions"] = conditions_with(holder.status, step.condition)
            if step.ingress is not None:
                body["status"]["loadBalancer"] = {"ingress": step.ingress}
        if isinstance(holder, Service):
            return _there(await self._api.patch(at, body, Service), at)
        return _there(await self._api.patch(at, body, Ingress), at)

    async def prove(self, owner: Owner, holder: Holder | None) -> None:
        """Raise `Conflict` unless an object is as it was read, or gone if it was (None); a pod only if it is gone."""
        if owner.kind not in PROVABLE:
            pod = PODS.at(ObjectName(owner.namespace, owner.name))
            if await self._api.get(pod, _Head) is None:
                raise Conflict(f"{pod} is gone")
            return
        at = (SERVICES if owner.kind == "Service" else INGRESSES).at(ObjectName(owner.namespace, owner.name))
        now = await self._api.get(at, _Head)
        read = holder.metadata.resource_version if holder else None
        if read != (now.metadata.resource_version if now else None):
            raise Conflict(f"{at} is not as it was read")

    async def claim(self, claim: Claim) -> Claim:
        """Make a claim that is not there yet (no version), or write another content over a version of it."""
        body = object_of(claim.document)
        if not claim.version:
            return claim_of(await self._api.create(CLAIMS, "", body, CLAIM_OBJECT))
        at = CLAIMS.at(ObjectName("", body["metadata"]["name"]))
        changes = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": claim.version},
            {"op": "replace", "path": "/spec", "value": body["spec"]},
        ]
        return claim_of(_there(await self._api.patch(at, changes, CLAIM_OBJECT, "json"), at))

    async def forget(self, claim: Claim) -> None:
        """Delete a version of a claim."""
        name = object_of(claim.document)["metadata"]["name"]
        await self._api.delete(CLAIMS.at(ObjectName("", name)), revision=claim.version)


def _there(written: T | None, at: Target) -> T:
    if written is None:
        raise Conflict(f"{at} is gone")
    return written
