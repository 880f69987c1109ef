# SPDX-License-Identifier: Apache-2.0
"""Entries as elements, and elements as entries."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.dataplane import nft_elements, nft_prefixes, nft_wire
from buoy.model.address import Address, Mac, Prefix
from buoy.model.errors import InvalidInput
from buoy.model.nodestate import Dnat, Egress, GroupMember, Key, Mapping, PortGuard, Relay, Table

NETWORKS = st.builds(
    lambda number, length: Prefix(str(ipaddress.ip_network((number, length), strict=False))),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)
MACS = st.sampled_from([Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02")])


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        (Key(Table.DNAT, ("203.0.113.1",)), Dnat(Address("192.0.2.1"))),
        (Key(Table.DNAT, ("2001:db8::1",)), Dnat(Address("2001:db8::2"))),
        (Key(Table.EGRESS, ("192.0.2.1",)), Egress(Address("203.0.113.1"))),
        (Key(Table.MAPPING, ("203.0.113.1", "tcp", "80")), Mapping(Address("192.0.2.1"), 8080)),
        (Key(Table.MAPPING, ("203.0.113.1", "112", "1")), Mapping(Address("192.0.2.1"), 65535)),
    ],
)
def test_a_map_element_tells_its_entry(key: Key, entry: Dnat | Egress | Mapping) -> None:
    ((name, element),) = nft_elements.elements(key, entry)
    assert (key, entry) == (nft_elements.key_of(name, element), nft_elements.entry_of(key, element.data))


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        (Key(Table.RELAY, ("203.0.113.1", "192.0.2.1")), Relay()),
        (Key(Table.RELAY, ("2001:db8::1", "2001:db8::2")), Relay()),
        (Key(Table.MEMBER, ("g1", "192.0.2.1/32")), GroupMember()),
        (Key(Table.MEMBER, ("g1", "2001:db8::1/128")), GroupMember()),
    ],
)
def test_a_set_element_tells_its_key(key: Key, entry: Relay | GroupMember) -> None:
    ((name, element),) = nft_elements.elements(key, entry)
    assert key == nft_elements.key_of(name, element)


@given(st.lists(st.tuples(MACS, NETWORKS), max_size=6), st.sampled_from([None, "c1", "none"]))
def test_a_guard_read_back_is_the_same_to_the_kernel(
    sources: list[tuple[Mac, Prefix]], combination: str | None
) -> None:
    key = Key(Table.GUARD, ("tap1",))
    placed = nft_elements.elements(key, PortGuard(combination, tuple(sources)))
    assert placed == nft_elements.elements(key, nft_elements.guard_of(placed))


@pytest.mark.parametrize("missing", ["itself", "to_guest", "from_guest", "sourcemac"])
def test_a_guard_with_an_element_missing_equals_no_wish(missing: str) -> None:
    guard = PortGuard("c1", ((Mac("fa:16:3e:00:00:01"), Prefix("192.0.2.1/32")),))
    placed = nft_elements.elements(Key(Table.GUARD, ("tap1",)), guard)
    damaged = frozenset((name, element) for name, element in placed if name != missing)
    assert "(damaged)" == nft_elements.guard_of(damaged).combination


@pytest.mark.parametrize("interface", ["", "tap/1", "tap-of-16-bytes."])
def test_an_impossible_interface_is_refused(interface: str) -> None:
    with pytest.raises(InvalidInput, match="interface"):
        nft_elements.ifname(interface)


@given(st.lists(NETWORKS, max_size=12))
def test_the_outermost_prefixes_cover_the_same_and_overlap_nowhere(prefixes: list[Prefix]) -> None:
    kept = [ipaddress.ip_network(prefix) for prefix in nft_prefixes.outermost(prefixes)]
    assert not any(one != two and one.overlaps(two) for one in kept for two in kept)
    collapsed = ipaddress.collapse_addresses(ipaddress.IPv4Network(prefix) for prefix in prefixes)
    assert list(collapsed) == list(ipaddress.collapse_addresses(ipaddress.IPv4Network(str(one)) for one in kept))


@given(st.lists(NETWORKS, max_size=12))
def test_every_prefix_is_covered_by_what_the_kernel_holds(prefixes: list[Prefix]) -> None:
    held = [nft_prefixes.interval(prefix)[:2] for prefix in nft_prefixes.outermost(prefixes)]
    assert [True] * len(prefixes) == [nft_prefixes.covered(prefix, held) for prefix in prefixes]


@given(NETWORKS)
def test_an_interval_tells_its_prefix(prefix: Prefix) -> None:
    start, end, _ = nft_prefixes.interval(prefix)
    assert [prefix] == nft_prefixes.prefixes_of(start, end)


def test_intervals_are_paired_whatever_their_order() -> None:
    a, b = nft_prefixes.interval(Prefix("192.0.2.0/25")), nft_prefixes.interval(Prefix("192.0.2.128/25"))
    messages = [
        nft_wire.element_message(nft_wire.NEWELEMENT, "internal4", nft_wire.Kind.INTERVAL, element)[16:]
        for element in (b, a)
    ]
    expected = {(a.key, a.end): b"", (b.key, b.end): b""}
    assert expected == nft_wire.parse_elements(nft_wire.Kind.INTERVAL, messages)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (nft_wire.Kind.HASH, b"\xc0\x00\x02\x07"),
        (nft_wire.Kind.HASH, b""),
        (nft_wire.Kind.HASH, b"ci-c1"),
        (nft_wire.Kind.VERDICT, b"ci-c1"),
    ],
)
def test_an_element_written_and_read_is_the_same(kind: nft_wire.Kind, data: bytes) -> None:
    element = nft_wire.Element(b"tap1" + bytes(12), b"", data)
    message = nft_wire.element_message(nft_wire.NEWELEMENT, "to_guest", kind, element)
    assert {(element.key, b""): element.data} == nft_wire.parse_elements(kind, [message[16:]])
