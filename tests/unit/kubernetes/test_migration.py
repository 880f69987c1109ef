# SPDX-License-Identifier: Apache-2.0
"""What is said of MetalLB's and Calico's objects to who leaves them, and what is made of them for Buoy."""

from typing import Any

from buoy.kubernetes.inventory import Inventory
from buoy.kubernetes.metallb_objects import BFD_PROFILES, BGP_ADVERTISEMENTS, COMMUNITIES, L2_ADVERTISEMENTS, PEERS
from buoy.kubernetes.migration import Migration, Verdict
from buoy.kubernetes.migration_calico import IP_POOLS, STORED, from_calico
from buoy.kubernetes.migration_metallb import OLD_PEERS, from_metallb
from buoy.kubernetes.resources import ADDRESS_POOLS, BGP_CONFIGURATIONS, BGP_FILTERS, BGP_PEERS, NODES, SERVICES
from buoy.model.address import Address, Prefix
from buoy.model.peer import Bfd, BGPSettings, Filter, Peer, Tagged
from buoy.model.pool import Pool
from buoy.model.proxied import Advertised, Kind
from buoy.store.api_names import ObjectName, Resource

SAME, DIFFERS, NOT_DONE = Verdict.SAME, Verdict.DIFFERS, Verdict.NOT_DONE
LB = (Kind.LOAD_BALANCER,)


def objects(*found: tuple[Resource, str, dict[str, Any]], labels: dict[str, str] | None = None) -> Inventory:
    """Return objects by resource, name and spec, and two nodes of which the first bears these labels."""
    made = Inventory()
    for name, own in (("node-1", labels or {}), ("node-2", {})):
        made.put(NODES, ObjectName("", name), {"metadata": {"name": name, "labels": own}})
    for resource, name, spec in found:
        namespace = "metallb-system" if resource.namespaced else ""
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        made.put(
            resource, ObjectName(namespace, name), {"kind": KINDS.get(resource, ""), "metadata": metadata, "spec": spec}
        )
    return made


KINDS = {BGP_CONFIGURATIONS: "BGPConfiguration", BGP_PEERS: "BGPPeer", BGP_FILTERS: "BGPFilter"}
POOL = (ADDRESS_POOLS, "public", {"addresses": ["203.0.113.0/24"]})
TOR = (PEERS, "tor", {"myASN": 64512, "peerASN": 64511, "peerAddress": "192.0.2.254", "enableGracefulRestart": True})
Found = tuple[Resource, str, dict[str, Any]]
ALL: Found = (BGP_ADVERTISEMENTS, "all", {})


def only(made: Migration, kind: type) -> list[Any]:
    return [document for document in made.documents if isinstance(document, kind)]


def said(made: Migration, verdict: Verdict) -> dict[str, str]:
    return {each.object.rpartition("/")[2]: each.note for each in made.findings if each.verdict is verdict}


def router(**spec: Any) -> Inventory:  # noqa: ANN401  JSON
    return objects(POOL, (*TOR[:2], {**TOR[2], **spec}), ALL)


def test_a_plain_metallb_goes_on_as_it_is() -> None:
    made = from_metallb(objects(POOL, TOR, ALL))
    assert [("public", (Prefix("203.0.113.0/24"),))] == [(pool.name, pool.prefixes) for pool in only(made, Pool)]
    assert [Peer(name="tor", address=Address("192.0.2.254"), asn=64511)] == only(made, Peer)
    assert [BGPSettings(asn=64512, mesh=False)] == only(made, BGPSettings), "MetalLB's speakers have no mesh"
    assert {SAME} == {each.verdict for each in made.findings}
    assert ["Pool", "Peer", "BGPSettings"] == [manifest["kind"] for manifest in made.manifests()]


def test_timers_port_source_password_and_hops_of_a_router_go_on() -> None:
    timers = {"holdTime": "30s", "keepaliveTime": "10s", "connectTime": "7s"}
    rest = {"peerPort": 1179, "sourceAddress": "192.0.2.11", "password": "secret", "ebgpMultiHop": True}
    [peer] = only(from_metallb(router(**timers, **rest)), Peer)
    assert (30, 10, 7) == (peer.hold_time, peer.keepalive, peer.connect_retry)
    assert (1179, "192.0.2.11", "secret", 255) == (peer.port, peer.source, peer.password, peer.multihop)


def test_a_bfd_profile_becomes_the_routers_own() -> None:
    profile = {"transmitInterval": 100, "detectMultiplier": 5, "echoMode": True}
    made = from_metallb(
        objects(POOL, (*TOR[:2], {**TOR[2], "bfdProfile": "fast"}), (BFD_PROFILES, "fast", profile), ALL)
    )
    assert [Bfd(interval=100, multiplier=5)] == [peer.bfd for peer in only(made, Peer)]
    assert {"fast": "spec.echoMode"} == said(made, NOT_DONE)


def test_selectors_of_nodes_become_the_nodes_they_select_now() -> None:
    spec = {**TOR[2], "nodeSelectors": [{"matchLabels": {"rack": "a"}}]}
    made = from_metallb(objects(POOL, (*TOR[:2], spec), ALL, labels={"rack": "a"}))
    assert [("node-1",)] == [peer.nodes for peer in only(made, Peer)]
    assert "node-1" in said(made, DIFFERS)["tor"]
    nobody = from_metallb(objects(POOL, (*TOR[:2], spec), ALL))
    assert ([], True) == (only(nobody, Peer), "selects no node" in said(nobody, NOT_DONE)["tor"])


def test_the_as_most_routers_know_is_the_clusters_and_others_are_their_peers_own() -> None:
    others = [
        (PEERS, f"r{at}", {**TOR[2], "peerAddress": f"192.0.2.{at}", "myASN": asn})
        for at, asn in ((1, 65001), (2, 65001), (3, 65002))
    ]
    made = from_metallb(objects(*others))
    assert [65001] == [settings.asn for settings in only(made, BGPSettings)]
    assert [None, None, 65002] == [peer.local_asn for peer in only(made, Peer)]


def test_a_router_of_the_older_version_is_read_where_there_is_no_newer() -> None:
    assert ["tor"] == [peer.name for peer in only(from_metallb(objects((OLD_PEERS, *TOR[1:]))), Peer)]


def test_what_buoy_has_nothing_for_is_named() -> None:
    assert "vrf" in said(from_metallb(router(vrf="red")), NOT_DONE)["tor"]
    hidden = from_metallb(router(passwordSecret={"name": "bgp-secrets"}))
    assert ["bgp-secrets/password"] == [peer.password_from for peer in only(hidden, Peer)]
    assert "passwordSecret bgp-secrets" in said(hidden, DIFFERS)["tor"]
    assert "graceful restart" in said(from_metallb(router(enableGracefulRestart=False)), DIFFERS)["tor"]
    for wrong in ({"peerASN": 0, "dynamicASN": "external"}, {"peerAddress": "router"}, {"peerASN": "many"}):
        made = from_metallb(router(**wrong))
        assert ([], "tor") == (only(made, Peer), next(iter(said(made, NOT_DONE))))


def test_layer_two_is_not_done() -> None:
    made = from_metallb(objects(POOL, (L2_ADVERTISEMENTS, "lan", {"ipAddressPools": ["public"]})))
    assert "ARP for public" in said(made, NOT_DONE)["lan"]
    assert "no BGPAdvertisement" in said(made, DIFFERS)["IPAddressPool public"]


def test_restrictions_of_advertisements_are_named_field_by_field() -> None:
    spec = {"peers": ["tor"], "nodeSelectors": [{}], "communities": ["65535:65282"], "localPref": 200}
    made = from_metallb(objects(POOL, TOR, (BGP_ADVERTISEMENTS, "some", spec)))
    told = [each.note.split()[0].rstrip(":") for each in made.findings if "BGPAdvertisement" in each.object]
    assert ["spec.peers", "spec.nodeSelectors", "spec.communities", "spec.localPref"] == told


def test_aggregates_become_prefixes_that_are_announced_as_a_whole() -> None:
    made = from_metallb(objects(POOL, TOR, (BGP_ADVERTISEMENTS, "whole", {"aggregationLength": 25})))
    halves = tuple(Advertised(prefix=Prefix(f"203.0.113.{at}/25"), kinds=LB) for at in (0, 128))
    assert [halves] == [settings.advertise for settings in only(made, BGPSettings)]
    single = from_metallb(objects(POOL, TOR, (BGP_ADVERTISEMENTS, "each", {"aggregationLength": 32})))
    assert [()] == [settings.advertise for settings in only(single, BGPSettings)]
    wide = (ADDRESS_POOLS, "public", {"addresses": ["10.0.0.0/8"]})
    many = from_metallb(objects(wide, TOR, (BGP_ADVERTISEMENTS, "many", {"aggregationLength": 24})))
    assert "10.0.0.0/8 by /24" in said(many, NOT_DONE)["many"]


def test_communities_go_with_the_prefixes_of_the_pools_they_are_for() -> None:
    names = {"communities": [{"name": "quiet", "value": "65535:65282"}]}
    spec = {"communities": ["quiet", "64512:7", "large:1:2:3"]}
    made = from_metallb(objects(POOL, TOR, (COMMUNITIES, "names", names), (BGP_ADVERTISEMENTS, "some", spec)))
    wanted = Tagged(prefix=Prefix("203.0.113.0/24"), communities=("65535:65282", "64512:7", "1:2:3"))
    assert [(wanted,)] == [settings.communities for settings in only(made, BGPSettings)]


def test_an_advertisement_speaks_of_the_pools_it_selects() -> None:
    chosen = {"ipAddressPoolSelectors": [{"matchLabels": {"zone": "dmz"}}]}
    made = from_metallb(objects(POOL, TOR, (BGP_ADVERTISEMENTS, "dmz", chosen)))
    assert "IPAddressPool public" in said(made, DIFFERS)


def test_a_service_of_another_class_is_named_with_what_takes_it() -> None:
    made = from_metallb(objects((SERVICES, "web", {"type": "LoadBalancer", "loadBalancerClass": "metallb.io/metallb"})))
    assert "--load-balancer-class metallb.io/metallb" in said(made, NOT_DONE)["web"]


CALICO: tuple[Found, ...] = (
    (BGP_CONFIGURATIONS, "default", {"asNumber": 64600, "serviceLoadBalancerIPs": [{"cidr": "203.0.113.0/24"}]}),
    (BGP_PEERS, "tor", {"peerIP": "192.0.2.254", "asNumber": 64511, "filters": ["ours"]}),
    (BGP_FILTERS, "ours", {"exportV4": [{"action": "Reject", "matchOperator": "In", "cidr": "10.0.0.0/8"}]}),
)


def test_calicos_bgp_is_read_as_it_is_and_printed_as_buoys_own() -> None:
    made = from_calico(objects(*CALICO))
    [settings], [peer] = only(made, BGPSettings), only(made, Peer)
    assert (64600, Prefix("203.0.113.0/24")) == (settings.asn, settings.advertise[0].prefix)
    assert ("tor", True) == (peer.name, peer.export_filter in {each.name for each in only(made, Filter)})
    assert {SAME} == {each.verdict for each in made.findings}


def test_calicos_objects_are_found_where_its_api_server_is_not() -> None:
    stored = [(STORED[resource], name, spec) for resource, name, spec in CALICO]
    made = from_calico(objects(*stored))
    assert from_calico(objects(*CALICO)).documents == made.documents
    assert "becomes a Peer; as bgppeers.crd.projectcalico.org nobody reads it" in said(made, SAME).values()


def test_a_peer_that_every_node_would_refuse_is_not_done_and_one_with_slow_keepalives_is_taken() -> None:
    spec = {"peerIP": "192.0.2.254", "asNumber": 64511}
    made = from_calico(objects((BGP_PEERS, "tor", {**spec, "maxRestartTime": "2h"})))
    assert "spec.maxRestartTime" in said(made, NOT_DONE)["BGPPeer tor"]
    assert [] == only(made, Peer)
    made = from_calico(objects((BGP_PEERS, "tor", {**spec, "keepaliveTime": "60s"})))
    assert {"BGPPeer tor": "is read as it is"} == said(made, SAME)
    assert [(60, 180)] == [(peer.keepalive, peer.hold_time) for peer in only(made, Peer)]


def test_a_field_of_calico_that_is_not_honoured_is_named() -> None:
    made = from_calico(objects((BGP_CONFIGURATIONS, "default", {"ignoredInterfaces": ["dummy0"]})))
    assert "spec.ignoredInterfaces" in said(made, NOT_DONE)["BGPConfiguration default"]


def test_pools_of_load_balancers_become_pools() -> None:
    spec = {
        "cidr": "203.0.113.0/24",
        "allowedUses": ["LoadBalancer"],
        "assignmentMode": "Manual",
        "namespaceSelector": "a == 'b'",
    }
    made = from_calico(objects((IP_POOLS, "lb", spec), (IP_POOLS, "wrong", {**spec, "cidr": "x"})))
    assert [Pool(name="lb", prefixes=(Prefix("203.0.113.0/24"),), automatic=False)] == only(made, Pool)
    assert {"IPPool lb", "IPPool wrong"} == said(made, NOT_DONE).keys()


def test_what_pods_need_is_told_by_how_they_reach_each_other() -> None:
    told = {}
    for name, spec in (("vxlan", {"vxlanMode": "Always"}), ("ipip", {"ipipMode": "Always"}), ("none", {})):
        made = from_calico(objects((IP_POOLS, name, {"cidr": "10.244.0.0/16", "disableBGPExport": True, **spec})))
        told[name] = [each.verdict for each in made.findings]
    assert {"vxlan": [SAME], "ipip": [NOT_DONE], "none": [NOT_DONE]} == told
    exported = from_calico(objects((IP_POOLS, "pods", {"cidr": "10.244.0.0/16", "vxlanMode": "Always"})))
    assert "podCIDRs" in said(exported, DIFFERS)["IPPool pods"]
