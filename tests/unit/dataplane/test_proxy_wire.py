# SPDX-License-Identifier: Apache-2.0
"""kube-proxy's maps in bytes as a kernel sent them."""

import pytest

from buoy.dataplane import netlink, nft_wire, proxy_wire
from buoy.dataplane.proxy_wire import Map
from buoy.model.proxied import ProxyPort

IP_TABLE = "0f0001006b7562652d70726f787900"
FORWARDED = "10000200736572766963652d69707300"
REFUSED = "190002006e6f2d656e64706f696e742d736572766963657300000000"
GOTO = "240002002000020008000100fffffffc1100020065787465726e616c2d57454200000000"
COMMENT = "12000600000c6e732f7765623a687474700000"
HTTP = "3c0001001400010010000100c000020106000000005000002400020020000200" + GOTO[24:]

V4_EVENT = f"02000003{IP_TABLE}00{FORWARDED}40000300{HTTP}"
V6_EVENT = (
    f"0a000004{IP_TABLE}00{FORWARDED}4c00030048000100200001001c000100"
    f"20010db800000000000000000000000184000000ffff0000{GOTO}"
)
REFUSED_EVENT = (
    f"02000005{IP_TABLE}00{REFUSED}4000030"
    f"03c0001001400010010000100c00002010600000000500000100002000c0002000800010000000000{COMMENT}00"
)
DUMP = f"02000009{IP_TABLE}00{FORWARDED}7c0003003c0001001400010010000100c00002031100000000350000{GOTO}{HTTP}"
OTHER_SET_EVENT = f"02000008{IP_TABLE}0010000200636c75737465722d6970730014000300100001000c00010008000100c0000209"
"""An element of kube-proxy's set `cluster-ips`."""

WEB_KEY = bytes.fromhex("c00002010600000000500000")


def keys(payload: str) -> list[bytes]:
    return list(proxy_wire.keys(bytes.fromhex(payload)))


def test_an_element_that_is_told_is_read() -> None:
    assert ([WEB_KEY], Map.FORWARDED) == (keys(V4_EVENT), proxy_wire.named(bytes.fromhex(V4_EVENT)))


def test_an_element_with_comment_and_without_a_chain_is_read() -> None:
    assert ([WEB_KEY], Map.REFUSED) == (keys(REFUSED_EVENT), proxy_wire.named(bytes.fromhex(REFUSED_EVENT)))


def test_all_elements_of_a_page_are_read() -> None:
    assert [bytes.fromhex("c00002031100000000350000"), WEB_KEY] == keys(DUMP)


def test_a_page_without_elements_has_no_keys() -> None:
    assert [] == keys(f"02000009{IP_TABLE}00{FORWARDED}04000300")


def test_an_ipv6_key_is_read() -> None:
    (key,) = keys(V6_EVENT)
    assert "20010db8000000000000000000000001" == key[:16].hex()
    assert ProxyPort("sctp", 65535) == proxy_wire.port(key[16:])


def test_another_set_of_kube_proxys_is_none_of_its_maps() -> None:
    raw = bytes.fromhex(OTHER_SET_EVENT)
    assert (True, None) == (proxy_wire.concerns(raw), proxy_wire.named(raw))


@pytest.mark.parametrize(
    "payload",
    [
        f"01000003{IP_TABLE}00{FORWARDED}",
        f"02000003{netlink.attribute(1, b'kube-proxy2').hex()}{FORWARDED}",
        "0000000308000100000000030800020000001cbc080003006e667400",
    ],
    ids=["inet", "longer", "generation"],
)
def test_messages_of_others_are_none_of_kube_proxys(payload: str) -> None:
    assert not proxy_wire.concerns(bytes.fromhex(payload))


def element(*parts: bytes) -> str:
    body = netlink.nested(3, netlink.nested(1, *parts))
    return f"02000003{IP_TABLE}00{FORWARDED}{body.hex()}"


NESTED_KEY = netlink.nested(1, netlink.attribute(1, WEB_KEY))
ODD = [
    pytest.param(element(netlink.attribute(3, b"\0\0\0\0"), NESTED_KEY), [WEB_KEY], id="flags first"),
    pytest.param(element(NESTED_KEY), [WEB_KEY], id="marked as nested"),
    pytest.param(element(netlink.nested(1, netlink.attribute(1, WEB_KEY[:8]))), [], id="short"),
    pytest.param(element(netlink.attribute(3, b"\0\0\0\x02")), [], id="catch-all"),
]


@pytest.mark.parametrize(("payload", "expected"), ODD)
def test_elements_that_are_written_otherwise(payload: str, expected: list[bytes]) -> None:
    assert expected == keys(payload)


@pytest.mark.parametrize(("number", "name"), [(6, "tcp"), (17, "udp"), (132, "sctp"), (33, "33")])
def test_a_protocol_has_its_name_in_services_or_its_number(number: int, name: str) -> None:
    assert ProxyPort(name, 53) == proxy_wire.port(bytes([number, 0, 0, 0, 0, 53, 0, 0]))


def test_a_dump_asks_for_one_map_of_one_table() -> None:
    (asked,) = netlink.split(proxy_wire.dump(10, Map.REFUSED))
    assert (nft_wire.GETELEMENT, f"0a000000{IP_TABLE}00{REFUSED}") == (asked[0], asked[4].hex())
