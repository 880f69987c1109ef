# SPDX-License-Identifier: Apache-2.0
"""From MetalLB to Buoy: pools, routers and what is told to them.

Promises that the same addresses stay with the same Services and the same nodes speak
with the same routers. The tricky thing is what MetalLB says by advertisements: Buoy
announces every pool to every router, so each restriction is named.

Sources: metallb.io/configuration, "Advanced BGP configuration"; api/v1beta1, api/v1beta2.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from buoy.ipam.eligible import matches
from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS
from buoy.kubernetes.foreign import IPAddressPool, LabelSelector
from buoy.kubernetes.inventory import Inventory
from buoy.kubernetes.metallb import selector, translate_pool
from buoy.kubernetes.metallb_objects import (
    BFD_PROFILES,
    BGP_ADVERTISEMENTS,
    COMMUNITIES,
    L2_ADVERTISEMENTS,
    PEERS,
    STRUCTS,
    BFDProfileSpec,
    MetalPeer,
    PeerSpec,
)
from buoy.kubernetes.migration import Finding, Migration, Verdict, classes, decoded
from buoy.kubernetes.migration_advertisements import advertised, communities
from buoy.kubernetes.objects import Node
from buoy.kubernetes.reading import read_endpoint, read_seconds
from buoy.kubernetes.resources import ADDRESS_POOLS, NODES
from buoy.kubernetes.twins import camel
from buoy.model.address import parse_address
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.peer import Bfd, BGPSettings, Peer
from buoy.model.pool import Pool, Selector
from buoy.planner.peering_rules import check_peer
from buoy.store.api_names import ObjectName

OLD_PEERS = PEERS._replace(version="v1beta1")
EVERYWHERE = (ADDRESS_POOLS, PEERS, OLD_PEERS, BFD_PROFILES, BGP_ADVERTISEMENTS, L2_ADVERTISEMENTS, COMMUNITIES)
"""What is read besides Services and nodes."""

_ANY_HOPS = 255
_KEY = "password"
"""The key of a Secret of type kubernetes.io/basic-auth."""
_TIMERS = {"hold_time": "holdTime", "keepalive": "keepaliveTime", "connect_retry": "connectTime"}
_NOT_DONE = ("dynamic_asn", "router_id", "vrf", "interface", "disable_mp", "dual_stack_address_family")
_BFD_NOT_DONE = ("echo_interval", "echo_mode", "passive_mode", "minimum_ttl")


def from_metallb(objects: Inventory) -> Migration:
    """Return what becomes of MetalLB's objects."""
    settings = BGPSettings(asn=_own_asn(objects), mesh=False)
    pools, pool_findings = _pools(objects)
    peers, peer_findings = _peers(objects, settings)
    advertise, told = advertised(objects, pools)
    settings = msgspec.structs.replace(settings, advertise=advertise, communities=communities(objects, pools))
    made: list[Document] = [*pools, *peers, *([settings] if peers else [])]
    findings = (*pool_findings, *peer_findings, *told, *_layer_two(objects), *classes(objects, (LOAD_BALANCER_CLASS,)))
    return Migration(findings, tuple(made))


def _pools(objects: Inventory) -> tuple[list[Pool], list[Finding]]:
    found, findings = decoded(objects, ADDRESS_POOLS, IPAddressPool)
    pools: list[Pool] = []
    for name, each in found.items():
        try:
            pools.append(translate_pool(each))
        except InvalidInput as error:
            findings.append(Finding(Verdict.NOT_DONE, f"IPAddressPool {name}", str(error)))
            continue
        note = "is read as it is; apply the Pool below before its kind goes with MetalLB"
        findings.append(Finding(Verdict.SAME, f"IPAddressPool {name}", note))
    return pools, findings


def _own_asn(objects: Inventory) -> int:
    """Return the AS that most routers know this cluster by."""
    found, _ = _routers(objects)
    numbers = Counter(each.spec.my_asn for each in found.values() if each.spec.my_asn)
    return numbers.most_common(1)[0][0] if numbers else BGPSettings().asn


def _routers(objects: Inventory) -> tuple[dict[ObjectName, MetalPeer], list[Finding]]:
    """Return the routers, which a server that knows both versions shows in each of them."""
    return decoded(objects, PEERS if objects.of(PEERS) else OLD_PEERS, MetalPeer)


def _peers(objects: Inventory, settings: BGPSettings) -> tuple[list[Peer], list[Finding]]:
    found, findings = _routers(objects)
    profiles, broken = decoded(objects, BFD_PROFILES, STRUCTS[BFD_PROFILES])
    bfd = {name.name: _bfd(each.spec) for name, each in profiles.items()}
    nodes = {name.name: each for name, each in decoded(objects, NODES, Node)[0].items()}
    peers = []
    for name, each in found.items():
        subject = f"BGPPeer {name}"
        try:
            speakers = _speakers(each.spec.node_selectors or (), nodes)
            if speakers is None:
                findings.append(Finding(Verdict.NOT_DONE, subject, "spec.nodeSelectors selects no node there is now"))
                continue
            peers.append(_peer(each, settings, speakers, bfd))
        except InvalidInput as error:
            findings.append(Finding(Verdict.NOT_DONE, subject, str(error)))
            continue
        findings += [Finding(Verdict.SAME, subject, f"becomes Peer {name.name}")]
        findings += (Finding(verdict, subject, note) for verdict, note in _remarks(each.spec, speakers))
    for name, each in profiles.items():
        named = [camel(field) for field in _BFD_NOT_DONE if getattr(each.spec, field)]
        findings += (Finding(Verdict.NOT_DONE, f"BFDProfile {name}", f"spec.{field}") for field in named)
    return peers, [*findings, *broken]


def _peer(found: MetalPeer, settings: BGPSettings, speakers: tuple[str, ...], bfd: Mapping[str, Bfd]) -> Peer:
    spec = found.spec
    if not spec.peer_asn:
        raise InvalidInput("spec.peerASN", spec.peer_asn, "give the AS number of the router: Buoy learns none")
    address, port = read_endpoint(spec.peer_address, "spec.peerAddress", spec.peer_port or 179)
    made = Peer(
        name=found.metadata.name,
        address=address,
        port=port,
        asn=spec.peer_asn,
        local_asn=spec.my_asn if spec.my_asn not in {0, settings.asn} else None,
        nodes=speakers,
        password=spec.password,
        password_from=f"{_secret(spec)}/{_KEY}" if _secret(spec) and not spec.password else "",
        bfd=bfd.get(spec.bfd_profile),
        multihop=_ANY_HOPS if spec.ebgp_multi_hop else None,
        source=parse_address(spec.source_address, "spec.sourceAddress") if spec.source_address else None,
    )
    made = msgspec.structs.replace(made, **_timers(spec))
    check_peer(made)
    return made


def _timers(spec: PeerSpec) -> dict[str, int]:
    said = {"hold_time": spec.hold_time, "keepalive": spec.keepalive_time, "connect_retry": spec.connect_time}
    return {field: read_seconds(text, f"spec.{_TIMERS[field]}") for field, text in said.items() if text}


def _remarks(spec: PeerSpec, speakers: tuple[str, ...]) -> Iterator[tuple[Verdict, str]]:
    if speakers:
        yield Verdict.DIFFERS, f"names the nodes its selectors select now, and follows no labels: {', '.join(speakers)}"
    if _secret(spec):
        note = "agents read it from a mount: copy it to buoy-system and name it in the DaemonSet beside bgp-secrets"
        yield Verdict.DIFFERS, f"spec.passwordSecret {_secret(spec)}: {note}"
    if not spec.enable_graceful_restart:
        yield Verdict.DIFFERS, "asks for graceful restart, so a restart of BIRD takes no route away; MetalLB did not"
    for field in _NOT_DONE:
        if getattr(spec, field):
            yield Verdict.NOT_DONE, f"spec.{_words(field)} {getattr(spec, field)}"


def _secret(spec: PeerSpec) -> str:
    return str((spec.password_secret or {}).get("name", ""))


def _words(field: str) -> str:
    names = dict(zip(PeerSpec.__struct_fields__, PeerSpec.__struct_encode_fields__, strict=True))
    return names[field]


def _bfd(spec: BFDProfileSpec) -> Bfd:
    return Bfd(interval=spec.transmit_interval or spec.receive_interval or 300, multiplier=spec.detect_multiplier or 3)


def _speakers(selectors: Iterable[LabelSelector], nodes: Mapping[str, Node]) -> tuple[str, ...] | None:
    """Return the nodes that one of the selectors selects, () for all of them, None for none."""
    wanted = [selector(each) for each in selectors]
    if not wanted:
        return ()
    found = tuple(sorted(name for name, node in nodes.items() if any(_selects(each, node) for each in wanted)))
    return found or None


def _selects(wanted: Selector, node: Node) -> bool:
    return matches(wanted, node.metadata.labels or {})


def _layer_two(objects: Inventory) -> Iterator[Finding]:
    found, broken = decoded(objects, L2_ADVERTISEMENTS, STRUCTS[L2_ADVERTISEMENTS])
    for name, each in found.items():
        pools = ", ".join(each.spec.ip_address_pools or ()) or "every pool"
        note = f"nobody answers ARP for {pools}: Buoy speaks BGP only, so a router must hear of it"
        yield Finding(Verdict.NOT_DONE, f"L2Advertisement {name}", note)
    yield from broken
