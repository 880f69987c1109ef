# SPDX-License-Identifier: Apache-2.0
"""The mirror of kube-proxy's nftables maps, under what happens to them."""

import socket

import pytest

from buoy.model.address import Address
from buoy.model.proxied import ProxyMode
from tests.netns.proxy.node import (
    IPV4,
    IPV6,
    Node,
    forward,
    forward_no_more,
    proxying,
    refuse,
    refuse_no_more,
    told,
)

WEB, WEB6 = Address("192.0.2.1"), Address("2001:db8::1")
HTTP = proxying([("tcp", 80)])
DROPPED = proxying([], [("tcp", 80)])


def test_what_is_there_at_first_is_seen_and_no_change(node: Node) -> None:
    node.nft(IPV4, IPV6, forward(WEB), forward(WEB6), refuse("192.0.2.2", "goto reject-chain"))
    mirror = node.mirror()
    assert {WEB: HTTP, WEB6: HTTP, Address("192.0.2.2"): DROPPED} == dict(mirror.proxying())
    assert (ProxyMode.NFTABLES, told()) == (mirror.mode(), mirror.disturbances())


def test_without_kube_proxy_nothing_is_seen_and_other_tables_are_not_taken_for_its(node: Node) -> None:
    mirror = node.mirror()
    node.nft(IPV4.replace("ip kube-proxy", "inet kube-proxy"), IPV4.replace("kube-proxy {", "kube-proxy2 {"))
    node.nft("add element inet kube-proxy service-ips { 192.0.2.1 . tcp . 80 : accept }")
    assert (told(), ProxyMode.NONE, {}) == (mirror.disturbances(), mirror.mode(), dict(mirror.proxying()))


def test_tables_that_come_later_are_followed(node: Node) -> None:
    mirror = node.mirror()
    node.nft(IPV6)
    assert (told(mode=True), ProxyMode.NFTABLES) == (mirror.disturbances(), mirror.mode())
    node.nft(IPV4, forward(WEB))
    assert (told(WEB, mode=True), {WEB: HTTP}) == (mirror.disturbances(), dict(mirror.proxying()))


@pytest.mark.parametrize("address", [WEB, WEB6])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_a_port_is_followed_as_it_comes_and_goes(node: Node, address: Address, protocol: str) -> None:
    node.nft(IPV4, IPV6)
    mirror = node.mirror()
    node.nft(forward(address, protocol, 65535))
    assert told(address) == mirror.disturbances()
    assert {address: proxying([(protocol, 65535)])} == dict(mirror.proxying())
    node.nft(forward_no_more(address, protocol, 65535))
    assert (told(address), {}) == (mirror.disturbances(), dict(mirror.proxying()))


def test_ports_of_one_address_come_and_go_by_themselves(node: Node) -> None:
    node.nft(IPV4, forward(WEB), forward(WEB, "udp", 80), forward(WEB, "tcp", 443))
    mirror = node.mirror()
    node.nft(forward_no_more(WEB, "udp", 80), forward("192.0.2.2"))
    assert told(WEB, "192.0.2.2") == mirror.disturbances()
    assert proxying([("tcp", 80), ("tcp", 443)]) == mirror.proxying()[WEB]


def test_what_is_dropped_for_want_of_a_local_endpoint_is_refused_though_its_key_stays(node: Node) -> None:
    node.nft(IPV4, forward(WEB), forward(WEB, "tcp", 443))
    mirror = node.mirror()
    node.nft(refuse(WEB))
    assert (told(WEB), proxying([("tcp", 443)], [("tcp", 80)])) == (mirror.disturbances(), mirror.proxying()[WEB])
    node.nft(refuse_no_more(WEB))
    assert (told(WEB), proxying([("tcp", 443), ("tcp", 80)])) == (mirror.disturbances(), mirror.proxying()[WEB])


def test_what_has_no_endpoint_anywhere_changes_maps_in_one_transaction(node: Node) -> None:
    node.nft(IPV4, forward(WEB))
    mirror = node.mirror()
    node.nft(forward_no_more(WEB), refuse(WEB, "goto reject-chain"))
    assert (told(WEB), {WEB: DROPPED}) == (mirror.disturbances(), dict(mirror.proxying()))


def test_a_source_range_does_not_keep_a_port_from_being_forwarded(node: Node) -> None:
    node.nft(IPV4, forward(WEB))
    mirror = node.mirror()
    node.nft("add element ip kube-proxy firewall-ips { 192.0.2.1 . tcp . 80 : goto firewall-WEB }")
    assert (told(), {WEB: HTTP}) == (mirror.disturbances(), dict(mirror.proxying()))


def test_a_flushed_map_forwards_nothing(node: Node) -> None:
    node.nft(IPV4, forward(WEB), forward("192.0.2.2"), refuse("192.0.2.3"))
    mirror = node.mirror()
    node.nft("flush map ip kube-proxy service-ips")
    assert told(WEB, "192.0.2.2") == mirror.disturbances()
    assert ({Address("192.0.2.3"): DROPPED}, ProxyMode.NFTABLES) == (dict(mirror.proxying()), mirror.mode())


def test_a_map_emptied_and_filled_in_one_transaction_has_not_changed(node: Node) -> None:
    node.nft(IPV4, forward(WEB), forward("192.0.2.2"))
    mirror = node.mirror()
    node.nft("flush map ip kube-proxy service-ips", forward(WEB), forward("192.0.2.3"))
    assert told("192.0.2.2", "192.0.2.3") == mirror.disturbances()
    assert {WEB: HTTP, Address("192.0.2.3"): HTTP} == dict(mirror.proxying())


def test_a_port_that_leads_to_another_chain_has_not_changed(node: Node) -> None:
    node.nft(IPV4, forward(WEB))
    mirror = node.mirror()
    element = "192.0.2.1 . tcp . 80 : goto firewall-WEB"
    node.nft(forward_no_more(WEB), f"add element ip kube-proxy service-ips {{ {element} }}")
    assert (told(), {WEB: HTTP}) == (mirror.disturbances(), dict(mirror.proxying()))


def test_a_table_deleted_and_made_again_is_followed(node: Node) -> None:
    node.nft(IPV4, forward(WEB))
    mirror = node.mirror()
    node.nft("delete table ip kube-proxy")
    assert (told(WEB, mode=True), {}, ProxyMode.NONE) == (mirror.disturbances(), dict(mirror.proxying()), mirror.mode())
    node.nft(IPV4, forward("192.0.2.2"))
    assert (told("192.0.2.2", mode=True), ProxyMode.NFTABLES) == (mirror.disturbances(), mirror.mode())


def test_a_table_of_one_family_that_goes_takes_that_family_along(node: Node) -> None:
    node.nft(IPV4, IPV6, forward(WEB), forward(WEB6))
    mirror = node.mirror()
    assert {4, 6} == mirror.families()
    node.nft("delete table ip kube-proxy")
    assert told(WEB, mode=True) == mirror.disturbances()
    assert ({6}, {WEB6}) == (set(mirror.families()), set(mirror.proxying()))
    node.nft(IPV4)
    assert told(mode=True) == mirror.disturbances()
    assert ({4, 6}, ProxyMode.NFTABLES) == (set(mirror.families()), mirror.mode())


def test_a_table_replaced_in_one_transaction_differs_only_where_it_differs(node: Node) -> None:
    node.nft(IPV4, IPV6, forward(WEB), forward(WEB6), forward("192.0.2.2"))
    mirror = node.mirror()
    node.nft("delete table ip kube-proxy", IPV4, forward(WEB), forward("192.0.2.3"))
    assert told("192.0.2.2", "192.0.2.3") == mirror.disturbances()
    assert {WEB: HTTP, WEB6: HTTP, Address("192.0.2.3"): HTTP} == dict(mirror.proxying())


def test_a_map_deleted_by_itself_takes_its_ports_with_it(node: Node) -> None:
    node.nft(IPV4, forward(WEB))
    mirror = node.mirror()
    node.nft("delete chain ip kube-proxy nat-prerouting", "delete chain ip kube-proxy services")
    node.nft("delete map ip kube-proxy service-ips")
    assert (told(WEB, mode=True), {}) == (mirror.disturbances(), dict(mirror.proxying()))


def test_keys_of_another_layout_forward_nothing(node: Node) -> None:
    node.nft(
        "table ip kube-proxy { map service-ips { type inet_proto . ipv4_addr : verdict; }; }",
        "add element ip kube-proxy service-ips { tcp . 192.0.2.1 : accept }",
    )
    mirror = node.mirror()
    assert ({}, ProxyMode.NFTABLES) == (dict(mirror.proxying()), mirror.mode())


def test_after_lost_notifications_only_what_differs_is_told(node: Node) -> None:
    node.nft(IPV4, forward(WEB), forward("192.0.2.2"))
    mirror = node.mirror()
    listening = socket.socket(fileno=socket.dup(mirror.monitor.fileno()))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    many = [forward(f"198.51.100.{number}") for number in range(256)]
    node.nft(*many)
    node.nft(forward_no_more(WEB))
    addresses = [f"198.51.100.{number}" for number in range(256)]
    assert told(WEB, *addresses) == mirror.disturbances()
    assert {Address(text) for text in ("192.0.2.2", *addresses)} == mirror.proxying().keys()
    node.nft(forward(WEB))
    assert told(WEB) == mirror.disturbances()
    listening.close()


def test_ten_thousand_ports_are_seen_and_followed(node: Node) -> None:
    addresses = frozenset(Address(f"198.18.{number // 256}.{number % 256}") for number in range(10_000))
    elements = ", ".join(f"{address} . tcp . 80 : goto external-WEB" for address in addresses)
    node.nft(IPV4)
    follower = node.mirror()
    node.nft(f"add element ip kube-proxy service-ips {{ {elements} }}")
    assert addresses == node.mirror().proxying().keys()
    assert ((addresses, False), addresses) == (follower.disturbances(), frozenset(follower.proxying()))


def test_a_change_costs_no_request(node: Node) -> None:
    node.nft(IPV4, *(forward(f"198.51.100.{number}") for number in range(100)))
    mirror = node.mirror()
    sent = mirror.channel.sent
    node.nft(forward(WEB), refuse(WEB), "flush map ip kube-proxy service-ips")
    mirror.disturbances()
    assert sent == mirror.channel.sent


def test_a_table_that_goes_with_its_owner_is_told_by_nobody_and_found_when_all_is_read_again(node: Node) -> None:
    owner = node.owned_maps()
    mirror = node.mirror()
    owner.close()
    assert (told(), ProxyMode.NFTABLES) == (mirror.disturbances(), mirror.mode())
    mirror.reread()
    assert (told(mode=True), ProxyMode.NONE) == (mirror.disturbances(), mirror.mode())


def test_looking_changes_nothing(node: Node) -> None:
    node.nft(IPV4, forward(WEB))
    before = node.place.exec("nft", "list", "ruleset")
    mirror = node.mirror()
    mirror.reread()
    mirror.disturbances()
    assert before == node.place.exec("nft", "list", "ruleset")
