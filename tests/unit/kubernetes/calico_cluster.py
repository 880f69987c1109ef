# SPDX-License-Identifier: Apache-2.0
"""Some nodes, and Calico's objects of their BGP, as Buoy reads them."""

from typing import Any

from msgspec import structs

from buoy.kubernetes.resources import BGP_CONFIGURATIONS, BGP_FILTERS, BGP_PEERS, NODES, kind_at, object_name
from buoy.kubernetes.translate import Translation
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.peer import BGPSettings, Filter, FilterRule, Peer
from buoy.planner.peering import speaking
from buoy.planner.peering_sessions import LocalNode, PeeringWish
from buoy.store.api_names import ObjectName
from tests.unit.kubernetes.making import bgp_filter, configuration, node, peer, stored

TOR = ObjectName("", "tor")
NOTED = "bgppeers.projectcalico.org/tor"


class Cluster:
    """A translation of some nodes, peers and filters."""

    def __init__(self) -> None:
        self.translation = Translation()
        self.nodes: dict[str, Address] = {}

    def has_reflectors(self, **among: str) -> None:
        for name, each in among.items():
            status = {"addresses": [{"type": "InternalIP", "address": self.nodes[name]}]}
            made = node(name, {"rr": "true"}, status=status)
            annotated = structs.replace(made.metadata, annotations={"projectcalico.org/RouteReflectorClusterID": each})
            self.translation.take(NODES, {ObjectName("", name): structs.replace(made, metadata=annotated)})

    def has_nodes(self, **labels: dict[str, str]) -> None:
        for name, found in sorted(labels.items()):
            address = self.nodes.setdefault(name, Address(f"192.0.2.{len(self.nodes) + 1}"))
            status = {"addresses": [{"type": "InternalIP", "address": address}]}
            self.translation.take(NODES, {ObjectName("", name): node(name, found, status=status)})

    def has_peer(self, **spec: Any) -> None:  # noqa: ANN401
        self.has_peer_called("tor", **spec)

    def has_peer_called(self, name: str, **spec: Any) -> None:  # noqa: ANN401
        self.translation.take(BGP_PEERS, {ObjectName("", name): peer(name, **spec)})

    def has_own(self, document: Document) -> None:
        kind = kind_at(documents.path(document))
        self.translation.take(kind.resource, {object_name(documents.path(document)): stored(document)})

    def is_configured(self, **spec: Any) -> None:  # noqa: ANN401
        self.translation.take(BGP_CONFIGURATIONS, {ObjectName("", "default"): configuration(**spec)})

    def clients(self) -> set[tuple[str, str]]:
        """Which node takes which address for its client."""
        return {
            (name, found.address)
            for found in self.peers.values()
            if isinstance(found, Peer) and found.reflector_client
            for name in found.nodes
        }

    def speaks(self) -> set[tuple[str, str, str]]:
        """Which node speaks with which address as which peer, each once, as nodes decide it."""
        peers = [found for found in self.peers.values() if isinstance(found, Peer)]
        found = self.beneath("settings/").get("settings/bgp", BGPSettings())
        settings = structs.replace(found, mesh=False) if isinstance(found, BGPSettings) else BGPSettings()
        nodes = {name: (address,) for name, address in self.nodes.items()}
        told: set[tuple[str, str, str]] = set()
        for name, address in self.nodes.items():
            own = LocalNode(name=name, addresses=(address,))
            done = speaking(own, PeeringWish(settings=settings, peers=tuple(peers), nodes=nodes))
            assert () == done.refused
            told |= {(name, each.remote, each.name) for each in done.sessions}
        return told

    def passing(self) -> dict[str, tuple[bool, bool]]:
        """By peer of any node: whether something may be told to it, and taken from it."""
        peers, filters = self.beneath("peers/").values(), self.beneath("filters/").values()
        wanted = PeeringWish(
            settings=BGPSettings(mesh=False),
            peers=tuple(each for each in peers if isinstance(each, Peer)),
            filters=tuple(each for each in filters if isinstance(each, Filter)),
        )
        done = speaking(LocalNode(name="any", addresses=(Address("192.0.2.99"),)), wanted)
        return {each.name: (each.tells, each.hears) for each in done.sessions}

    def has_filter(self, name: str, **spec: Any) -> None:  # noqa: ANN401
        self.translation.take(BGP_FILTERS, {ObjectName("", name): bgp_filter(name, **spec)})

    def beneath(self, prefix: str) -> dict[str, Document]:
        return {path: found for path, found in self.translation.documents.items() if path.startswith(prefix)}

    @property
    def peers(self) -> dict[str, Document]:
        return self.beneath("peers/")

    @property
    def notices(self) -> tuple[str, ...]:
        return self.translation.notices.get(NOTED, ())

    def rules(self, name: str) -> tuple[FilterRule, ...]:
        found = self.translation.documents[f"filters/{name}"]
        assert isinstance(found, Filter)
        return found.rules
