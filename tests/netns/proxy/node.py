# SPDX-License-Identifier: Apache-2.0
"""A node with tables laid out as kube-proxy 1.36 lays out its own, and a mirror that looks at them."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from buoy.dataplane import netlink, nft_wire
from buoy.dataplane.proxy_mirror import KubeProxy
from buoy.model.address import Address
from buoy.model.proxied import Proxying, ProxyPort
from tests.netns.dataplane.place import Place

T = TypeVar("T")
SKELETON = """
table {family} kube-proxy {{
    comment "rules for kube-proxy"
    map no-endpoint-services {{
        type {type} . inet_proto . inet_service : verdict
        comment "vmap to drop or reject packets to services with no endpoints"
    }}
    map no-endpoint-nodeports {{ type inet_proto . inet_service : verdict; }}
    map firewall-ips {{ type {type} . inet_proto . inet_service : verdict; }}
    map service-ips {{
        type {type} . inet_proto . inet_service : verdict
        comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"
    }}
    map service-nodeports {{ type inet_proto . inet_service : verdict; }}
    chain reject-chain {{ reject; }}
    chain external-WEB {{ }}
    chain firewall-WEB {{ drop; }}
    chain endpoints-check {{ {daddr} . meta l4proto . th dport vmap @no-endpoint-services; }}
    chain firewall-check {{ {daddr} . meta l4proto . th dport vmap @firewall-ips; }}
    chain services {{ {daddr} . meta l4proto . th dport vmap @service-ips; }}
    chain filter-prerouting {{ type filter hook prerouting priority -110; ct state new jump firewall-check; }}
    chain filter-forward {{ type filter hook forward priority -110; ct state new jump endpoints-check; }}
    chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
}}
"""
IPV4 = SKELETON.format(family="ip", type="ipv4_addr", daddr="ip daddr")
IPV6 = SKELETON.format(family="ip6", type="ipv6_addr", daddr="ip6 daddr")


class Node:
    """A namespace; whoever changes its tables is kube-proxy, whoever looks is ours."""

    def __init__(self, name: str) -> None:
        self.place = Place(name)
        self._open: list[KubeProxy] = []

    def nft(self, *commands: str) -> None:
        """Do these in one transaction."""
        self.place.exec("nft", "-f", "-", text="\n".join(commands) + "\n")

    def mirror(self) -> KubeProxy:
        """Look at this node; closed when it goes."""
        made = self.inside(KubeProxy)
        self._open.append(made)
        return made

    def owned_maps(self) -> netlink.Channel:
        """Make `service-ips` in a table that goes when what is returned is closed, of which the kernel tells nobody."""
        owner = self.inside(lambda: netlink.Channel(netlink.NETFILTER))
        table = b"\x02\0\0\0" + netlink.attribute(1, b"kube-proxy\0")
        owned = netlink.attribute(2, b"\0\0\0\x02")
        name = netlink.attribute(2, b"service-ips\0")
        # flags: a map; types and lengths of key and data: 12 bytes, a verdict; a number of its own
        values = ((3, 8), (4, 0), (5, 12), (6, 0xFFFFFF00), (7, 16), (10, 1))
        layout = b"".join(netlink.attribute(kind, value.to_bytes(4)) for kind, value in values)
        new_table = netlink.message(nft_wire.NEWTABLE, netlink.CREATE, table + owned)
        new_map = netlink.message(nft_wire.NEWSET, netlink.CREATE, table + name + layout)
        assert {} == owner.transact(nft_wire.batch([new_table, new_map]), 2)
        return owner

    def inside(self, function: Callable[[], T]) -> T:
        return self.place.inside(function)

    def close(self) -> None:
        for mirror in self._open:
            mirror.close()


def forward(address: str, protocol: str = "tcp", port: int = 80) -> str:
    element = f"{address} . {protocol} . {port} : goto external-WEB"
    return f"add element {_family(address)} kube-proxy service-ips {{ {element} }}"


def forward_no_more(address: str, protocol: str = "tcp", port: int = 80) -> str:
    return f"delete element {_family(address)} kube-proxy service-ips {{ {address} . {protocol} . {port} }}"


def refuse(address: str, verdict: str = "drop", *, port: int = 80) -> str:
    element = f'{address} . tcp . {port} comment "ns/web:http" : {verdict}'
    return f"add element {_family(address)} kube-proxy no-endpoint-services {{ {element} }}"


def refuse_no_more(address: str, port: int = 80) -> str:
    return f"delete element {_family(address)} kube-proxy no-endpoint-services {{ {address} . tcp . {port} }}"


def _family(address: str) -> str:
    return "ip6" if ":" in address else "ip"


def proxying(forwarded: Iterable[tuple[str, int]] = (), refused: Iterable[tuple[str, int]] = ()) -> Proxying:
    """Return what is to be seen of an address."""
    return Proxying(frozenset(ProxyPort(*port) for port in forwarded), frozenset(ProxyPort(*port) for port in refused))


def told(*addresses: str, mode: bool = False) -> tuple[frozenset[Address], bool]:
    """Return what `disturbances` says when these, and perhaps the mode, have changed."""
    return frozenset(Address(address) for address in addresses), mode
