# SPDX-License-Identifier: Apache-2.0
"""A host looks at kube-proxy where it was asked to, and only there."""

import select
from collections.abc import Iterator

import pytest

from buoy.dataplane.driver import Disturbance
from buoy.dataplane.host import LinuxHost
from buoy.dataplane.proxy_health import Answer
from buoy.model.address import Address
from buoy.model.proxied import ProxyMode
from tests.netns.dataplane.world import NoDhcp
from tests.netns.proxy.node import IPV4, Node, forward, forward_no_more, proxying

WEB = Address("192.0.2.1")


@pytest.fixture
def host(node: Node) -> Iterator[LinuxHost]:
    made = node.inside(lambda: LinuxHost(NoDhcp(), service_proxy=ProxyMode.NFTABLES))
    yield made
    made.close()


def test_a_host_tells_what_kube_proxy_does_and_when_that_changes(node: Node, host: LinuxHost) -> None:
    assert (ProxyMode.NONE, Disturbance()) == (host.proxy.mode(), host.disturbances())
    node.nft(IPV4, forward(WEB))
    assert Disturbance(proxied=frozenset({WEB}), proxy=True) == host.disturbances()
    assert {WEB: proxying([("tcp", 80)])} == dict(host.proxy.proxying())
    node.nft(forward_no_more(WEB))
    assert Disturbance(proxied=frozenset({WEB})) == host.disturbances()


def test_a_host_tells_when_kube_proxy_hangs_and_what_it_forwarded_is_still_seen(node: Node, host: LinuxHost) -> None:
    node.nft(IPV4, forward(WEB))
    host.disturbances()
    assert host.proxy_health is not None
    for _ in range(2):
        host.proxy_health.hear(Answer.SILENT)
    assert (Disturbance(proxy=True), Disturbance()) == (host.disturbances(), host.disturbances())
    assert ("does not answer", {WEB}) == (host.proxy.stuck(), set(host.proxy.proxying()))


def test_a_kube_proxy_that_changes_its_rules_lives_though_its_health_server_is_gone(
    node: Node, host: LinuxHost
) -> None:
    node.nft(IPV4)
    host.disturbances()
    assert host.proxy_health is not None
    for answer in (Answer.LIVES, Answer.UNREACHED, Answer.UNREACHED):
        host.proxy_health.hear(answer)
    assert (Disturbance(proxy=True), "cannot be reached any more") == (host.disturbances(), host.proxy.stuck())
    node.nft(forward(WEB))
    assert (Disturbance(proxied=frozenset({WEB}), proxy=True), "") == (host.disturbances(), host.proxy.stuck())


def test_who_answers_in_kube_proxys_place_where_there_is_none_is_no_matter(node: Node, host: LinuxHost) -> None:
    assert host.proxy_health is not None
    for _ in range(2):
        host.proxy_health.hear(Answer.SILENT)
    assert (Disturbance(), "") == (host.disturbances(), host.proxy.stuck())
    node.nft(IPV4)
    assert (Disturbance(proxy=True), "does not answer") == (host.disturbances(), host.proxy.stuck())
    node.nft("delete table ip kube-proxy")
    assert (Disturbance(proxy=True), "") == (host.disturbances(), host.proxy.stuck())


def test_kube_proxys_changes_wake_who_listens_to_the_host(node: Node, host: LinuxHost) -> None:
    host.disturbances()
    assert [] == select.select(host.filenos(), [], [], 0)[0]
    node.nft(IPV4, forward(WEB))
    assert host.filenos()[2] in select.select(host.filenos(), [], [], 5)[0]


def test_an_audit_finds_what_nobody_told_and_else_nothing(node: Node, host: LinuxHost) -> None:
    owner = node.owned_maps()
    assert Disturbance(proxy=True) == host.disturbances()
    assert {frozenset()} == set(host.afresh.parts())
    assert Disturbance() == host.disturbances()
    owner.close()
    assert Disturbance() == host.disturbances()
    assert {frozenset()} == set(host.afresh.parts())
    assert Disturbance(proxy=True) == host.disturbances()


def test_a_host_that_was_not_asked_to_opens_nothing_and_sees_nothing(node: Node) -> None:
    node.nft(IPV4, forward(WEB))
    host = node.inside(lambda: LinuxHost(NoDhcp()))
    assert (None, "") == (host.proxy_health, host.proxy.stuck())
    assert (2, ProxyMode.NONE, {}) == (len(host.filenos()), host.proxy.mode(), dict(host.proxy.proxying()))
    node.nft(forward_no_more(WEB))
    assert Disturbance() == host.disturbances()
    host.close()
