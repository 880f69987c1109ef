# SPDX-License-Identifier: Apache-2.0
"""kube-proxy's iptables rules as `iptables -S` and `iptables-save` print them.

Promises that only a rule that is understood to its end counts as forwarding: one
address, one port, no other condition, and a jump to a chain of kube-proxy's. The
tricky thing: nothing needs to be known of tables, for in chain KUBE-SERVICES of
table nat rules jump to chains, and in table filter they reject or drop. A chain
KUBE-SERVICES whose rules ask ipsets is IPVS mode, of which rules tell nothing.
Source: kubernetes/pkg/proxy/iptables.
"""

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

from buoy.model.address import Address, packed, unpacked
from buoy.model.proxied import Proxying, ProxyPort

SERVICES, EXTERNAL = "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"
"""The chains that stand for all of kube-proxy's."""

# a literal newline, not ^: among the rules of 5,000 Services its search is four times as fast
_RULE = re.compile(
    rb"\n-A KUBE-(?:EXTERNAL-)?SERVICES -d ([0-9a-f.:]+)/(?:32|128) -p (tcp|udp|sctp) "
    rb'(?:-m comment --comment (?:"(?:[^"\\\n]|\\.)*"|\S+) )?-m \2 --dport (\d+) '
    rb"-j (?:(KUBE-(?!MARK-)\S+)|(?:DROP|REJECT)\b)"
)
_CHAIN = re.compile(rb"\n(?::|-N )KUBE-SERVICES[ \n]")
_IPVS = re.compile(rb"\n-A KUBE-SERVICES [^\n]*--match-set KUBE-")
_NONE: frozenset[ProxyPort] = frozenset()


class Seen(NamedTuple):
    """What rules say: for which IP versions kube-proxy is there in iptables mode, what it does with each address."""

    families: frozenset[int]
    content: dict[Address, Proxying]


def parse(outputs: Iterable[tuple[int, bytes]]) -> Seen:
    """Return what these outputs, each with its IP version, say together; others' lines are passed over."""
    forwarded: dict[bytes, frozenset[ProxyPort]] = {}
    refused: dict[bytes, frozenset[ProxyPort]] = {}
    families: set[int] = set()
    for version, text in ((version, b"\n" + text) for version, text in outputs):
        if _CHAIN.search(text) and not _IPVS.search(text):
            families.add(version)
        for found in _RULE.finditer(text):
            address, protocol, port, jump = found.groups()
            ports = forwarded if jump else refused
            ports[address] = ports.get(address, _NONE) | _port(protocol, port)
    seen = forwarded.keys() | refused.keys()
    content = {_address(raw): _proxying(forwarded.get(raw, _NONE), refused.get(raw, _NONE)) for raw in seen}
    return Seen(frozenset(families), content)


@functools.lru_cache(4096)
def _port(protocol: bytes, port: bytes) -> frozenset[ProxyPort]:
    return frozenset({ProxyPort(protocol.decode(), int(port))})


@functools.lru_cache(4096)
def _proxying(forwarded: frozenset[ProxyPort], refused: frozenset[ProxyPort]) -> Proxying:
    return Proxying(forwarded - refused, refused)


def _address(raw: bytes) -> Address:
    address = Address(raw.decode())
    return unpacked(packed(address)) if b":" in raw else address
