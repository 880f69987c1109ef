# SPDX-License-Identifier: Apache-2.0
"""Ingresses, and the Service of the controller that serves the class of each.

Promises that it is known of each Ingress where its traffic is to go, and of each
Service whose traffic comes to it. Kubernetes does not say which Service a class's
controller is behind; its operator does, on the class. A class of which nobody says it
is somebody else's business.

Source: networking.k8s.io/v1 Ingress, IngressClass.
"""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from buoy.controller.objects import Status
from buoy.ipam.scope import ADDRESSES, POOL
from buoy.kubernetes.objects import Metadata
from buoy.store.api_names import ObjectName, Resource

INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", namespaced=True)
CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", namespaced=False)
SERVED_BY = "buoy.dev/service"
"""Annotation of an IngressClass: ``namespace/name`` of the Service its controller is behind."""

NOT_SERVED = "ClassNotServed"
"""The reason of an Ingress whose class leads to no Service that can have its address."""

_ASKING = (POOL, ADDRESSES, "opencontrail.org/fip-pool", "externalIP")
_OLD_CLASS = "kubernetes.io/ingress.class"


class IngressSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What of an Ingress's wishes its address depends on."""

    ingress_class_name: str | None = None


class Ingress(msgspec.Struct, frozen=True, kw_only=True):
    """networking.k8s.io/v1 Ingress."""

    metadata: Metadata
    spec: IngressSpec = IngressSpec()
    status: Status = Status()


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """An object that says more of a class."""

    kind: str
    name: str
    namespace: str = ""


class IngressClassSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Who serves a class."""

    parameters: Parameters | None = None


class IngressClass(msgspec.Struct, frozen=True, kw_only=True):
    """networking.k8s.io/v1 IngressClass."""

    metadata: Metadata
    spec: IngressClassSpec = IngressClassSpec()


class Fronts:
    """Ingresses by name, and by the Service their traffic is to go to."""

    def __init__(self) -> None:
        self.ingresses: dict[ObjectName, Ingress] = {}
        self._services: dict[str, ObjectName] = {}
        self._of_class: defaultdict[str, set[ObjectName]] = defaultdict(set)
        self._of_service: defaultdict[ObjectName, set[str]] = defaultdict(set)

    def put(self, name: ObjectName, ingress: Ingress | None) -> None:
        """Take in an Ingress as it now is, None if it is gone."""
        before = self.ingresses.pop(name, None)
        if before is not None:
            self._of_class[class_of(before)].discard(name)
        if ingress is not None:
            self.ingresses[name] = ingress
            self._of_class[class_of(ingress)].add(name)

    def put_class(self, name: str, found: IngressClass | None) -> bool:
        """Take in a class as it now is; tell whether it leads elsewhere than before."""
        before, now = self._services.pop(name, None), served_by(found) if found else None
        if before is not None:
            self._of_service[before].discard(name)
        if now is not None:
            self._services[name] = now
            self._of_service[now].add(name)
        return before != now

    def of_class(self, name: str) -> frozenset[ObjectName]:
        """Return the Ingresses of a class."""
        return frozenset(self._of_class.get(name, ()))

    def of_service(self, service: ObjectName) -> frozenset[ObjectName]:
        """Return the Ingresses whose traffic is to go to a Service."""
        return frozenset(name for each in self._of_service.get(service, ()) for name in self.of_class(each))

    def service(self, ingress: Ingress) -> ObjectName | None:
        """Return where the traffic of an Ingress is to go, None if nobody says so."""
        return self._services.get(class_of(ingress))


def class_of(ingress: Ingress) -> str:
    """Return the class of an Ingress, empty if it has none."""
    annotations: Mapping[str, str] = ingress.metadata.annotations or {}
    return ingress.spec.ingress_class_name or annotations.get(_OLD_CLASS, "")


def asks(ingress: Ingress) -> bool:
    """Tell whether an Ingress itself asks for an address, so that it is owed an answer whatever its class."""
    annotations: Mapping[str, str] = ingress.metadata.annotations or {}
    return any(annotations.get(key, "").strip() for key in _ASKING)


def served_by(found: IngressClass) -> ObjectName | None:
    """Return the Service a class names by annotation or as its parameters, None if it names none."""
    namespace, slash, name = (found.metadata.annotations or {}).get(SERVED_BY, "").partition("/")
    if slash and namespace and name:
        return ObjectName(namespace, name)
    parameters = found.spec.parameters
    if parameters is not None and parameters.kind == "Service" and parameters.namespace:
        return ObjectName(parameters.namespace, parameters.name)
    return None


def unserved(ingress: Ingress, service: ObjectName | None, *, exists: bool) -> str:
    """Return why the traffic of an Ingress has nowhere to go, and what to do; `service` is what its class names."""
    name = class_of(ingress)
    if not name:
        return "it has no class; name one in spec.ingressClassName"
    if service is None:
        remedy = f"kubectl annotate ingressclass {name} {SERVED_BY}=NAMESPACE/NAME"
        return f"class {name} does not say behind which Service its controller is; {remedy}"
    if not exists:
        return f"class {name} is served by Service {service}, which does not exist; make it"
    said = f"class {name} is served by Service {service}, which has no addresses of ours"
    return f"{said}; make it of type LoadBalancer, without a loadBalancerClass or of ours"
