# SPDX-License-Identifier: Apache-2.0
"""What a guest that means harm cannot do: speak as another, to the node, past its rules, or before there are any."""

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e import wire
from tests.e2e.cloud import Cloud, eventually
from tests.e2e.mischief import (
    IP4,
    IP6,
    MARK,
    NODE,
    UDP,
    answering,
    gateway,
    hello,
    leaves,
    passing_both_ways,
)
from tests.e2e.stage import ACCESS, CONTROL, Stage
from tests.e2e.streams import Stream

STRANGER, FREE, FREE6 = "fa:16:3e:ff:00:01", "10.65.0.77", "fd00:65::77"
NODE6, OTHER_NODE = "fd00:8::3", "192.168.8.4"
ARP, VLAN, QINQ = 0x0806, 0x8100, 0x88A8
IPIP, ROUTING, FRAGMENT, NOTHING, OPTIONS = 4, 43, 44, 59, 60
ALL_NODES, BROADCAST = "ff02::1", "ff:ff:ff:ff:ff:ff"


@pytest.fixture(scope="module")
def stage(cloud: Cloud) -> Iterator[Stage]:
    """`mallory` and `victim` on one node, who may speak and hear on one port only, and `server` who may all."""
    made = Stage(cloud)
    made.guest("mallory", "compute-1")
    made.guest("victim", "compute-1")
    made.guest("server", "compute-1", "default")
    yield made
    made.close()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("taker", ["access", "victim"])
def test_a_guest_speaks_under_its_own_mac_and_address(stage: Stage, taker: str, version: int) -> None:
    own, there = stage.address("mallory", version), stage.address(taker, version)
    assert leaves(stage, taker, hello(own, there))
    assert not leaves(stage, taker, hello(own, there), source=STRANGER)
    assert not leaves(stage, taker, hello(own, there), source=stage.guests["victim"]["mac"])


FALSE_4 = (FREE, NODE, ACCESS, "10.65.0.1", "0.0.0.0", "127.0.0.1", "127.0.0.2", "224.0.0.1", "255.255.255.255",
           "169.254.169.254", "169.254.7.7")  # fmt: skip
FALSE_6 = (FREE6, NODE6, "::", "::1", "ff02::1", "fe80::1", "::ffff:10.65.0.1", "fd00:8::1")


@pytest.mark.parametrize("taker", ["access", "victim"])
def test_a_guest_speaks_under_no_other_address(stage: Stage, taker: str) -> None:
    for version, false in ((4, FALSE_4), (6, FALSE_6)):
        there = stage.address(taker, version)
        sources = (*false, stage.address("victim", version))
        assert [] == [source for source in sources if leaves(stage, taker, hello(source, there))]


def test_rules_are_not_walked_around(stage: Stage) -> None:
    own, there = stage.address("mallory"), stage.address("access")
    own6, there6 = stage.address("mallory", 6), stage.address("access", 6)
    victim6 = stage.address("victim", 6)
    solicitation = bytes([135, 0])
    packets = {
        "another port": hello(own, there, 10),
        "as a DHCP client": wire.udp(own, there, 67, MARK, port_from=68),
        "as a DHCP server": wire.udp(own, there, 68, MARK, port_from=67),
        "as a DHCPv6 client": wire.udp(own6, there6, 547, MARK, port_from=546),
        "IP in IP": wire.ip(own, there, IPIP, hello(own, there)),
        "IPv6 in IP": wire.ip(own, there, 41, hello(own6, there6)),
        "GRE": wire.ip(own, there, 47, struct.pack("!HH", 0, IP4) + hello(own, there)),
        "a solicitation far away": wire.icmp_raw(own6, there6, solicitation, bytes(4) + bytes(16) + MARK, hops=255),
        "a solicitation": wire.icmp_raw(own6, victim6, solicitation, bytes(4) + wire.address(victim6) + MARK, hops=255),
        "an advertisement": wire.icmp_raw(own6, victim6, bytes([136, 0]), bytes(20) + MARK, hops=255),
        "a listener's report": wire.icmp_raw(own6, there6, bytes([131, 0]), bytes(20) + MARK, hops=1),
        "options first": wire.ip(own6, there6, OPTIONS, _options(UDP) + _body(hello(own6, there6, 10))),
        "hop by hop": wire.ip(own6, there6, 0, _options(UDP) + _body(hello(own6, there6, 10))),
        "no next header": wire.ip(own6, there6, NOTHING, MARK),
        "routing header": wire.ip(own6, there6, ROUTING, bytes([UDP, 0, 2, 0, 0, 0, 0, 0]) + MARK),
    }  # fmt: skip
    takers = ("access", "victim")
    assert [] == [name for name, raw in packets.items() for taker in takers if leaves(stage, taker, raw)]


def _options(following: int) -> bytes:
    return bytes([following, 0, 1, 4, 0, 0, 0, 0])


def _body(packet: bytes) -> bytes:
    return packet[40:] if packet[0] >> 4 == 6 else packet[20:]


@pytest.mark.parametrize(("port", "passes"), [(CONTROL, True), (10, False)])
def test_fragments_are_judged_as_the_whole(stage: Stage, port: int, passes: bool) -> None:
    own, there = stage.address("mallory"), stage.address("access")
    link = gateway(stage, "mallory"), stage.guests["mallory"]["mac"]

    def second(mark: bytes) -> bytes:
        whole = _body(wire.udp(own, there, port, b"x" * 16 + mark))
        first = wire.ip(own, there, UDP, whole[:16], special=0x2000)
        stage.puppet("mallory").send_frame(wire.frame(*link, IP4, first))
        return wire.frame(*link, IP4, wire.ip(own, there, UDP, whole[16:], special=2))

    assert passes is stage.frame_passes("mallory", "access", second)


@pytest.mark.parametrize(("port", "passes"), [(CONTROL, True), (10, False)])
def test_headers_before_the_ports_hide_nothing(stage: Stage, port: int, passes: bool) -> None:
    own, there = stage.address("mallory", 6), stage.address("victim", 6)
    whole = _body(wire.udp(own, there, port, MARK))
    fragment = wire.ip(own, there, FRAGMENT, bytes([UDP, 0, 0, 0, 0, 0, 0, 7]) + whole)
    for packet in (wire.ip(own, there, OPTIONS, _options(UDP) + whole), fragment):
        assert passes is leaves(stage, "victim", packet)


@pytest.mark.parametrize("tag", [(VLAN, 100), (VLAN, 0), (QINQ, 7)])
def test_tagged_frames_carry_no_false_source(stage: Stage, tag: tuple[int, int]) -> None:
    link = gateway(stage, "mallory"), stage.guests["mallory"]["mac"]
    for taker in ("access", "victim"):
        raw = struct.pack("!HH", tag[1], IP4) + hello(FREE, stage.address(taker))
        assert not stage.frame_passes("mallory", taker, partial(_framed, link, tag[0], raw))


def _framed(link: tuple[str, str], kind: int, raw: bytes, mark: bytes) -> bytes:
    return wire.frame(*link, kind, raw.replace(MARK, mark))


def test_nobody_hears_a_guests_broadcasts_and_the_node_does_not_believe_them(stage: Stage) -> None:
    cloud, victim, mallory = stage.cloud, stage.guests["victim"], stage.guests["mallory"]
    before = _believed(cloud, victim)
    own6, four, six = stage.address("mallory", 6), stage.address("victim"), stage.address("victim", 6)
    link = "fe80::f816:3eff:feff:1"
    prefix = bytes([3, 4, 64, 0xC0]) + struct.pack("!III", 9000, 9000, 0) + wire.address("2001:db8:bad::")
    router = struct.pack("!BBHII", 64, 0, 9000, 0, 0) + prefix + MARK
    target = bytes([0xA0, 0, 0, 0]) + wire.address(six) + bytes([2, 1]) + wire.mac(mallory["mac"]) + MARK
    frames = {
        "ARP": (ARP, wire.arp(2, (mallory["mac"], four), (BROADCAST, four)) + MARK),
        "ARP of the router": (ARP, wire.arp(2, (mallory["mac"], "10.65.0.1"), (BROADCAST, "10.65.0.1")) + MARK),
        "ARP request": (ARP, wire.arp(1, (mallory["mac"], four), ("00:00:00:00:00:00", "10.65.0.1")) + MARK),
        "DHCP offer": (IP4, wire.udp("10.65.0.1", "255.255.255.255", 68, MARK, port_from=67)),
        "DHCP offer as itself": (IP4, wire.udp(stage.address("mallory"), "255.255.255.255", 68, MARK, port_from=67)),
        "RA": (IP6, wire.icmp_raw(link, ALL_NODES, bytes([134, 0]), router, hops=255)),
        "RA as itself": (IP6, wire.icmp_raw(own6, ALL_NODES, bytes([134, 0]), router, hops=255)),
        "NA": (IP6, wire.icmp_raw(link, ALL_NODES, bytes([136, 0]), target, hops=255)),
        "NA as itself": (IP6, wire.icmp_raw(own6, ALL_NODES, bytes([136, 0]), target, hops=255)),
    }
    heard = [
        name
        for name, (kind, raw) in frames.items()
        for taker, to in (("victim", BROADCAST), ("victim", gateway(stage, "mallory")))
        if stage.frame_passes("mallory", taker, partial(_framed, (to, mallory["mac"]), kind, raw))
    ]
    assert [] == heard
    assert before == _believed(cloud, victim)
    assert stage.passes("access", "victim", lambda mark: wire.udp(ACCESS, four, CONTROL, mark))


def _believed(cloud: Cloud, guest: dict[str, Any]) -> tuple[list[str], str, str]:
    """Return what the node believes of a guest's neighbours, its own IPv6 addresses and its default routes."""
    seen = cloud.on("compute-1", "ip", "neighbour", "show", "dev", guest["interface"]).splitlines()
    known = sorted(line for line in seen if "PERMANENT" in line)
    addresses = cloud.on("compute-1", "ip", "-6", "-o", "address", "show", "scope", "global")
    return known, addresses, cloud.on("compute-1", "ip", "-6", "route", "show", "default")


PAIRS = (
    (FREE, "", FREE, "10.65.0.78"),
    ("10.65.0.192/26", "", "10.65.0.250", "10.65.0.191"),
    (FREE6, "", FREE6, "fd00:65::78"),
    ("fd00:65:0:0:7::/80", "", "fd00:65::7:0:0:1", "fd00:65::8:0:0:1"),
    (FREE, STRANGER, FREE, "10.65.0.78"),
    ("198.51.100.0/24", STRANGER, "198.51.100.9", "198.51.101.9"),
    ("0.0.0.0/1", "", "10.65.0.66", "192.0.2.1"),
    ("0.0.0.0/0", "", "192.0.2.1", "fd00:65::78"),
    ("2000::/3", "", "2001:db8::1", "10.65.0.66"),
)  # fmt: skip


@pytest.mark.parametrize(("pair", "mac", "within", "beside"), PAIRS)
def test_an_allowed_address_pair_may_be_sent_from(stage: Stage, pair: str, mac: str, within: str, beside: str) -> None:
    port, own = stage.guests["mallory"]["port"], stage.guests["mallory"]["mac"]

    def may(source: str, under: str) -> bool:
        there = stage.address("victim", 6 if ":" in source else 4)
        return leaves(stage, "victim", hello(source, there), source=under)

    words = f"ip-address={pair}" + (f",mac-address={mac}" if mac else "")
    stage.cloud.openstack("port", "set", "--allowed-address", words, port)
    eventually(lambda: may(within, mac or own))
    assert [False, False] == [may(beside, mac or own), may(within, "fa:16:3e:ff:00:02")]
    assert (not mac) or not may(within, own)
    stage.cloud.openstack("port", "unset", "--allowed-address", words + ("" if mac else f",mac-address={own}"), port)
    eventually(lambda: not may(within, mac or own))


def test_a_single_allowed_address_is_routed_to_the_guest(stage: Stage) -> None:
    port = stage.guests["server"]["port"]
    stage.cloud.on("server", "ip", "address", "add", f"{FREE}/32", "dev", "eth0")
    stage.cloud.openstack("port", "set", "--allowed-address", f"ip-address={FREE}", port)
    eventually(lambda: stage.cloud.http("access", FREE, seconds=1) == "server")
    stage.cloud.openstack("port", "set", "--no-allowed-address", port)
    eventually(lambda: FREE not in stage.cloud.routes("access"))
    stage.cloud.on("server", "ip", "address", "delete", f"{FREE}/32", "dev", "eth0")


def test_port_security_off_lets_a_guest_be_anybody_but_not_reach_the_node(stage: Stage) -> None:
    port = stage.guests["mallory"]["port"]
    false = hello(FREE, stage.address("victim"))
    assert not leaves(stage, "victim", false)
    stage.cloud.openstack("port", "set", "--no-security-group", "--disable-port-security", port)
    eventually(lambda: leaves(stage, "victim", false))
    assert leaves(stage, "victim", false, source=STRANGER)
    assert [] == answering(stage, "mallory", ON_THE_NODE)
    false_node = [hello(source, stage.address("victim")) for source in (NODE, "127.0.0.1", "127.0.0.2")]
    assert [False] * 3 == [leaves(stage, "victim", raw) for raw in false_node]
    stage.cloud.openstack("port", "set", "--enable-port-security", "--security-group", "control", port)
    eventually(lambda: not leaves(stage, "victim", false))


ON_THE_NODE = tuple(
    (address, port)
    for address in (NODE, NODE6, "10.65.0.1", "127.0.0.1", "127.0.0.2", "169.254.169.254", "TAP")
    for port in (22, 179, 2379, 8775, 9705)
)


def test_guests_reach_nothing_on_the_node_but_metadata(stage: Stage) -> None:
    assert [] == answering(stage, "server", ON_THE_NODE)
    assert [("169.254.169.254", 80)] == answering(stage, "server", (("169.254.169.254", 80),))
    for address in (NODE, NODE6, "10.65.0.1"):
        assert "0 received" in stage.cloud.on("server", "ping", "-c1", "-W1", address, check=False)


def test_other_nodes_are_outside_and_the_groups_decide(stage: Stage) -> None:
    assert [(OTHER_NODE, 22)] == answering(stage, "server", ((OTHER_NODE, 22),))
    assert [] == answering(stage, "mallory", ((OTHER_NODE, 22),))


def test_nothing_passes_an_unknown_tap(stage: Stage) -> None:
    cloud = stage.cloud
    cloud.lab.plug(name="unknown", node="compute-1", interface="tapunknown", mac=STRANGER)
    stage.guests["unknown"] = {"node": "compute-1", "interface": "tapunknown", "mac": STRANGER, "addresses": [FREE]}
    cloud.on("unknown", "ip", "address", "add", f"{FREE}/32", "dev", "eth0")
    cloud.on("unknown", "ip", "route", "add", "default", "dev", "eth0")
    cloud.on("unknown", "ip", "neighbour", "add", ACCESS, "lladdr", gateway(stage, "unknown"), "dev", "eth0")
    cloud.on("compute-1", "ip", "route", "add", FREE, "dev", "tapunknown")
    cloud.on("compute-1", "ip", "neighbour", "replace", FREE, "lladdr", STRANGER, "dev", "tapunknown")
    cloud.on("compute-1", "sysctl", "-qw", "net.ipv4.conf.tapunknown.forwarding=1")
    cloud.on("access", "ip", "route", "add", FREE, "via", NODE)
    try:
        assert [] == passing_both_ways(stage, "unknown")
    finally:
        cloud.on("access", "ip", "route", "delete", FREE)
        cloud.lab.unplug("unknown")


def test_a_guest_waits_for_the_agent_and_others_do_not_notice_its_death(stage: Stage) -> None:
    cloud = stage.cloud
    with Stream(stage, 7001, 4) as lasting:
        lasting.flows()
        cloud.lab.service("kill", "compute-1", "agent")
        made = cloud.get("port", "create", "--network", "calico", "--security-group", "control", "--host", "compute-1",
                         "--device-owner", "compute:nova", "--device", "late", "late")  # fmt: skip
        four = next(one["ip_address"] for one in made["fixed_ips"] if ":" not in one["ip_address"])
        guest = {"node": "compute-1", "interface": f"tap{made['id']}"[:14], "mac": made["mac_address"]}
        stage.guests["late"] = {**guest, "addresses": [four]}
        cloud.lab.plug(name="late", port=made["id"], addresses=[four], **guest)
        cloud.lab.start_guest("late")
        cloud.on("access", "ip", "route", "add", four, "via", NODE)
        assert [] == passing_both_ways(stage, "late")
        lasting.flows()
        cloud.lab.service("start", "compute-1", "agent")
        eventually(lambda: cloud.get("port", "show", made["id"])["status"] == "ACTIVE", seconds=20)
        cloud.on("access", "ip", "route", "delete", four, "via", NODE, check=False)
        eventually(lambda: stage.passes("access", "late", lambda mark: wire.udp(ACCESS, four, CONTROL, mark)))
        lasting.flows()
