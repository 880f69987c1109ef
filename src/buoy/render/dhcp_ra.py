# SPDX-License-Identifier: Apache-2.0
"""Router advertisements (RFC 4861, with RDNSS and DNSSL of RFC 8106).

Promises: pure; `solicited` tells who asked properly, `advertisement` is the frame.
Tricky: prefixes are never on-link (L=0). On a routed tap no neighbour is, and
proxied neighbour discovery would not answer inside an on-link /64. A prefix that
left the port is advertised once more with lifetimes of zero, so that the guest
stops using its address at once and not when it would have expired.
"""

import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from buoy.model.address import Prefix, packed, split
from buoy.model.guest import GuestConfig
from buoy.model.network import Ipv6Mode
from buoy.render import dhcp_options
from buoy.render.dhcp_frame import ICMP6, Way, icmp6_frame, received

ROUTER_LIFETIME = 1800
"""Seconds a guest keeps the default route after the last advertisement; nine may get lost."""

INTERVAL = 200
"""Seconds between unsolicited advertisements."""

_VALID, _PREFERRED = 86400, 14400
_SOLICITATION, _ADVERTISEMENT = 133, 134
_ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_UNSPECIFIED = bytes(16)
_MANAGED, _OTHER, _AUTONOMOUS = 0x80, 0x40, 0x40
_SMALLEST_MTU = 1280


class Station(NamedTuple):
    """Our end of a tap: its MAC address (6 bytes) and its link-local address (16 bytes)."""

    mac: bytes
    link_local: bytes


class Asker(NamedTuple):
    """Whom an advertisement is for."""

    mac: bytes
    address: bytes


EVERYONE = Asker(_ALL_NODES_MAC, _ALL_NODES)


def solicited(config: GuestConfig, frame: bytes) -> Asker | None:
    """Return whom to answer; None if the frame is no valid router solicitation of this guest (RFC 4861, 6.1.1)."""
    packet = received(frame)
    if (
        packet is None
        or not config.offers6
        or (packet.protocol, packet.kind, packet.hops) != (ICMP6, _SOLICITATION, 255)
    ):
        return None
    if (
        packet.mac != bytes.fromhex(config.mac.replace(":", ""))
        or packet.payload[1]
        or not _well_formed(packet.payload[8:])
    ):
        return None
    return EVERYONE if packet.source == _UNSPECIFIED else Asker(packet.mac, packet.source)


def advertisement(
    config: GuestConfig, station: Station, asker: Asker = EVERYONE, gone: Collection[Prefix] = ()
) -> bytes:
    """Return the frame that tells a guest of its prefixes, name servers and default route.

    `gone` are prefixes to forget; a configuration without IPv6 subnets also takes back the default route.
    """
    modes = {offer.mode for offer in config.offers6}
    flags = (_MANAGED if Ipv6Mode.STATEFUL in modes else 0) | (_OTHER if modes - {Ipv6Mode.SLAAC} else 0)
    lifetime = ROUTER_LIFETIME if config.router and config.offers6 else 0
    message = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 64, flags, lifetime, 0, 0)
    message += b"".join(_options(config, station.mac))
    message += b"".join(_prefix(prefix, _AUTONOMOUS, 0, 0) for prefix in gone)
    return icmp6_frame(Way(station.mac, asker.mac, station.link_local, asker.address), message)


def _options(config: GuestConfig, mac: bytes) -> Iterator[bytes]:
    yield b"\x01\x01" + mac
    if config.mtu >= _SMALLEST_MTU:
        yield struct.pack("!BBHI", 5, 1, 0, config.mtu)
    for offer in config.offers6:
        autonomous = 0 if offer.mode is Ipv6Mode.STATEFUL else _AUTONOMOUS
        yield _prefix(offer.subnet, autonomous, _VALID, _PREFERRED)
    servers = tuple(dict.fromkeys(server for offer in config.offers6 for server in offer.dns_servers))
    if servers:
        yield struct.pack("!BBHI", 25, 1 + 2 * len(servers), 0, ROUTER_LIFETIME) + dhcp_options.addresses(servers)
    if config.domain and config.offers6:
        yield _search(config.domain)


def _prefix(prefix: Prefix, flags: int, valid: int, preferred: int) -> bytes:
    network, length = split(prefix)
    return struct.pack("!BBBBIII", 3, 4, length, flags, valid, preferred, 0) + packed(network)


def _search(name: str) -> bytes:
    raw = dhcp_options.domain(name)
    padded = raw.ljust(-(-len(raw) // 8) * 8, b"\0")
    return struct.pack("!BBHI", 31, 1 + len(padded) // 8, 0, ROUTER_LIFETIME) + padded


def _well_formed(options: bytes) -> bool:
    """Every option has a length, and none reaches beyond the message."""
    at = 0
    while at < len(options):
        if at + 2 > len(options) or not options[at + 1]:
            return False
        at += 8 * options[at + 1]
    return at == len(options)
