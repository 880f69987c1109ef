# SPDX-License-Identifier: Apache-2.0
"""The mirror of kube-proxy's iptables rules, of both iptables, under what happens to them."""

import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from buoy.dataplane import proxy_iptables
from buoy.dataplane.proxy_mirror import KubeProxy
from buoy.model.address import Address
from buoy.model.proxied import Proxying, ProxyMode
from tests.netns.proxy.node import IPV4, Node, forward, proxying, told

WEB, WEB6, SHOP = Address("192.0.2.1"), Address("2001:db8::1"), Address("192.0.2.2")
HTTP, DROPPED = proxying([("tcp", 80)]), proxying([], [("tcp", 80)])


class Rules:
    """What a kube-proxy in iptables mode writes: all of it, each time."""

    def __init__(self, node: Node, variant: str) -> None:
        self.node = node
        self.variant = variant

    def write(self, *, forwarded: tuple[str, ...] = (), refused: tuple[str, ...] = (), family: str = "ip") -> None:
        lines = ["*filter", ":KUBE-SERVICES - [0:0]", ":KUBE-EXTERNAL-SERVICES - [0:0]"]
        lines += [
            f'-A KUBE-EXTERNAL-SERVICES -m comment --comment "ns/web:http has no local endpoints" '
            f"-m tcp -p tcp -d {address} --dport 80 -j DROP"
            for address in refused
        ]
        lines += ["COMMIT", "*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-EXT-WEB - [0:0]", ":KUBE-NODEPORTS - [0:0]"]
        lines += [
            f'-A KUBE-SERVICES -m comment --comment "ns/web:http loadbalancer IP" '
            f"-m tcp -p tcp -d {address} --dport 80 -j KUBE-EXT-WEB"
            for address in forwarded
        ]
        last = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
        lines += [f'-A KUBE-SERVICES -m comment --comment "{last}" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS']
        program = f"{family}tables-{self.variant}-restore"
        self.node.place.exec(program, "--noflush", "--counters", text="\n".join([*lines, "COMMIT", ""]))

    def delete(self) -> None:
        """Do as somebody who flushes everything."""
        program = f"iptables-{self.variant}"
        for table in ("nat", "filter"):
            for chain in ("-F", "-X"):
                self.node.place.exec(program, "-t", table, chain)


@pytest.fixture(params=["nft", "legacy"])
def rules(node: Node, request: pytest.FixtureRequest) -> Rules:
    return Rules(node, request.param)


@pytest.fixture
def newer(node: Node) -> Rules:
    return Rules(node, "nft")


def next_told(node: Node, mirror: KubeProxy) -> tuple[frozenset[Address], bool]:
    """Wait until something is told."""

    def wait() -> tuple[frozenset[Address], bool]:
        said = mirror.disturbances()
        while said == told():
            assert select.select(mirror.filenos(), [], [], 20)[0]
            said = mirror.disturbances()
        return said

    return node.inside(wait)


def test_what_is_there_at_first_is_seen_and_no_change(node: Node, rules: Rules) -> None:
    rules.write(forwarded=(WEB, SHOP), refused=(SHOP,))
    rules.write(forwarded=(WEB6,), family="ip6")
    mirror = node.mirror()
    assert {WEB: HTTP, SHOP: DROPPED, WEB6: HTTP} == dict(mirror.proxying())
    assert (ProxyMode.IPTABLES, told()) == (mirror.mode(), node.inside(mirror.disturbances))


def test_rules_are_followed_as_they_come_change_and_go(node: Node, rules: Rules) -> None:
    mirror = node.mirror()
    assert ProxyMode.NONE == mirror.mode()
    rules.write(forwarded=(WEB, SHOP))
    assert (told(WEB, SHOP, mode=True), ProxyMode.IPTABLES) == (next_told(node, mirror), mirror.mode())
    rules.write(forwarded=(WEB, SHOP), refused=(WEB,))
    assert (told(WEB), {WEB: DROPPED, SHOP: HTTP}) == (next_told(node, mirror), dict(mirror.proxying()))
    rules.write(forwarded=(WEB,))
    assert (told(WEB, SHOP), {WEB: HTTP}) == (next_told(node, mirror), dict(mirror.proxying()))
    rules.delete()
    assert (told(WEB, mode=True), {}) == (next_told(node, mirror), dict(mirror.proxying()))


def test_rules_of_one_family_that_go_take_that_family_along(node: Node, rules: Rules) -> None:
    rules.write(forwarded=(WEB,))
    rules.write(forwarded=(WEB6,), family="ip6")
    mirror = node.mirror()
    assert {4, 6} == mirror.families()
    rules.delete()
    assert told(WEB, mode=True) == next_told(node, mirror)
    assert ({6}, {WEB6}) == (set(mirror.families()), set(mirror.proxying()))


def test_the_older_iptables_is_asked_for_nothing_that_it_would_have_to_make(node: Node) -> None:
    node.mirror()
    assert "" == node.place.exec("sh", "-c", "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>&- || true")


def test_looking_changes_nothing(node: Node, newer: Rules) -> None:
    newer.write(forwarded=(WEB,))
    before = node.place.exec("nft", "list", "ruleset")
    node.mirror()
    assert before == node.place.exec("nft", "list", "ruleset")


def test_what_others_do_in_the_same_tables_is_no_reason_to_read(
    node: Node, newer: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("_SHORTEST", "_REST", "_LONG_REST", "_SELDOM"):
        monkeypatch.setattr(proxy_iptables, pause, 0)
    newer.write(forwarded=(WEB,))
    mirror = node.mirror()
    sent = mirror.channel.sent
    node.place.exec("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "10.0.0.0/8", "-j", "MASQUERADE")
    node.place.exec("iptables-nft", "-t", "filter", "-N", "KUBE-SERVICES-OF-MINE")
    assert (told(), sent) == (node.inside(mirror.disturbances), mirror.channel.sent)


def test_soon_after_a_reading_there_is_no_other(node: Node, newer: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    newer.write(forwarded=(WEB,))
    monkeypatch.setattr(proxy_iptables, "_SHORTEST", 1000)
    monkeypatch.setattr(proxy_iptables, "_LONGEST", 1000)
    mirror = node.mirror()
    sent = mirror.channel.sent
    newer.write(forwarded=(SHOP,))
    assert (told(), sent) == (node.inside(mirror.disturbances), mirror.channel.sent)


DROP_WEB = ("-A", "KUBE-EXTERNAL-SERVICES", "-d", WEB, "-p", "tcp", "-m", "tcp", "--dport", "80", "-j", "DROP")


def test_between_kube_proxys_two_tables_nothing_is_read(
    node: Node, newer: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer.write(forwarded=(WEB,))
    monkeypatch.setattr(proxy_iptables, "_SHORTEST", 0)
    monkeypatch.setattr(proxy_iptables, "_REST", 0)
    monkeypatch.setattr(proxy_iptables, "_HALF", 1000)
    mirror = node.mirror()
    sent = mirror.channel.sent
    node.place.exec("iptables-nft", "-t", "filter", *DROP_WEB)
    assert (told(), sent) == (node.inside(mirror.disturbances), mirror.channel.sent)
    node.place.exec("iptables-nft", "-t", "nat", "-F", "KUBE-SERVICES")
    assert (told(WEB), {WEB: DROPPED}) == (next_told(node, mirror), dict(mirror.proxying()))


def test_what_somebody_changes_in_one_table_alone_is_seen_too(node: Node, newer: Rules) -> None:
    newer.write(forwarded=(WEB,))
    mirror = node.mirror()
    node.place.exec("iptables-nft", "-t", "filter", *DROP_WEB)
    assert (told(WEB), {WEB: DROPPED}) == (next_told(node, mirror), dict(mirror.proxying()))


def test_while_nftables_maps_are_there_no_rules_are_read(node: Node, newer: Rules) -> None:
    newer.write(forwarded=(WEB,))
    mirror = node.mirror()
    node.nft(IPV4, forward(SHOP))
    assert (told(WEB, SHOP, mode=True), {SHOP: HTTP}) == (node.inside(mirror.disturbances), dict(mirror.proxying()))
    newer.write(forwarded=(WEB, "192.0.2.3"))
    assert told() == node.inside(mirror.disturbances)
    node.nft("delete table ip kube-proxy")
    assert told(SHOP, mode=True) == node.inside(mirror.disturbances)
    assert told(WEB, "192.0.2.3", mode=True) == next_told(node, mirror)


def test_rules_are_read_again_when_nftables_maps_go_though_nobody_touched_them(node: Node, newer: Rules) -> None:
    newer.write(forwarded=(WEB,))
    mirror = node.mirror()
    node.nft(IPV4)
    assert told(WEB, mode=True) == node.inside(mirror.disturbances)
    node.nft("delete table ip kube-proxy")
    assert told(mode=True) == node.inside(mirror.disturbances)
    assert (told(WEB, mode=True), {WEB: HTTP}) == (next_told(node, mirror), dict(mirror.proxying()))


def test_after_lost_notifications_rules_are_read_again(node: Node, newer: Rules) -> None:
    newer.write(forwarded=(WEB,))
    mirror = node.mirror()
    listening = socket.socket(fileno=socket.dup(mirror.monitor.fileno()))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    node.nft(IPV4, *(f"add chain ip kube-proxy c{number}" for number in range(200)))
    node.nft("delete table ip kube-proxy")
    newer.write(forwarded=(SHOP,))
    assert (told(WEB, SHOP), {SHOP: HTTP}) == (next_told(node, mirror), dict(mirror.proxying()))
    listening.close()


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """A directory whose `iptables-nft` is found before the real one."""
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{before}"
    yield tmp_path / "iptables-nft"
    os.environ["PATH"] = before


def test_a_reading_that_fails_leaves_what_was_seen_and_is_tried_again(node: Node, newer: Rules, broken: Path) -> None:
    newer.write(forwarded=(WEB,))
    mirror = node.mirror()
    broken.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    broken.chmod(0o755)
    newer.write(forwarded=(SHOP,))

    def until(trouble: bool) -> dict[Address, Proxying]:
        while bool(mirror.trouble) != trouble:
            assert select.select(mirror.filenos(), [], [], 20)[0]
            mirror.disturbances()
        return dict(mirror.proxying())

    assert {WEB: HTTP} == node.inside(lambda: until(trouble=True))
    assert "iptables-nft: ended with 3: out of luck" == mirror.trouble
    broken.unlink()
    assert {SHOP: HTTP} == node.inside(lambda: until(trouble=False))
