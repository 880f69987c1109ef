# SPDX-License-Identifier: Apache-2.0
"""From a Service as it was read to the subject of a decision.

Promises: whether a Service is ours is asked here alone. The tricky thing: a Service
that is no load balancer has lost its class, so whose finalizer it still bears is
known only where Services without a class are ours.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from buoy.controller.fronts import Ingress
from buoy.controller.objects import Service, condition_of
from buoy.controller.subject import Entry, Subject
from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS
from buoy.kubernetes.objects import Namespace
from buoy.model.address import Address, parse_address
from buoy.model.errors import InvalidInput
from buoy.model.service_ip import Owner

CLASS = LOAD_BALANCER_CLASS
"""The `loadBalancerClass` that is ours unless another is named."""

_HEADLESS = "None"

Holder: TypeAlias = Service | Ingress
"""What may have addresses."""


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """Which Services are ours: those of `load_balancer_class`, and where `unset`, those that name no class."""

    load_balancer_class: str = CLASS
    unset: bool = True
    cluster: str = ""
    """The name of this cluster among those that draw from the same pools."""

    public_pool: str = ""
    """The pool of who names none, as in KUBERNETES_PUBLIC_FIP_POOL."""

    def balances(self, service: Service) -> bool:
        """Tell whether a Service is a load balancer of ours."""
        return _is_balancer(service) and self._is_of_class(service)

    def wants(self, service: Service) -> bool:
        """Tell whether a Service is to have addresses of us, or names some itself."""
        if service.metadata.deletion_timestamp is not None:
            return False
        return self.balances(service) or (bool(service.spec.external_ips) and not self.is_foreign(service))

    def is_foreign(self, service: Service) -> bool:
        """Tell whether a Service is somebody else's, or may be."""
        return not self._is_of_class(service) if _is_balancer(service) else not self.unset

    def _is_of_class(self, service: Service) -> bool:
        named = service.spec.load_balancer_class
        return self.unset if named is None else named == self.load_balancer_class


def owner_of(holder: Holder, cluster: str) -> Owner:
    """Return an object as an owner of addresses."""
    said = holder.metadata
    return Owner(kind=type(holder).__name__, namespace=said.namespace, name=said.name, uid=said.uid, cluster=cluster)


def subject_of(
    service: Service, ours: Ours, owned: Callable[[Address], bool], extras: tuple[Address, ...] = ()
) -> Subject:
    """Return a Service as the subject of a decision.

    `owned` tells whether an address is of a pool of ours or claimed for it, `extras` are those of Ingresses it serves.
    """
    balances = ours.balances(service) and service.metadata.deletion_timestamp is None
    return Subject(
        owner=owner_of(service, ours.cluster),
        version=service.metadata.resource_version,
        wants=ours.wants(service),
        foreign=ours.is_foreign(service),
        writable=service.spec.type == "LoadBalancer",
        finalizers=service.metadata.finalizers or (),
        ingress=_entries(service, owned),
        condition=condition_of(service.status),
        extras=extras if balances else (),
    )


def subject_of_ingress(ingress: Ingress, ours: Ours, owned: Callable[[Address], bool], *, is_ours: bool) -> Subject:
    """Return an Ingress as the subject of a decision."""
    return Subject(
        owner=owner_of(ingress, ours.cluster),
        version=ingress.metadata.resource_version,
        wants=is_ours and ingress.metadata.deletion_timestamp is None,
        ingress=_entries(ingress, owned),
    )


def _entries(holder: Holder, owned: Callable[[Address], bool]) -> tuple[Entry, ...]:
    return tuple(Entry(said, _is_ours(said, owned)) for said in holder.status.load_balancer.ingress or ())


def shown(holder: Holder) -> tuple[Address, ...]:
    """Return the addresses in an object's status, in their order; what is none is passed over."""
    found = (_address(said) for said in holder.status.load_balancer.ingress or ())
    return tuple(address for address in found if address is not None)


def owned(subject: Subject) -> tuple[Address, ...]:
    """Return the addresses of ours that an object's status shows."""
    found = (_address(entry.said) for entry in subject.ingress if entry.ours)
    return tuple(address for address in found if address is not None)


def reached(service: Service | None) -> frozenset[Address]:
    """Return the addresses under which a Service is reached from outside, whoever gave them to it."""
    return frozenset() if service is None else frozenset(shown(service)) | external(service)


def external(service: Service) -> frozenset[Address]:
    """Return the addresses a Service names itself; what is none is passed over, as kube-proxy does."""
    return frozenset(filter(None, (_address({"ip": text}) for text in service.spec.external_ips or ())))


def _is_balancer(service: Service) -> bool:
    return service.spec.type == "LoadBalancer" and service.spec.cluster_ip != _HEADLESS


def _is_ours(said: Mapping[str, object], owned: Callable[[Address], bool]) -> bool:
    address = _address(said)
    return address is not None and owned(address)


def _address(said: Mapping[str, object]) -> Address | None:
    try:
        return parse_address(str(said.get("ip") or ""))
    except InvalidInput:
        return None


def says(namespace: Namespace | None) -> tuple[object, object]:
    """Return what of a namespace counts for who is in it."""
    return (namespace.metadata.labels, namespace.metadata.annotations) if namespace else (None, None)
