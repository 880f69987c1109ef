# SPDX-License-Identifier: Apache-2.0
"""Security groups as a guest meets them: which packets of which kind arrive, and what a change ends."""

import re
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e import wire
from tests.e2e.cloud import Cloud, eventually
from tests.e2e.stage import ACCESS, Stage
from tests.e2e.streams import Stream

ECHO, ECHO6, TIMESTAMP, UNREACHABLE_NET = 8, 128, 13, 0

# the words of the rule; what it lets pass: protocol, then port or ICMP type and code
RULES_4 = (
    (("--protocol", "tcp", "--dst-port", "80"), (6, 80)),
    (("--protocol", "6", "--dst-port", "1000:2000"), (6, 1000)),
    (("--protocol", "udp", "--dst-port", "5000:5010"), (17, 5010)),
    (("--protocol", "icmp", "--icmp-type", "8", "--icmp-code", "0"), (1, 8, 0)),
    (("--protocol", "1", "--icmp-type", "15"), (1, 15, 3)),
    (("--protocol", "icmp", "--icmp-type", "3", "--icmp-code", "9"), (1, 3, 9)),
    (("--protocol", "sctp", "--dst-port", "5000"), (132, 5000)),
    (("--protocol", "udplite", "--dst-port", "5000"), (136, 5000)),
    (("--protocol", "dccp", "--dst-port", "5000"), (33, 5000)),
    (("--protocol", "gre"), (47, 0)),
    (("--protocol", "112"), (112, 0)),
    (("--protocol", "esp"), (50, 0)),
    (("--protocol", "ospf"), (89, 0)),
    (("--protocol", "ipip"), (4, 0)),
    (("--protocol", "253"), (253, 0)),
)
STRANGE_4 = (
    (6, 81), (6, 999), (6, 2001), (17, 80), (17, 4999), (17, 5011), (1, TIMESTAMP, 0), (1, 8, 1), (132, 5001),
    (136, 5001), (33, 5001), (51, 0), (113, 0), (2, 0), (254, 0),
)  # fmt: skip
RULES_6 = (
    (("--protocol", "tcp", "--dst-port", "80"), (6, 80)),
    (("--protocol", "udp", "--dst-port", "5000:5010"), (17, 5000)),
    (("--protocol", "ipv6-icmp", "--icmp-type", "128", "--icmp-code", "0"), (58, 128, 0)),
    (("--protocol", "58", "--icmp-type", "150"), (58, 150, 9)),
    (("--protocol", "sctp", "--dst-port", "5000"), (132, 5000)),
    (("--protocol", "47"), (47, 0)),
    (("--protocol", "vrrp"), (112, 0)),
)
STRANGE_6 = ((6, 81), (17, 4999), (17, 5011), (58, 128, 1), (58, 151, 0), (132, 5001), (50, 0), (253, 0))
RULES = {4: RULES_4, 6: RULES_6}
STRANGE = {4: STRANGE_4, 6: STRANGE_6}


@pytest.fixture(scope="module")
def stage(cloud: Cloud) -> Iterator[Stage]:
    """Guests `server` and `friend` on different nodes and `other` beside `server`; none may do anything yet."""
    made = Stage(cloud)
    for name in ("kinds", "friends", "remote", "empty"):
        made.group(name)
    made.guest("server", "compute-1", "kinds", "remote")
    made.guest("friend", "compute-2", "friends")
    made.guest("other", "compute-1", "empty")
    for name in ("friend", "other"):
        cloud.openstack("port", "set", "--security-group", "default", made.guests[name]["port"])
    yield made
    made.close()


def packet(stage: Stage, way: tuple[str, str], version: int, kind: tuple[int, ...], mark: bytes) -> bytes:
    """Return a packet of a kind, as in `RULES`."""
    ends = stage.address(way[0], version), stage.address(way[1], version)
    if kind[0] in {1, 58}:
        return wire.icmp(*ends, kind[1], kind[2], mark)
    return wire.of_protocol(*ends, kind[0], kind[1], mark)


def passing(stage: Stage, way: tuple[str, str], version: int, kinds: tuple[tuple[int, ...], ...]) -> list[object]:
    """Return those of the kinds that pass."""
    make = partial(packet, stage, way, version)
    return [kind for kind in kinds if stage.passes(*way, partial(make, kind))]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("side", "way"), [("--ingress", ("access", "server")), ("--ingress", ("other", "server")),
                      ("--egress", ("server", "access"))]
)  # fmt: skip
def test_rules_of_every_kind_let_pass_what_they_say_and_nothing_else(
    stage: Stage, version: int, side: str, way: tuple[str, str]
) -> None:
    kinds = tuple(kind for _, kind in RULES[version])
    assert [] == passing(stage, way, version, kinds)
    ethertype = ("--ethertype", f"IPv{version}", side)
    rules = [stage.rule("kinds", *words, *ethertype) for words, _ in RULES[version]]
    eventually(lambda: passing(stage, way, version, kinds[-1:]))
    assert list(kinds) == passing(stage, way, version, kinds)
    assert [] == passing(stage, way, version, STRANGE[version])
    stage.cloud.openstack("security", "group", "rule", "delete", *rules)
    eventually(lambda: not passing(stage, way, version, kinds[-1:]))
    assert [] == passing(stage, way, version, kinds)
    # nor does the other side go on answering what has no ports
    eventually(lambda: not passing(stage, way[::-1], version, kinds))


def test_a_rule_without_protocol_allows_every_one_of_its_family_alone(stage: Stage) -> None:
    way = ("access", "server")
    rule = stage.rule("kinds", "--protocol", "any", "--ethertype", "IPv4")
    eventually(lambda: passing(stage, way, 4, STRANGE_4) == list(STRANGE_4))
    assert [] == passing(stage, way, 6, STRANGE_6)
    stage.cloud.openstack("security", "group", "rule", "delete", rule)
    eventually(lambda: not passing(stage, way, 4, STRANGE_4))


@pytest.mark.parametrize(("prefix", "wider"), [(f"{ACCESS}/32", "192.168.8.0/24"), ("fd00:8::1/128", "fd00:8::/64")])
def test_a_prefix_is_that_of_the_sender_as_the_guest_sees_it(stage: Stage, prefix: str, wider: str) -> None:
    version = 6 if ":" in prefix else 4
    tcp80 = ("--protocol", "tcp", "--dst-port", "80", "--ethertype", f"IPv{version}")
    for remote in (prefix, wider):
        rule = stage.rule("kinds", *tcp80, "--remote-ip", remote)
        eventually(lambda: passing(stage, ("access", "server"), version, ((6, 80),)))
        assert [] == passing(stage, ("other", "server"), version, ((6, 80),))
        stage.cloud.openstack("security", "group", "rule", "delete", rule)
        eventually(lambda: not passing(stage, ("access", "server"), version, ((6, 80),)))


def test_behind_a_floating_ip_a_rule_is_about_the_fixed_ip_and_the_true_client(stage: Stage) -> None:
    cloud, port = stage.cloud, stage.guests["server"]["port"]
    floating = cloud.get("floating", "ip", "create", "public", "--port", port)
    eventually(lambda: cloud.get("floating", "ip", "show", floating["id"])["status"] == "ACTIVE")
    address = floating["floating_ip_address"]
    assert "" == cloud.http("access", address, seconds=0.5)
    made = []
    for number, remote in ((80, "10.65.0.0/24"), (80, f"{address}/32"), (22, f"{ACCESS}/32"), (80, f"{ACCESS}/32")):
        assert "" == cloud.http("access", address, seconds=0.5)
        tcp = ("--protocol", "tcp", "--dst-port", str(number))
        made.append(stage.rule("kinds", *tcp, "--remote-ip", remote))
        if remote.startswith(ACCESS):
            eventually(partial(stage.passes, "access", "server", partial(_syn, address, number)))
    assert "server" == cloud.http("access", address)
    cloud.openstack("floating", "ip", "delete", floating["id"])
    cloud.openstack("security", "group", "rule", "delete", *made)


def _syn(address: str, port: int, mark: bytes) -> bytes:
    return wire.tcp(ACCESS, address, port, mark)


def test_members_of_remote_and_address_groups_come_and_go_in_sets_alone(stage: Stage) -> None:
    cloud = stage.cloud
    cloud.openstack("address", "group", "create", "--address", f"{ACCESS}/32", "watchers")
    stage.rule("remote", "--protocol", "udp", "--dst-port", "7000", "--remote-group", "friends")
    stage.rule("remote", "--protocol", "udp", "--dst-port", "7000", "--remote-address-group", "watchers")
    stage.rule("remote", "--protocol", "udp", "--dst-port", "7000", "--remote-group", "friends", "--ethertype", "IPv6")
    for version in (4, 6):
        eventually(partial(passing, stage, ("friend", "server"), version, ((17, 7000),)))
        assert [] == passing(stage, ("other", "server"), version, ((17, 7000),))
    eventually(lambda: passing(stage, ("access", "server"), 4, ((17, 7000),)))
    before = chains(cloud)
    _members_change(stage)
    assert before == chains(cloud)


def _members_change(stage: Stage) -> None:
    cloud = stage.cloud
    friend = stage.guests["friend"]["port"]
    for word, wanted in (("unset", []), ("set", [(17, 7000)])):
        cloud.openstack("port", word, "--security-group", "friends", friend)
        for version in (4, 6):
            eventually(partial(passing, stage, ("friend", "server"), version, ((17, 7000),)), wanted.__eq__)
    own = stage.address("other")
    pair = f"ip-address={own},mac-address={stage.guests['friend']['mac']}"
    cloud.openstack("address", "group", "set", "--address", f"{own}/32", "watchers")
    eventually(lambda: passing(stage, ("other", "server"), 4, ((17, 7000),)))
    cloud.openstack("address", "group", "unset", "--address", f"{own}/32", "watchers")
    eventually(lambda: not passing(stage, ("other", "server"), 4, ((17, 7000),)))
    cloud.openstack("address", "group", "set", "--address", "10.65.0.0/24", "watchers")
    eventually(lambda: passing(stage, ("other", "server"), 4, ((17, 7000),)))
    cloud.openstack("address", "group", "unset", "--address", "10.65.0.0/24", "watchers")
    eventually(lambda: not passing(stage, ("other", "server"), 4, ((17, 7000),)))
    cloud.openstack("port", "set", "--allowed-address", pair, friend)
    eventually(lambda: passing(stage, ("other", "server"), 4, ((17, 7000),)))
    cloud.openstack("port", "unset", "--allowed-address", pair, friend)
    eventually(lambda: not passing(stage, ("other", "server"), 4, ((17, 7000),)))


def chains(cloud: Cloud) -> dict[str, list[str]]:
    """Return each chain of groups on the server's node with its rules and their handles, but no counters."""
    listed = cloud.on("compute-1", "nft", "-a", "list", "table", "inet", "buoy")
    found = re.findall(r"^\tchain (g[ie]-\S+) \{(.*?)^\t\}", listed, re.MULTILINE | re.DOTALL)
    return {name: text.splitlines() for name, text in found}


@pytest.mark.parametrize("server_may_call", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_a_removed_rule_ends_its_flows_and_no_others(stage: Stage, version: int, server_may_call: bool) -> None:
    ether = ("--protocol", "tcp", "--ethertype", f"IPv{version}")
    doomed = stage.rule("kinds", *ether, "--dst-port", "6001")
    kept = [stage.rule("kinds", *ether, "--dst-port", "6002")]
    if server_may_call:
        kept.append(stage.rule("kinds", *ether, "--egress"))
    with Stream(stage, 6001, version) as ending, Stream(stage, 6002, version) as lasting:
        ending.flows()
        lasting.flows()
        stage.cloud.openstack("security", "group", "rule", "delete", doomed)
        ending.stops()
        lasting.flows()
    stage.cloud.openstack("security", "group", "rule", "delete", *kept)


def test_a_member_that_leaves_ends_its_flows_and_no_others(stage: Stage) -> None:
    rules = [stage.rule("kinds", "--protocol", "tcp", "--dst-port", "6001", "--remote-group", "friends"),
             stage.rule("kinds", "--protocol", "tcp", "--dst-port", "6002", "--remote-group", "default"),
             stage.rule("kinds", "--protocol", "tcp", "--egress")]  # fmt: skip
    port = stage.guests["friend"]["port"]
    with Stream(stage, 6001, 4, "friend") as ending, Stream(stage, 6002, 4, "friend") as lasting:
        ending.flows()
        lasting.flows()
        stage.cloud.openstack("port", "unset", "--security-group", "friends", port)
        ending.stops()
        lasting.flows()
    stage.cloud.openstack("port", "set", "--security-group", "friends", port)
    stage.cloud.openstack("security", "group", "rule", "delete", *rules)


def test_a_group_taken_from_a_port_ends_what_it_allowed(stage: Stage) -> None:
    rule = stage.rule("remote", "--protocol", "tcp", "--dst-port", "6003")
    out = stage.rule("kinds", "--protocol", "tcp", "--egress")
    with Stream(stage, 6003, 4) as ending:
        ending.flows()
        stage.cloud.openstack("port", "unset", "--security-group", "remote", stage.guests["server"]["port"])
        ending.stops()
    stage.cloud.openstack("port", "set", "--security-group", "remote", stage.guests["server"]["port"])
    stage.cloud.openstack("security", "group", "rule", "delete", rule, out)
