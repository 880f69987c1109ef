# SPDX-License-Identifier: Apache-2.0
"""DHCPv4: what a guest hears in each of its states (RFC 2131, figure 5)."""

import struct

import msgspec
import pytest

from buoy.model.address import Address, Prefix, packed
from buoy.model.guest import GuestConfig
from buoy.model.network import HostRoute
from buoy.model.workload import DhcpOption
from buoy.render.dhcp4 import ACK, DISCOVER, INFORM, NAK, OFFER, REQUEST, answer4, options4, parse4
from tests.unit.dhcp.packets import ADDRESS, CONFIG, GATEWAY, GUEST_RAW, OFFER4, TAP_RAW, Reply4, request4

OWN, OTHER, SERVER = packed(ADDRESS), packed(Address("192.0.2.99")), packed(GATEWAY)


def answer(frame: bytes, config: GuestConfig = CONFIG) -> bytes | None:
    return answer4(config, TAP_RAW, frame)


def with_options(*options: DhcpOption) -> GuestConfig:
    return msgspec.structs.replace(CONFIG, options=options)


def with_routes(*routes: HostRoute, gateway: Address | None = GATEWAY) -> GuestConfig:
    return msgspec.structs.replace(CONFIG, offer4=msgspec.structs.replace(OFFER4, routes=routes, gateway=gateway))


def test_discover_is_answered_with_the_address_of_the_document() -> None:
    reply = Reply4(answer(request4(DISCOVER)))
    assert (OFFER, ADDRESS) == (reply.kind, reply.given)
    assert {
        1: bytes([255, 255, 255, 0]),
        3: SERVER,
        6: packed(Address("192.0.2.53")),
        12: b"web1",
        15: b"example.org",
        26: (1450).to_bytes(2),
        28: bytes([192, 0, 2, 255]),
        51: (3600).to_bytes(4),
        53: bytes([OFFER]),
        54: SERVER,
        58: (1800).to_bytes(4),
        59: (3150).to_bytes(4),
        121: b"\x20\xa9\xfe\xa9\xfe" + SERVER + b"\x00" + SERVER,
    } == reply.options


def test_the_answer_comes_from_the_tap_and_the_server_of_the_document() -> None:
    reply = Reply4(answer(request4(DISCOVER)))
    assert (TAP_RAW, GUEST_RAW) == (reply.ethernet.src, reply.ethernet.dst)
    assert (SERVER, OWN) == (reply.ip.src, reply.ip.dst)
    assert (67, 68) == (reply.udp.sport, reply.udp.dport)
    assert (2, 0x12345678, GUEST_RAW) == (reply.bootp.op, reply.bootp.xid, reply.bootp.chaddr[:6])


def test_a_client_that_asks_for_broadcast_gets_it() -> None:
    reply = Reply4(answer(request4(DISCOVER, flags=0x8000)))
    assert (b"\xff" * 6, b"\xff" * 4) == (reply.ethernet.dst, reply.ip.dst)


def test_the_client_id_comes_back() -> None:
    assert Reply4(answer(request4(DISCOVER, {61: b"\x01abc"}))).options[61] == b"\x01abc"


def test_rapid_commit_saves_two_packets() -> None:
    reply = Reply4(answer(request4(DISCOVER, {80: b""})))
    assert (ACK, b"") == (reply.kind, reply.options[80])


@pytest.mark.parametrize(
    ("options", "ciaddr", "expected"),
    [
        pytest.param({50: OWN, 54: SERVER}, 0, ACK, id="selecting us"),
        pytest.param({50: OTHER, 54: SERVER}, 0, NAK, id="selecting an address we did not offer"),
        pytest.param({50: OWN, 54: OTHER}, 0, None, id="selecting another server"),
        pytest.param({50: OWN}, 0, ACK, id="init-reboot with its address"),
        pytest.param({50: OTHER}, 0, NAK, id="init-reboot after its address changed"),
        pytest.param({}, int.from_bytes(OWN), ACK, id="renewing"),
        pytest.param({}, int.from_bytes(OTHER), NAK, id="renewing an address that was taken away"),
        pytest.param({}, 0, None, id="asking for nothing"),
    ],
)
def test_request_is_judged_by_the_document(options: dict[int, bytes], ciaddr: int, expected: int | None) -> None:
    frame = answer(request4(REQUEST, options, ciaddr=ciaddr))
    assert expected == (None if frame is None else Reply4(frame).kind)


def test_renewal_is_answered_to_the_address_in_use() -> None:
    reply = Reply4(answer(request4(REQUEST, ciaddr=int.from_bytes(OWN), flags=0x8000)))
    assert (GUEST_RAW, OWN) == (reply.ethernet.dst, reply.ip.dst)
    assert int.from_bytes(OWN) == reply.bootp.ciaddr


SECOND = packed(Address("192.0.2.3"))
TWO_ADDRESSES = msgspec.structs.replace(
    CONFIG, others4=(msgspec.structs.replace(OFFER4, address=Address("192.0.2.3"), server=Address("192.0.2.2")),)
)


@pytest.mark.parametrize(
    ("kind", "options", "ciaddr", "expected"),
    [
        pytest.param(REQUEST, {}, int.from_bytes(SECOND), (ACK, "192.0.2.3"), id="renewing"),
        pytest.param(REQUEST, {50: SECOND}, 0, (ACK, "192.0.2.3"), id="init-reboot"),
        pytest.param(DISCOVER, {50: SECOND}, 0, (OFFER, "192.0.2.3"), id="asking for it again"),
        pytest.param(DISCOVER, {50: OTHER}, 0, (OFFER, ADDRESS), id="asking for what the port has not"),
        pytest.param(DISCOVER, {}, 0, (OFFER, ADDRESS), id="asking for anything"),
    ],
)
def test_a_guest_keeps_whichever_of_its_ports_addresses_it_holds(
    kind: int, options: dict[int, bytes], ciaddr: int, expected: tuple[int, str]
) -> None:
    reply = Reply4(answer(request4(kind, options, ciaddr=ciaddr), TWO_ADDRESSES))
    assert expected == (reply.kind, reply.given)


def test_an_address_that_is_kept_is_kept_at_its_own_server() -> None:
    reply = Reply4(answer(request4(REQUEST, ciaddr=int.from_bytes(SECOND)), TWO_ADDRESSES))
    assert packed(Address("192.0.2.2")) == reply.options[54]


def test_a_refusal_is_broadcast_and_carries_nothing_but_the_refusal() -> None:
    reply = Reply4(answer(request4(REQUEST, {50: OTHER})))
    assert (b"\xff" * 6, b"\xff" * 4) == (reply.ethernet.dst, reply.ip.dst)
    assert {53: bytes([NAK]), 54: SERVER} == reply.options
    assert (0, 0) == (reply.bootp.yiaddr, reply.bootp.ciaddr)


def test_inform_gets_settings_and_no_lease() -> None:
    reply = Reply4(answer(request4(INFORM, ciaddr=int.from_bytes(OWN))))
    assert (ACK, 0) == (reply.kind, reply.bootp.yiaddr)
    assert set() == {51, 58, 59} & set(reply.options)
    assert packed(Address("192.0.2.53")) == reply.options[6]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(request4(4), id="decline"),
        pytest.param(request4(7), id="release"),
        pytest.param(request4(INFORM), id="inform without an address"),
        pytest.param(request4(2), id="another server's offer"),
        pytest.param(request4(DISCOVER, giaddr=1), id="through a relay"),
        pytest.param(request4(DISCOVER, op=2), id="a reply"),
        pytest.param(request4(DISCOVER, hln=8), id="not Ethernet"),
        pytest.param(request4(DISCOVER, magic=1), id="plain BOOTP"),
        pytest.param(request4(DISCOVER, source_mac=b"\x02" * 6), id="from another MAC address"),
        pytest.param(request4(DISCOVER, chaddr=b"\x02" * 6), id="for another MAC address"),
        pytest.param(request4(DISCOVER)[:200], id="cut off"),
    ],
)
def test_silence(frame: bytes) -> None:
    assert answer(frame) is None


def test_a_guest_without_ipv4_hears_nothing() -> None:
    assert answer(request4(DISCOVER), msgspec.structs.replace(CONFIG, offer4=None)) is None


def test_an_option_beyond_the_packet_makes_it_no_request() -> None:
    header = request4(DISCOVER)[42 : 42 + 240]
    assert parse4(header[:-1]) is None
    assert parse4(header + b"\x35\x02\x01") is None
    assert parse4(header + b"\x35") is None


def test_padding_between_options_and_split_options_are_read() -> None:
    request = parse4(request4(DISCOVER)[42 : 42 + 240] + b"\x00\x35\x01\x01\x00\x3d\x02ab\x3d\x01c\xff\x35")
    assert request is not None
    assert {53: b"\x01", 61: b"abc"} == request.options


def test_microsoft_routes_only_on_demand() -> None:
    assert 249 not in Reply4(answer(request4(DISCOVER, {55: b"\x01\x79"}))).options
    asked = Reply4(answer(request4(DISCOVER, {55: b"\x01\xf9"}))).options
    assert asked[121] == asked[249]


def test_classless_routes_contain_the_default_route() -> None:
    route = HostRoute(prefix=Prefix("198.51.100.128/25"), via=Address("192.0.2.9"))
    raw = Reply4(answer(request4(DISCOVER), with_routes(route))).options[121]
    assert b"\x19\xc6\x33\x64\x80\xc0\x00\x02\x09" + b"\x00" + SERVER == raw


def test_a_default_route_of_the_subnet_is_not_doubled() -> None:
    route = HostRoute(prefix=Prefix("0.0.0.0/0"), via=Address("192.0.2.9"))
    assert b"\x00\xc0\x00\x02\x09" == Reply4(answer(request4(DISCOVER), with_routes(route))).options[121]


def test_without_a_gateway_there_is_no_default_route() -> None:
    route = HostRoute(prefix=Prefix("169.254.169.254/32"), via=Address("0.0.0.0"))
    options = Reply4(answer(request4(DISCOVER), with_routes(route, gateway=None))).options
    assert b"\x20\xa9\xfe\xa9\xfe" + bytes(4) == options[121]
    assert 3 not in options


def test_a_gateway_outside_the_subnet_is_reachable_on_the_link_first() -> None:
    gateway = Address("198.51.100.1")
    route = HostRoute(prefix=Prefix("169.254.169.254/32"), via=gateway)
    raw = Reply4(answer(request4(DISCOVER), with_routes(route, gateway=gateway))).options[121]
    far = packed(gateway)
    assert b"\x20" + far + bytes(4) + b"\x20\xa9\xfe\xa9\xfe" + far + b"\x00" + far == raw


def test_without_routes_there_is_no_option_121() -> None:
    assert 121 not in Reply4(answer(request4(DISCOVER), with_routes())).options


def test_extra_options_win() -> None:
    config = with_options(DhcpOption(name="mtu", value="1400"), DhcpOption(name="lease-time", value="120"))
    options = Reply4(answer(request4(DISCOVER), config)).options
    assert ((1400).to_bytes(2), (120).to_bytes(4)) == (options[26], options[51])


def test_an_empty_extra_option_takes_ours_away() -> None:
    options = Reply4(answer(request4(DISCOVER), with_options(DhcpOption(name="router", value="")))).options
    assert 3 not in options


def test_boot_options_reach_the_header_too() -> None:
    config = with_options(
        DhcpOption(name="bootfile-name", value="pxelinux.0"),
        DhcpOption(name="server-ip-address", value="192.0.2.8"),
        DhcpOption(name="tftp-server", value="192.0.2.8"),
    )
    reply = Reply4(answer(request4(DISCOVER), config))
    assert (b"pxelinux.0", int.from_bytes(packed(Address("192.0.2.8")))) == (
        reply.bootp.file.rstrip(b"\0"),
        reply.bootp.siaddr,
    )
    assert (b"pxelinux.0", b"192.0.2.8") == (reply.options[67], reply.options[66])


def test_options_of_the_other_version_and_client_id_stay_out() -> None:
    config = with_options(
        DhcpOption(name="dns-server", value="2001:db8::1", version=6), DhcpOption(name="client-id", value="x")
    )
    assert Reply4(answer(request4(DISCOVER))).options == Reply4(answer(request4(DISCOVER), config)).options


def test_an_option_that_cannot_be_written_is_left_out_and_named() -> None:
    config = with_options(DhcpOption(name="mtu", value="many"), DhcpOption(name="ntp-server", value="192.0.2.9"))
    known, wrong = options4(config)
    assert ["extra_dhcp_opts[mtu].opt_value"] == [error.field for error in wrong]
    assert ((1450).to_bytes(2), bytes([192, 0, 2, 9])) == (known[26], known[42])


def test_long_options_are_split() -> None:
    config = with_options(DhcpOption(name="vendor-encap", value=":".join(["ab"] * 300)))
    assert b"\xab" * 300 == Reply4(answer(request4(DISCOVER), config)).options[43]


def test_a_client_with_little_room_gets_the_important_options() -> None:
    config = with_options(DhcpOption(name="vendor-encap", value=":".join(["ab"] * 400)))
    reply = Reply4(answer(request4(DISCOVER, {57: struct.pack("!H", 576)}), config))
    assert reply.ip.len <= 576
    assert 43 not in reply.options
    assert SERVER == reply.options[3]


def test_a_guest_without_an_offer_has_only_extra_options() -> None:
    config = msgspec.structs.replace(with_options(DhcpOption(name="T1", value="60")), offer4=None)
    assert {58: (60).to_bytes(4)} == options4(config)[0]
