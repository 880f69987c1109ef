# SPDX-License-Identifier: Apache-2.0
"""Services, their EndpointSlices and the claims on their addresses, joined by address.

Promises: a change costs what it concerns: one Service, its slices, the addresses they
have. Only the coming or going of a node looks at every Service, for an endpoint on a
node that is not known counts as one that is elsewhere. The tricky thing: several
Services may share an address, so an address is written anew from all who have it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS, Front, Fronts, fronts, ports
from buoy.kubernetes.endpoints import FAMILIES, Standing, service_of, standing
from buoy.kubernetes.local_pods import LocalPods
from buoy.kubernetes.objects import EndpointSlice, Service
from buoy.model.address import Address, family
from buoy.model.proxied import Backing, Kind
from buoy.model.service_ip import Mode, ServiceIP
from buoy.store.api_names import ObjectName


class Services:
    """Every Service and what belongs to it; each method returns the addresses that may look different now."""

    def __init__(self, classes: Iterable[str] = (LOAD_BALANCER_CLASS,), node: str = "") -> None:
        self._classes = tuple(classes)
        self.pods = LocalPods(node)
        self._services: dict[ObjectName, Service] = {}
        self._fronts: dict[ObjectName, Fronts] = {}
        self._behind: dict[Address, set[ObjectName]] = {}
        self._slices: dict[ObjectName, dict[ObjectName, EndpointSlice]] = {}
        self._owner: dict[ObjectName, ObjectName] = {}
        self._standing: dict[tuple[ObjectName, int], Standing] = {}
        self._nodes: set[str] = set()
        self._claims: dict[Address, ServiceIP] = {}

    @property
    def problems(self) -> Mapping[ObjectName, tuple[str, ...]]:
        """What of a Service is no address, by Service."""
        return {name: found.problems for name, found in self._fronts.items() if found.problems}

    def take_service(self, name: ObjectName, service: Service | None) -> set[Address]:
        """Hear of a Service, None if it is gone."""
        before = self._fronts.pop(name, Fronts())
        after = fronts(service, self._classes) if service is not None else Fronts()
        for front in before.fronts:
            self._leave(front.address, name)
        if service is None:
            self._services.pop(name, None)
        else:
            self._services[name], self._fronts[name] = service, after
        for front in after.fronts:
            self._behind.setdefault(front.address, set()).add(name)
        self._forget_standing(name)
        return {front.address for front in (*before.fronts, *after.fronts)}

    def take_slice(self, name: ObjectName, found: EndpointSlice | None) -> set[Address]:
        """Hear of a slice, None if it is gone; one that changes hands touches both Services."""
        touched: set[Address] = set()
        former = self._owner.pop(name, None)
        if former is not None:
            gone = self._slices[former].pop(name)
            if not self._slices[former]:
                del self._slices[former]
            touched |= self._of_family(former, gone)
        if found is not None and (service := service_of(found)):
            owner = ObjectName(name.namespace, service)
            self._owner[name] = owner
            self._slices.setdefault(owner, {})[name] = found
            touched |= self._of_family(owner, found)
        return touched

    def take_node(self, name: str, *, known: bool) -> set[Address]:
        """Hear that a node is there, or is not."""
        if known == (name in self._nodes):
            return set()
        (self._nodes.add if known else self._nodes.discard)(name)
        touched: set[Address] = set()
        for service, slices in self._slices.items():
            if any(endpoint.node_name == name for each in slices.values() for endpoint in each.endpoints or ()):
                self._forget_standing(service)
                touched |= {front.address for front in self._fronts.get(service, Fronts()).fronts}
        return touched

    def take_claim(self, address: Address, claim: ServiceIP | None) -> set[Address]:
        """Hear of a claim on an address, None if it is gone."""
        self.pods.take_claim(address, claim)
        if claim is None:
            self._claims.pop(address, None)
        else:
            self._claims[address] = claim
        return {address}

    def document(self, address: Address) -> ServiceIP | None:
        """Return the service IP of an address, None if no Service has it and nobody claims it.

        A claim that is not proxied, such as a pod's, is what it is: no Service can take its address over.
        """
        claim = self._claims.get(address)
        if claim is not None and claim.mode is not Mode.PROXIED:
            return self.pods.seen(claim)
        backings = tuple(self._backings(address))
        if claim is not None:
            return msgspec.structs.replace(claim, backings=backings)
        return ServiceIP(address=address, mode=Mode.PROXIED, backings=backings) if backings else None

    def _backings(self, address: Address) -> Iterable[Backing]:
        for name in sorted(self._behind.get(address, ())):
            found = {front.kind: front for front in self._fronts[name].fronts if front.address == address}
            if Kind.EXTERNAL in found and self._gave(address, name):
                # it is of a pool, so it is announced as that is, whichever prefixes of external IPs are
                found.setdefault(Kind.LOAD_BALANCER, found[Kind.EXTERNAL]._replace(kind=Kind.LOAD_BALANCER))
            for kind in sorted(found):
                yield self._backing(name, found[kind])

    def _gave(self, address: Address, name: ObjectName) -> bool:
        """Tell whether Buoy gave an address to a Service."""
        claim = self._claims.get(address)
        if claim is None or claim.released is not None:
            return False
        return any((each.kind, each.namespace, each.name) == ("Service", *name) for each in claim.owners)

    def _backing(self, name: ObjectName, front: Front) -> Backing:
        where = self._stands(name, family(front.address))
        served, unserved = ports(self._services[name], where.ports)
        return Backing(
            service=f"{name.namespace}/{name.name}",
            kind=front.kind,
            ports=served,
            local=front.local,
            host_route=front.host_route,
            ready=where.ready,
            draining=where.draining,
            elsewhere=where.elsewhere,
            unserved=unserved,
        )

    def _stands(self, name: ObjectName, version: int) -> Standing:
        key = name, version
        if key not in self._standing:
            slices = self._slices.get(name, {}).values()
            fitting = (each for each in slices if FAMILIES.get(each.address_type) == version)
            publish = self._services[name].spec.publish_not_ready_addresses
            self._standing[key] = standing(fitting, self._nodes, publish=publish)
        return self._standing[key]

    def _of_family(self, name: ObjectName, found: EndpointSlice) -> set[Address]:
        version = FAMILIES.get(found.address_type, 0)
        self._standing.pop((name, version), None)
        return {each.address for each in self._fronts.get(name, Fronts()).fronts if family(each.address) == version}

    def _forget_standing(self, name: ObjectName) -> None:
        for version in FAMILIES.values():
            self._standing.pop((name, version), None)

    def _leave(self, address: Address, name: ObjectName) -> None:
        if address in self._behind:
            self._behind[address].discard(name)
            if not self._behind[address]:
                del self._behind[address]
