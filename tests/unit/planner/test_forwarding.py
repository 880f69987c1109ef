# SPDX-License-Identifier: Apache-2.0
"""What brings packets to an address, entry by entry."""

import msgspec
import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.network import Subnet
from buoy.model.nodestate import (
    Announcement,
    Class,
    Discard,
    Dnat,
    Egress,
    Entry,
    Internal,
    Key,
    LinkSettings,
    Mapping,
    Neighbour,
    Relay,
    Route,
    Stray,
    Table,
)
from buoy.model.peer import BGPSettings
from buoy.model.pool import Direction
from buoy.model.proxied import Eligibility
from buoy.model.service_ip import Attachment, Endpoint, PortMapping
from buoy.model.workload import AddressPair
from buoy.planner.desired import Desired
from buoy.planner.sight import Sight
from buoy.planner.wishes import Here
from tests.unit.planner.cloud import (
    DOWN,
    FIXED,
    FIXED6,
    HERE,
    MAC,
    OTHER_FIXED,
    SERVICE,
    SERVICE2,
    SERVICE6,
    SUBNET,
    THERE,
    UP,
    endpoint,
    fixed,
    floating,
    key,
    mapped,
    no_guest,
    node,
    only,
    port,
    snapshot,
)

NAT = (Table.DNAT, Table.EGRESS, Table.MAPPING, Table.RELAY)
PATH = (Table.ROUTE, Table.NEIGHBOUR, Table.DISCARD, Table.ANNOUNCEMENT)
OWN: dict[Key, Entry] = {
    key(Table.NEIGHBOUR, "tap1", FIXED): Neighbour(MAC),
    key(Table.ROUTE, "192.0.2.1/32"): Route("tap1"),
    key(Table.ANNOUNCEMENT, "192.0.2.1/32"): Announcement("tap1"),
}
TO_TAP: dict[Key, Entry] = {
    key(Table.ROUTE, "198.51.100.1/32"): Route("tap1"),
    key(Table.ANNOUNCEMENT, "198.51.100.1/32"): Announcement("tap1"),
}
NOT_IN: dict[Key, Entry] = {
    key(Table.DISCARD, "198.51.100.1/32"): Discard(),
    key(Table.ANNOUNCEMENT, "198.51.100.1/32"): Announcement("tap1"),
}
INWARD: dict[Key, Entry] = {key(Table.DNAT, SERVICE): Dnat(FIXED)}
OUTWARD: dict[Key, Entry] = {key(Table.EGRESS, FIXED): Egress(SERVICE)}


def test_a_fixed_ip_is_routed_and_announced() -> None:
    assert OWN == only(node(port()), *PATH)


def test_an_ipv6_fixed_ip_too() -> None:
    path = only(node(port(fixed_ips=(fixed(FIXED6),))), Table.ROUTE, Table.ANNOUNCEMENT)
    assert {
        key(Table.ROUTE, "2001:db8::1/128"): Route("tap1"),
        key(Table.ANNOUNCEMENT, "2001:db8::1/128"): Announcement("tap1"),
    } == path


@pytest.mark.parametrize("links", [(), (DOWN,)])
def test_without_a_tap_that_is_up_nothing_is_routed(links: tuple[()]) -> None:
    assert {} == only(node(port(), floating(), links=links), *PATH, *NAT)


def test_the_settings_of_a_link_are_wanted_once_it_exists() -> None:
    assert {} == only(node(port(), links=()), Table.LINK)
    assert {key(Table.LINK, "tap1"): LinkSettings()} == only(node(port(), links=(DOWN,)), Table.LINK)


@pytest.mark.parametrize(
    ("direction", "nat", "path"),
    [
        (Direction.BOTH, {**INWARD, **OUTWARD}, TO_TAP),
        (Direction.INGRESS, INWARD, TO_TAP),
        (Direction.EGRESS, OUTWARD, NOT_IN),
    ],
)
def test_the_direction_decides_the_nat_and_whether_anything_is_routed_to_the_guest(
    direction: Direction, nat: dict[Key, Entry], path: dict[Key, Entry]
) -> None:
    desired = node(port(), floating(direction=direction))
    assert nat == only(desired, *NAT)
    assert OWN | path == only(desired, *PATH)


POD = endpoint(workload="shop/db-0", attached=Attachment.HOST)
ASTRAY: dict[Key, Entry] = {
    key(Table.STRAY, "198.51.100.1/32"): Stray(),
    key(Table.ANNOUNCEMENT, "198.51.100.1/32"): Announcement(None),
}


def on_host(first: int, **changes: object) -> Endpoint:
    mapping = PortMapping(protocol="udp", first=first, last=first, target_first=first + 1000)
    return msgspec.structs.replace(POD, mapping=mapping, **changes)


@pytest.mark.parametrize(
    ("direction", "nat"),
    [(Direction.BOTH, {**INWARD, **OUTWARD}), (Direction.INGRESS, INWARD), (Direction.EGRESS, OUTWARD)],
)
def test_what_is_attached_to_the_host_is_translated_and_announced_and_routed_by_others(
    direction: Direction, nat: dict[Key, Entry]
) -> None:
    desired = node(floating(direction=direction, endpoints=(POD,)), links=())
    assert nat | ASTRAY == dict(desired.state)


def test_of_mapped_endpoints_on_hosts_only_those_elsewhere_are_relayed() -> None:
    desired = node(floating(endpoints=(on_host(22), on_host(53, node=THERE, target=OTHER_FIXED))), links=())
    assert {
        key(Table.MAPPING, SERVICE, "udp", "22"): Mapping(FIXED, 1022),
        key(Table.MAPPING, SERVICE, "udp", "53"): Mapping(OTHER_FIXED, 1053),
        key(Table.RELAY, SERVICE, OTHER_FIXED): Relay(),
    } | ASTRAY == dict(desired.state)


def test_towards_nodes_and_their_pods_the_own_address_is_kept() -> None:
    eligibility = Eligibility(node=THERE, addresses=(Address("192.0.2.9"),), prefixes=(Prefix("10.244.1.0/24"),))
    internal = only(node(eligibility), Table.INTERNAL)
    assert {key(Table.INTERNAL, "192.0.2.9/32"), key(Table.INTERNAL, "10.244.1.0/24")} == internal.keys()


def test_an_ipv6_floating_ip() -> None:
    service = floating(address=SERVICE6, endpoints=(endpoint(target=FIXED6),))
    nat = only(node(port(fixed_ips=(fixed(FIXED6),)), service), *NAT)
    assert {key(Table.DNAT, SERVICE6): Dnat(FIXED6), key(Table.EGRESS, FIXED6): Egress(SERVICE6)} == nat


@pytest.mark.parametrize(
    ("first_is_default", "second_is_default", "used"),
    [(True, True, SERVICE), (False, True, SERVICE2), (True, False, SERVICE), (False, False, SERVICE)],
)
def test_connections_leave_with_the_default_routes_service_ip_or_the_lowest(
    first_is_default: bool, second_is_default: bool, used: Address
) -> None:
    first = floating(default_egress=first_is_default)
    second = floating(address=SERVICE2, default_egress=second_is_default)
    assert Egress(used) == node(port(), second, first).state[key(Table.EGRESS, FIXED)]


def test_of_two_endpoints_without_mapping_the_lowest_is_used() -> None:
    two = port(fixed_ips=(fixed(FIXED), fixed(OTHER_FIXED)))
    desired = node(two, floating(endpoints=(endpoint(target=OTHER_FIXED), endpoint())))
    assert INWARD == only(desired, Table.DNAT)


def test_mapped_ports_are_mapped_one_by_one_and_nothing_leaves_with_the_address() -> None:
    desired = node(port(), floating(endpoints=(mapped(80, last=81),)))
    assert {
        key(Table.MAPPING, SERVICE, "tcp", "80"): Mapping(FIXED, 1080),
        key(Table.MAPPING, SERVICE, "tcp", "81"): Mapping(FIXED, 1081),
    } == only(desired, *NAT)
    assert OWN | NOT_IN == only(desired, *PATH)


def test_the_anchor_relays_to_mapped_endpoints_elsewhere_and_no_tap_takes_the_address_away() -> None:
    desired = node(port(), floating(endpoints=(mapped(22), mapped(80, node=THERE, target=OTHER_FIXED))))
    assert {
        key(Table.MAPPING, SERVICE, "tcp", "22"): Mapping(FIXED, 1022),
        key(Table.MAPPING, SERVICE, "tcp", "80"): Mapping(OTHER_FIXED, 1080),
        key(Table.RELAY, SERVICE, OTHER_FIXED): Relay(),
    } == only(desired, *NAT)
    assert OWN | {
        key(Table.DISCARD, "198.51.100.1/32"): Discard(),
        key(Table.ANNOUNCEMENT, "198.51.100.1/32"): Announcement(None),
    } == only(desired, *PATH)


def test_the_anchor_serves_the_others_while_its_own_endpoint_is_away() -> None:
    service = floating(endpoints=(mapped(22), mapped(80, node=THERE, target=OTHER_FIXED)))
    desired = node(port(), service, links=())
    assert {key(Table.ANNOUNCEMENT, "198.51.100.1/32"): Announcement(None)} == only(desired, Table.ANNOUNCEMENT)
    assert {key(Table.MAPPING, SERVICE, "tcp", "80"): Mapping(OTHER_FIXED, 1080)} == only(desired, Table.MAPPING)


def test_an_allowed_pair_inside_a_subnet_is_routed_with_its_own_mac() -> None:
    pairs = tuple(AddressPair(prefix=Prefix("192.0.2.9/32"), mac=Mac(f"fa:16:3e:00:00:0{n}")) for n in (9, 8))
    desired = node(port(pairs=pairs), SUBNET)
    assert OWN | {
        key(Table.NEIGHBOUR, "tap1", "192.0.2.9"): Neighbour(Mac("fa:16:3e:00:00:08")),
        key(Table.ROUTE, "192.0.2.9/32"): Route("tap1"),
        key(Table.ANNOUNCEMENT, "192.0.2.9/32"): Announcement("tap1"),
    } == only(desired, *PATH)


def test_a_pair_that_is_another_ports_fixed_ip_or_a_network_is_not_routed() -> None:
    pairs = (
        AddressPair(prefix=Prefix("192.0.2.2/32"), mac=MAC),
        AddressPair(prefix=Prefix("192.0.2.128/25"), mac=MAC),
    )
    owner = port(id="port2", interface="tap2", fixed_ips=(fixed(OTHER_FIXED),))
    assert OWN == only(node(port(pairs=pairs), owner, SUBNET), *PATH)


def test_prefixes_inside_and_pools_that_originate_here() -> None:
    inside = Subnet(id="in", network="net", prefix=Prefix("192.0.2.0/24"))
    settings = BGPSettings(internal_prefixes=(Prefix("198.18.0.0/15"),), originate=(Prefix("203.0.113.0/24"),))
    desired = node(inside, SUBNET, settings)
    assert {
        key(Table.INTERNAL, "192.0.2.0/24"): Internal(),
        key(Table.INTERNAL, "198.18.0.0/15"): Internal(),
        key(Table.DISCARD, "203.0.113.0/24"): Discard(),
        key(Table.ANNOUNCEMENT, "203.0.113.0/24"): Announcement(None),
    } == dict(desired.state)


def test_without_settings_nothing_originates_here_any_more() -> None:
    desired = node(BGPSettings(originate=(Prefix("203.0.113.0/24"),)))
    desired.update(snapshot(), frozenset({"settings/bgp"}), Sight())
    assert {} == dict(desired.state)


def test_a_service_ip_outranks_an_aggregate_of_the_same_length() -> None:
    settings = BGPSettings(originate=(Prefix("198.51.100.1/32"),))
    assert Announcement("tap1") == node(port(), floating(), settings).state[key(Table.ANNOUNCEMENT, "198.51.100.1/32")]


def test_a_drained_node_announces_everything_with_less_preference() -> None:
    desired = Desired(Here(HERE, no_guest, Class.DRAIN))
    desired.update(snapshot(port(), floating()), None, Sight({"tap1": UP}))
    assert {Announcement("tap1", Class.DRAIN)} == set(only(desired, Table.ANNOUNCEMENT).values())
