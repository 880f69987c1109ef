# SPDX-License-Identifier: Apache-2.0
"""DHCPv4 (RFC 2131): one guest's answer to one request.

Promises: pure; a request that is malformed, from another MAC address, through a
relay or meant for another server gets None, never an exception.
Tricky: there are no leases. The port's document says which addresses the guest has:
one that remembers any of them keeps it, whatever the port got since; one that
remembers another is told so (NAK) and asks again, on any node, at any time. The server
identifier comes from the document as well, so that a guest which moved renews with the
same server as before.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from buoy.model.address import Address, Prefix, contains, host_prefix, packed, split, unpacked
from buoy.model.errors import InvalidInput
from buoy.model.guest import GuestConfig, Offer4
from buoy.render import dhcp_options
from buoy.render.dhcp_frame import UDP, Way, received, udp_frame

SERVER_PORT, CLIENT_PORT = 67, 68
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)

_HEADER = struct.Struct("!BBBB4sHH4s4s4s4s16s64s128s4s")
_COOKIE = bytes([99, 130, 83, 99])
_EVERYONE = b"\xff" * 4
_NOBODY = bytes(4)
_ON_LINK = unpacked(_NOBODY)
_DEFAULT = Prefix("0.0.0.0/0")
_BROADCAST = 0x8000
_SMALLEST_REPLY = 300
"""BOOTP clients and some relays still throw away what is shorter (RFC 1542 section 2.1)."""

_NETMASK, _ROUTER, _DNS, _HOSTNAME, _DOMAIN, _MTU, _BROADCAST_ADDRESS = 1, 3, 6, 12, 15, 26, 28
_REQUESTED, _LEASE, _TYPE, _SERVER, _ASKED, _MAXIMUM, _T1, _T2 = 50, 51, 53, 54, 55, 57, 58, 59
_BOOTFILE, _RAPID_COMMIT, _ROUTES, _MICROSOFT_ROUTES = 67, 80, 121, 249


class Request4(NamedTuple):
    """What matters of a request; addresses packed, `options` by code with split ones joined (RFC 3396)."""

    xid: bytes
    secs: int
    flags: int
    ciaddr: bytes
    chaddr: bytes
    options: Mapping[int, bytes]

    @property
    def kind(self) -> int:
        """The message type; 0 if it has none."""
        return int.from_bytes(self.options.get(_TYPE, b""))


def answer4(config: GuestConfig, mac: bytes, frame: bytes) -> bytes | None:
    """Return the frame to send to the guest from the interface with MAC `mac`; None where silence is the answer."""
    guest = bytes.fromhex(config.mac.replace(":", ""))
    packet = received(frame)
    if packet is None or (packet.protocol, packet.kind) != (UDP, SERVER_PORT) or packet.mac != guest:
        return None
    request = parse4(packet.payload)
    if request is None or request.chaddr != guest:
        return None
    offer = _meant(config, request)
    kind = None if offer is None else _reply_kind(offer, request)
    if offer is None or kind is None:
        return None
    way = _way(offer, request, kind, Way(mac, guest, packed(offer.server), _EVERYONE))
    answer = _message(msgspec.structs.replace(config, offer4=offer), offer, request, kind)
    return udp_frame(way, (SERVER_PORT, CLIENT_PORT), answer)


def _meant(config: GuestConfig, request: Request4) -> Offer4 | None:
    """Choose what the request is about: the address that the client names or uses, if it may have it."""
    named = request.options.get(_REQUESTED, request.ciaddr)
    return next((other for other in config.others4 if packed(other.address) == named), config.offer4)


def parse4(payload: bytes) -> Request4 | None:
    """Return the request in a UDP payload; None if it is none that came directly from an Ethernet client."""
    if len(payload) < _HEADER.size:
        return None
    op, hardware, size, _, xid, secs, flags, ciaddr, _, _, relay, chaddr, _, _, cookie = _HEADER.unpack_from(payload)
    if (op, hardware, size, relay, cookie) != (1, 1, 6, _NOBODY, _COOKIE):
        return None
    options = _options(payload[_HEADER.size :])
    return None if options is None else Request4(xid, secs, flags, ciaddr, chaddr[:6], options)


def _options(raw: bytes) -> dict[int, bytes] | None:
    """Return options by code; None if one reaches beyond the packet."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(raw) and raw[at] != 255:
        if raw[at] == 0:
            at += 1
            continue
        if at + 2 > len(raw) or at + 2 + raw[at + 1] > len(raw):
            return None
        found[raw[at]] = found.get(raw[at], b"") + raw[at + 2 : at + 2 + raw[at + 1]]
        at += 2 + raw[at + 1]
    return found


def _reply_kind(offer: Offer4, request: Request4) -> int | None:
    """RFC 2131 section 4.3: what is said to a request, by the state the client shows to be in."""
    match request.kind:
        case 1:
            return ACK if _RAPID_COMMIT in request.options else OFFER
        case 3:
            return _verdict(offer, request)
        case 8:
            return ACK if request.ciaddr != _NOBODY else None
        case _:
            return None


def _verdict(offer: Offer4, request: Request4) -> int | None:
    """Judge a REQUEST: selecting names a server, init-reboot names an address, renewing and rebinding use one."""
    server = request.options.get(_SERVER)
    if server is not None and server != packed(offer.server):
        return None
    wished = request.options.get(_REQUESTED, request.ciaddr)
    if wished == _NOBODY:
        return None
    return ACK if wished == packed(offer.address) else NAK


def _way(offer: Offer4, request: Request4, kind: int, everyone: Way) -> Way:
    """RFC 2131 section 4.1: a client that cannot take unicast yet says so by the broadcast flag."""
    if kind == NAK or (request.flags & _BROADCAST and request.ciaddr == _NOBODY):
        return everyone._replace(destination_mac=b"\xff" * 6)
    own = request.ciaddr if request.ciaddr != _NOBODY else packed(offer.address)
    return everyone._replace(destination=own)


def _message(config: GuestConfig, offer: Offer4, request: Request4, kind: int) -> bytes:
    known, _ = options4(config)
    options = {_TYPE: bytes([kind]), _SERVER: packed(offer.server)}
    given = siaddr = _NOBODY
    bootfile = b""
    if dhcp_options.CLIENT_ID in request.options:
        # RFC 6842: a client behind a bridge tells its answers from its neighbour's by this
        options[dhcp_options.CLIENT_ID] = request.options[dhcp_options.CLIENT_ID]
    if kind != NAK:
        siaddr, bootfile = known.pop(dhcp_options.SERVER_IP_ADDRESS, siaddr), known.get(_BOOTFILE, b"")
        given = _NOBODY if request.kind == INFORM else packed(offer.address)
        options |= _asked(known, request)
    used = request.ciaddr if kind == ACK else _NOBODY
    addresses = (used, given, siaddr, _NOBODY)
    header = _HEADER.pack(
        2, 1, 6, 0, request.xid, 0, request.flags, *addresses, request.chaddr, b"", bootfile[:127], _COOKIE
    )
    room = _room(config, request) - _HEADER.size
    return (header + _written(options, room)).ljust(_SMALLEST_REPLY, b"\0")


def _asked(known: dict[int, bytes], request: Request4) -> dict[int, bytes]:
    """Choose what this client is to get: no lease without an address, Microsoft's routes on demand only."""
    withheld = {_LEASE, _T1, _T2} if request.kind == INFORM else set()
    if _MICROSOFT_ROUTES not in request.options.get(_ASKED, b""):
        withheld.add(_MICROSOFT_ROUTES)
    rapid = {_RAPID_COMMIT: b""} if request.kind == DISCOVER and _RAPID_COMMIT in request.options else {}
    return rapid | {code: raw for code, raw in known.items() if code not in withheld}


def _room(config: GuestConfig, request: Request4) -> int:
    """Bytes of UDP payload: what the client says it takes, at least 576 as all must; else what the link carries."""
    said = request.options.get(_MAXIMUM, b"")
    link = max(config.mtu, 576)
    return (min(max(int.from_bytes(said), 576), link) if len(said) == 2 else link) - 28


def _written(options: Mapping[int, bytes], room: int) -> bytes:
    """Options in order of importance, long ones split (RFC 3396); the last ones are left out where room ends."""
    raw = b""
    for code, value in options.items():
        parts = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
        one = b"".join(bytes([code, len(part)]) + part for part in parts)
        if len(raw) + len(one) < room:
            raw += one
    return raw + b"\xff"


def options4(config: GuestConfig) -> tuple[dict[int, bytes], tuple[InvalidInput, ...]]:
    """Return what a guest with an offer is told, most important first; and extra options that cannot be sent."""
    offer = config.offer4
    known: dict[int, bytes] = {} if offer is None else dict(_own_options(config, offer))
    wrong: list[InvalidInput] = []
    for option in config.options:
        if option.version != 4:
            continue
        try:
            code, raw = dhcp_options.encode_option(option)
        except InvalidInput as error:
            wrong.append(error)
            continue
        known[code] = raw
    return {code: raw for code, raw in known.items() if raw and code != dhcp_options.CLIENT_ID}, tuple(wrong)


def _own_options(config: GuestConfig, offer: Offer4) -> Iterator[tuple[int, bytes]]:
    network, length = split(offer.subnet)
    hosts = (1 << (32 - length)) - 1
    yield _LEASE, config.lease.to_bytes(4)
    yield _NETMASK, (0xFFFFFFFF ^ hosts).to_bytes(4)
    if offer.gateway is not None:
        yield _ROUTER, packed(offer.gateway)
    routes = dhcp_options.routes(_all_routes(offer))
    yield _ROUTES, routes
    yield _DNS, dhcp_options.addresses(offer.dns_servers)
    yield _MTU, config.mtu.to_bytes(2)
    yield _T1, (config.lease // 2).to_bytes(4)
    yield _T2, (config.lease * 7 // 8).to_bytes(4)
    yield _BROADCAST_ADDRESS, (int.from_bytes(packed(network)) | hosts).to_bytes(4)
    yield _HOSTNAME, config.hostname.encode()
    yield _DOMAIN, config.domain.encode()
    yield _MICROSOFT_ROUTES, routes


def _all_routes(offer: Offer4) -> Iterator[tuple[Prefix, Address]]:
    """Yield the routes of option 121, whose reader ignores option 3 (RFC 3442): so the default route is among them.

    A gateway outside the subnet is first made reachable on the link.
    """
    if not offer.routes:
        return
    if offer.gateway is not None and not contains(offer.subnet, offer.gateway):
        yield host_prefix(offer.gateway), _ON_LINK
    for route in offer.routes:
        yield route.prefix, route.via
    if offer.gateway is not None and all(route.prefix != _DEFAULT for route in offer.routes):
        yield _DEFAULT, offer.gateway
