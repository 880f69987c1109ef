# SPDX-License-Identifier: Apache-2.0
"""The service proxy in memory shows what it does, and tells each change once."""

from buoy.dataplane.driver import Disturbance, NoServiceProxy, ServiceProxy, UncheckedServiceProxy
from buoy.dataplane.fake import Fake
from buoy.dataplane.fake_proxy import FakeProxy
from buoy.model.address import Address
from buoy.model.proxied import Proxying, ProxyMode, ProxyPort

ADDRESS = Address("203.0.113.5")
WEB, TLS = ProxyPort("tcp", 80), ProxyPort("tcp", 443)


def test_a_port_is_forwarded_or_refused_or_unknown() -> None:
    proxy = FakeProxy(ProxyMode.NFTABLES)
    proxy.forward(ADDRESS, [WEB, TLS])
    proxy.refuse(ADDRESS, [TLS])
    assert {ADDRESS: Proxying(frozenset({WEB}), frozenset({TLS}))} == proxy.proxying()
    proxy.forget(ADDRESS, [WEB, TLS])
    assert {} == proxy.proxying()


def test_a_change_is_told_once_and_by_the_host() -> None:
    host = Fake()
    host.service_proxy.become(ProxyMode.IPTABLES)
    host.service_proxy.forward(ADDRESS, [WEB])
    assert Disturbance(proxied=frozenset({ADDRESS}), proxy=True) == host.disturbances()
    host.service_proxy.forward(ADDRESS, [WEB])
    assert Disturbance() == host.disturbances()


def test_a_proxy_that_goes_takes_all_it_forwarded_along() -> None:
    proxy = FakeProxy(ProxyMode.NFTABLES)
    proxy.forward(ADDRESS, [WEB])
    proxy.news()
    proxy.become(ProxyMode.NONE)
    assert (ProxyMode.NONE, {}) == (proxy.mode(), proxy.proxying())
    assert (frozenset({ADDRESS}), True) == proxy.news()


def test_a_family_that_goes_takes_along_what_was_forwarded_of_it_and_is_told() -> None:
    proxy, other = FakeProxy(ProxyMode.NFTABLES), Address("2001:db8::5")
    for address in (ADDRESS, other):
        proxy.forward(address, [WEB])
    proxy.news()
    proxy.become(ProxyMode.NFTABLES, frozenset({6}))
    assert ({6}, {other}) == (set(proxy.families()), set(proxy.proxying()))
    assert (frozenset({ADDRESS}), True) == proxy.news()


def test_where_nobody_looks_for_a_proxy_there_is_none() -> None:
    proxy: ServiceProxy = NoServiceProxy()
    assert (ProxyMode.NONE, frozenset(), {}) == (proxy.mode(), proxy.families(), proxy.proxying())


def test_a_proxy_that_is_vouched_for_is_so_for_both_families() -> None:
    assert {4, 6} == UncheckedServiceProxy().families()
