# SPDX-License-Identifier: Apache-2.0
"""A node's presence in the cluster, as its kubelet keeps it: the Node, its lease, and Buoy's credential on it.

Promises that a node which was held for dead is ready again with the first renewal that gets through.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

from buoy.lab import kube_credential, pod_status
from buoy.lab.kubelet_api import UNREACHABLE, Denied, KubeletApi

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_LEASE_SECONDS, _RETRY_SECONDS = 1.0, 0.3


def now(*, micro: bool = False) -> str:
    """Return the time as the API server writes times, or with microseconds, as it does for leases."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


class Presence:
    """Of the node of that name and addresses."""

    def __init__(self, api: KubeletApi, name: str, addresses: Sequence[str]) -> None:
        self._api = api
        self._name = name
        self._addresses = addresses

    async def register(self, cidrs: Sequence[str]) -> None:
        """Make the node known, with the ranges of its pods; return once it is."""
        wanted = pod_status.node(self._name, cidrs)
        while True:
            try:
                with contextlib.suppress(Denied):  # it is there already
                    await self._api.send("POST", "/api/v1/nodes", wanted)
                await self._renew()
            except (*UNREACHABLE, Denied) as error:
                print(f"registering: {error!r}", flush=True)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _renew(self) -> None:
        lease = {"spec": {"holderIdentity": self._name, "leaseDurationSeconds": 8, "renewTime": now(micro=True)}}
        try:
            await self._api.send("PATCH", f"{_LEASES}/{self._name}", lease)
        except Denied:
            head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            await self._api.send("POST", _LEASES, {**head, **lease})
        found = await self._api.send("GET", f"/api/v1/nodes/{self._name}?resourceVersion=0")
        if not pod_status.is_ready_node(found):
            status = pod_status.ready_node(found, self._addresses, now())
            await self._api.send("PATCH", f"/api/v1/nodes/{self._name}/status", {"status": status})

    async def renew_until_back(self) -> None:
        """Renew the lease; return once that worked after it did not."""
        was_lost = False
        while True:
            await asyncio.sleep(_LEASE_SECONDS)
            try:
                await self._renew()
            except UNREACHABLE as error:
                if not was_lost:
                    print(f"renewing the lease: {error!r}", flush=True)
                was_lost = True
                continue
            except Denied as error:  # the node was deleted: a kubelet does not register it again until it starts anew
                print(f"renewing the lease: {error}", flush=True)
                continue
            if was_lost:
                return

    async def keep_credential(self) -> None:
        """Keep a token of Buoy's agent that is good: ask anew when four fifths of its time are over."""
        path = kube_credential.path(kube_credential.AGENT)
        while True:
            try:
                kube_credential.put(await self._api.send("POST", path, kube_credential.REQUEST))
            except (*UNREACHABLE, Denied):  # the account may not be there yet
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await asyncio.sleep(kube_credential.SECONDS * 0.8)
