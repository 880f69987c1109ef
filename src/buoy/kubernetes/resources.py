# SPDX-License-Identifier: Apache-2.0
"""Which resources of an API server Buoy reads, and where its own documents stand in it.

Promises one object per document, and back: the object's name says what the document's
path does, and nothing that the name says stands in its spec a second time, but for
addresses, which a name can only hold escaped.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from buoy.kubernetes.escaping import escape, unescape
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.node import Fence, Node
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.model.pool import Pool
from buoy.model.service_ip import ServiceIP
from buoy.model.status import AddressStatus, Witness
from buoy.store.api_names import ObjectName, Resource

GROUP = "buoy.dev"
VERSION = "v1"
NAMESPACE = "buoy-system"
"""Where Buoy's pods run, and the leases of its nodes stand."""

CALICO = "projectcalico.org"
CALICO_TWIN = "v3crd"
"""A second name of v3, by which the API server itself serves the same objects where another server is before v3."""

SERVICES = Resource("", "v1", "services", namespaced=True)
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", namespaced=True)
PODS = Resource("", "v1", "pods", namespaced=True)
NODES = Resource("", "v1", "nodes", namespaced=False)
SERVICE_CIDRS = Resource("networking.k8s.io", "v1", "servicecidrs", namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
BGP_CONFIGURATIONS = Resource(CALICO, "v3", "bgpconfigurations", namespaced=False)
BGP_PEERS = Resource(CALICO, "v3", "bgppeers", namespaced=False)
BGP_FILTERS = Resource(CALICO, "v3", "bgpfilters", namespaced=False)
ADDRESS_POOLS = Resource("metallb.io", "v1beta1", "ipaddresspools", namespaced=True)

SETTINGS = "default"
"""The name of the one BGPSettings object, as of Calico's BGPConfiguration."""


class Kind(NamedTuple):
    """One kind of Buoy's own objects; `path` gives a document's path for an object's name."""

    struct: type[Document]
    kind: str
    plural: str
    prefix: str
    """With what the paths of its documents begin."""
    without: tuple[str, ...]
    """Fields of the struct that are not in the spec."""
    path: Callable[[str], str]
    identity: Callable[[str], dict[str, str]]
    """The fields that follow from the object's name."""

    @property
    def resource(self) -> Resource:
        """The resource of its objects; they stand in no namespace."""
        return Resource(GROUP, VERSION, self.plural, namespaced=False)


def _named(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + name


def _field(field: str) -> Callable[[str], dict[str, str]]:
    return lambda name: {field: name}


def _settings_path(name: str) -> str:
    if name != SETTINGS:
        raise InvalidInput("metadata.name", name, f"name it {SETTINGS}: a cluster has one BGPSettings")
    return "settings/bgp"


def _claim_address(name: str) -> dict[str, str]:
    address, rest = unescape(name)
    if rest:
        raise InvalidInput("metadata.name", name, f"name it {escape(address)}")
    return {"address": address}


def _status_identity(name: str) -> dict[str, str]:
    address, node = unescape(name)
    return {"node": node, "address": address}


def _status_path(name: str) -> str:
    found = _status_identity(name)
    return f"status/{found['node']}/address/{found['address']}"


KINDS: tuple[Kind, ...] = (
    Kind(Pool, "Pool", "pools", "pools/", ("schema", "name"), _named("pools/"), _field("name")),
    Kind(
        ServiceIP,
        "ServiceIP",
        "serviceips",
        "service-ips/",
        ("schema", "backings"),
        lambda name: f"service-ips/{_claim_address(name)['address']}",
        _claim_address,
    ),
    Kind(Peer, "Peer", "peers", "peers/", ("schema", "name"), _named("peers/"), _field("name")),
    Kind(Filter, "Filter", "filters", "filters/", ("schema", "name"), _named("filters/"), _field("name")),
    Kind(BGPSettings, "BGPSettings", "bgpsettings", "settings/", ("schema",), _settings_path, lambda _: {}),
    Kind(Node, "NodeStatus", "nodestatuses", "nodes/", ("schema", "name"), _named("nodes/"), _field("name")),
    Kind(Fence, "Fence", "fences", "fences/", ("schema", "node"), _named("fences/"), _field("node")),
    Kind(AddressStatus, "AddressStatus", "addressstatuses", "status/", ("schema",), _status_path, _status_identity),
    Kind(
        Witness,
        "Witness",
        "witnesses",
        "status/",
        ("schema", "node"),
        lambda name: f"status/{name}/witness/store",
        _field("node"),
    ),
)

BY_RESOURCE = {kind.resource: kind for kind in KINDS}
BY_PLURAL = {str(kind.resource): kind for kind in KINDS}
_BY_STRUCT: dict[type[Document] | None, Kind] = {kind.struct: kind for kind in KINDS}


def kind_at(path: str) -> Kind:
    """Return the kind of object that stands at a document's path; raise `InvalidInput` if none does."""
    kind = _BY_STRUCT.get(documents.kind(path))
    if kind is None:
        raise InvalidInput("path", path, "this kind of document does not stand in Kubernetes")
    return kind


def object_name(path: str) -> ObjectName:
    """Return the name of the object a path's document is; the path must be one of `KINDS`."""
    first, *rest = path.split("/", 1)
    if first == "settings":
        return ObjectName("", SETTINGS)
    if first == "service-ips":
        return ObjectName("", escape(Address(rest[0])))
    if first == "status":
        node, part, last = rest[0].split("/", 2)
        return ObjectName("", node if part == "witness" else f"{escape(Address(last))}.{node}")
    return ObjectName("", rest[0])


def _check() -> None:
    """Raise at import if a struct lost a field that is left out here: then the names no longer say what they did."""
    for kind in KINDS:
        fields = {field.name for field in msgspec.structs.fields(kind.struct)}
        assert fields >= set(kind.without), kind.kind


_check()
