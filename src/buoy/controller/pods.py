# SPDX-License-Identifier: Apache-2.0
"""The pods of a cluster by whom a floating IP of theirs is given to, and what one asks for.

Promises that of a pod which changes its owner both owners are news. The tricky thing
is that a pod asks for nothing unless it says so: no pool is automatic for pods.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from buoy.ipam.eligible import meant
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Request
from buoy.ipam.scope import CALICO_FLOATING_IPS, FLOATING_IP, Said, wishes
from buoy.kubernetes.objects import Namespace
from buoy.kubernetes.pods import Pod, addresses, owner_of, parse_mappings
from buoy.model.errors import InvalidInput
from buoy.model.pool import Direction
from buoy.model.refusal import AllocationReason, Cause
from buoy.model.service_ip import Identity, Owner, PortMapping
from buoy.store.api_names import ObjectName

DIRECTION = "buoy.dev/floating-ip-direction"
PORTS = "buoy.dev/floating-ip-ports"
_ASKING = (FLOATING_IP, CALICO_FLOATING_IPS)


class Wish(NamedTuple):
    """What a pod asks for; `direction` None: as its pool says."""

    request: Request
    direction: Direction | None
    mappings: tuple[PortMapping, ...]
    has: frozenset[int]
    """Of which families the pod has an address."""


class Pods:
    """Every pod, by its owner; `cluster` is the name of this one among those that draw from the same pools."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._pods: dict[ObjectName, Pod] = {}
        self._of: defaultdict[Identity, dict[ObjectName, Pod]] = defaultdict(dict)

    def put(self, name: ObjectName, pod: Pod | None) -> tuple[Identity, ...]:
        """Take in a pod as it now is, None if it is gone; return the owners that it was and is of."""
        before = self._pods.pop(name, None)
        touched = []
        if before is not None:
            identity = owner_of(before, self._cluster).identity
            touched.append(identity)
            del self._of[identity][name]
            if not self._of[identity]:
                del self._of[identity]
        if pod is not None:
            self._pods[name] = pod
            identity = owner_of(pod, self._cluster).identity
            touched.append(identity)
            self._of[identity][name] = pod
        return tuple(touched)

    def get(self, name: ObjectName) -> Pod | None:
        """Return a pod as it was last heard of."""
        return self._pods.get(name)

    def of(self, identity: Identity) -> tuple[Pod, ...]:
        """Return the pods of an owner."""
        return tuple(self._of.get(identity, {}).values())

    def asking(self, namespace: str = "") -> Iterator[Identity]:
        """Yield the owners of pods that ask for a floating IP, of a namespace or of all."""
        for pod in self._pods.values():
            if is_asking(pod) and namespace in {"", pod.metadata.namespace}:
                yield owner_of(pod, self._cluster).identity


def is_asking(pod: Pod | None) -> bool:
    """Tell whether a pod asks for a floating IP."""
    said = (pod.metadata.annotations if pod else None) or {}
    return any(said.get(key, "").strip() for key in _ASKING)


def told_as(pod: Pod) -> Owner:
    """Return a pod as what Events are about."""
    said = pod.metadata
    return Owner(kind="Pod", namespace=said.namespace, name=said.name, uid=said.uid)


def wish_of(pod: Pod, owner: Owner, namespace: Namespace | None, ledger: Ledger) -> Wish:
    """Return what a pod asks for that does; what cannot be read of it objects to anything new."""
    said, own = pod.metadata.annotations or {}, tuple(addresses(pod))
    wished = wishes(Said(kind="Pod", namespace=owner.namespace, annotations=said), own)
    objections = list(wished.objections)
    direction = _direction(said, objections)
    mappings = _mappings(said, objections)
    if wished.wanted and not objections:
        families = tuple(each for each in own if each in wished.wanted)
    else:
        open_to = {each: meant(choice, ledger.pools) for each, choice in wished.choices.items()}
        given = (each for each in own if any(ledger.blocks(pool, each).size for pool in open_to.get(each, ())))
        families = tuple(given) or own
    request = Request(
        owner=owner,
        families=families,
        wanted=wished.wanted,
        choices=wished.choices,
        labels=pod.metadata.labels or {},
        namespace_labels=(namespace.metadata.labels if namespace else None) or {},
        objections=tuple(objections),
    )
    return Wish(request, direction, mappings, frozenset(own))


def _direction(said: Mapping[str, str], objections: list[Cause]) -> Direction | None:
    text = said.get(DIRECTION, "").strip()
    if text in {"", *Direction}:
        return Direction(text) if text else None
    objections.append(_malformed(DIRECTION, text, "it is no direction", ", ".join(Direction)))
    return None


def _mappings(said: Mapping[str, str], objections: list[Cause]) -> tuple[PortMapping, ...]:
    text = said.get(PORTS, "")
    try:
        return parse_mappings(text, PORTS)
    except InvalidInput as error:
        objections.append(_malformed(PORTS, text, f"{error.value} maps no ports", "tcp/80:8080,udp/5000-5010:6000"))
        return ()


def _malformed(key: str, text: str, error: str, expected: str) -> Cause:
    details = {"said": f"annotation {key}", "value": repr(text), "error": error, "expected": expected}
    return Cause(AllocationReason.MALFORMED, details)
