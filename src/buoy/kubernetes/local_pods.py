# SPDX-License-Identifier: Apache-2.0
"""The pods of the node that asks, so that it leads a floating IP to nobody but the pod it was given to.

Promises that of the endpoints on this node those remain whose pod is here and has the address. Whoever leads
claims to pods may be away while a pod goes, and its address may be another pod's a moment later. Endpoints on
other nodes are those nodes' affair; a reader that speaks for no node takes claims as they are.
"""

from collections import defaultdict

import msgspec

from buoy.kubernetes.pods import Pod, addresses, is_candidate
from buoy.model.address import Address
from buoy.model.service_ip import Attachment, Endpoint, ServiceIP
from buoy.store.api_names import ObjectName


class LocalPods:
    """The pods of `node`, "" for none, and which floating IPs lead to them."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._addresses: dict[str, frozenset[Address]] = {}
        self._led: defaultdict[str, set[Address]] = defaultdict(set)
        self._workloads: dict[Address, frozenset[str]] = {}

    def take(self, name: ObjectName, pod: Pod | None) -> frozenset[Address]:
        """Hear of a pod, None if it is gone; return the floating IPs that may look different now."""
        workload = f"{name.namespace}/{name.name}"
        before = self._addresses.pop(workload, frozenset())
        after = frozenset(addresses(pod).values()) if pod is not None and is_candidate(pod) else frozenset()
        if after:
            self._addresses[workload] = after
        return frozenset(self._led.get(workload, ())) if before != after else frozenset()

    def take_claim(self, address: Address, claim: ServiceIP | None) -> None:
        """Hear of a claim, None if it is gone."""
        for workload in self._workloads.pop(address, ()):
            self._led[workload].discard(address)
            if not self._led[workload]:
                del self._led[workload]
        led = frozenset(end.workload for end in claim.endpoints if self._is_ours(end)) if claim else frozenset()
        if led:
            self._workloads[address] = led
        for workload in led:
            self._led[workload].add(address)

    def seen(self, claim: ServiceIP) -> ServiceIP:
        """Return a claim without the endpoints whose pod is not here, or has another address."""
        left = tuple(end for end in claim.endpoints if not self._is_ours(end) or self._is_here(end))
        return claim if left == claim.endpoints else msgspec.structs.replace(claim, endpoints=left)

    def _is_ours(self, end: Endpoint) -> bool:
        return bool(self._node) and end.node == self._node and end.attached is Attachment.HOST

    def _is_here(self, end: Endpoint) -> bool:
        return end.target in self._addresses.get(end.workload, ())
