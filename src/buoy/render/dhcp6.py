# SPDX-License-Identifier: Apache-2.0
"""DHCPv6 (RFC 8415): one guest's answer to one message.

Promises: pure; what is malformed, relayed, from another MAC address or meant for
another server gets None, never an exception.
Tricky: all addresses of the port go into the first IA_NA of a message; what the
guest holds besides comes back with a lifetime of zero, which takes it away at once.
"""

from collections.abc import Iterator
from typing import NamedTuple

from buoy.model.address import Address, packed
from buoy.model.errors import InvalidInput
from buoy.model.guest import GuestConfig
from buoy.model.network import Ipv6Mode
from buoy.render import dhcp_options
from buoy.render.dhcp_frame import UDP, Way, received, udp_frame

SERVER_PORT, CLIENT_PORT = 547, 546
SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE = range(1, 10)
INFORMATION_REQUEST = 11

SERVER_ID = bytes.fromhex("00030001") + b"\x02buoy\x01"
"""A DUID-LL of a locally administered address. The same on every node, for to the guest we are one server:
after a move its renewal names the server it knew."""

_CLIENT, _SERVER, _IA_NA, _IA_TA, _IAADDR, _PREFERENCE, _STATUS, _RAPID = 1, 2, 3, 4, 5, 7, 13, 14
_DNS, _DOMAINS, _IA_PD, _REFRESH = 23, 24, 25, 32
_SUCCESS, _NO_ADDRESSES, _NOT_ON_LINK, _NO_PREFIXES = 0, 2, 4, 6
_NAMES_OUR_SERVER = {REQUEST, RENEW, RELEASE, DECLINE}
_NAMES_NO_SERVER = {SOLICIT, CONFIRM, REBIND}
_LINK_LOCAL = b"\xfe\x80"


class Message6(NamedTuple):
    """One message: `options` in the order they came."""

    kind: int
    transaction: bytes
    options: tuple[tuple[int, bytes], ...]

    def first(self, code: int) -> bytes | None:
        """Return the first option with this code."""
        return next((raw for found, raw in self.options if found == code), None)


def answer6(config: GuestConfig, mac: bytes, link_local: bytes, frame: bytes) -> bytes | None:
    """Return the frame to send from the interface with these MAC and link-local addresses; None for silence."""
    guest = bytes.fromhex(config.mac.replace(":", ""))
    packet = received(frame)
    if not config.offers6 or packet is None or packet.mac != guest:
        return None
    if (packet.protocol, packet.kind, packet.source[:2]) != (UDP, SERVER_PORT, _LINK_LOCAL):
        return None
    message = parse6(packet.payload)
    if message is None or not _is_for_us(message):
        return None
    body = _body(config, message)
    if body is None:
        return None
    rapid = message.kind == SOLICIT and message.first(_RAPID) is not None
    kind = ADVERTISE if message.kind == SOLICIT and not rapid else REPLY
    reply = bytes([kind]) + message.transaction + _identities(message, rapid=rapid) + body
    return udp_frame(Way(mac, guest, link_local, packet.source), (SERVER_PORT, CLIENT_PORT), reply)


def parse6(payload: bytes) -> Message6 | None:
    """Return the message in a UDP payload; None if an option reaches beyond it."""
    if len(payload) < 4:
        return None
    options = _options(payload[4:])
    return None if options is None else Message6(payload[0], payload[1:4], options)


def _options(raw: bytes) -> tuple[tuple[int, bytes], ...] | None:
    found = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at + 2 : at + 4])
        if at + 4 > len(raw) or end > len(raw):
            return None
        found.append((int.from_bytes(raw[at : at + 2]), raw[at + 4 : end]))
        at = end
    return tuple(found)


def _is_for_us(message: Message6) -> bool:
    """RFC 8415 section 16: who must name which identity."""
    server, client = message.first(_SERVER), message.first(_CLIENT)
    if message.kind in _NAMES_OUR_SERVER:
        return client is not None and server == SERVER_ID
    if message.kind in _NAMES_NO_SERVER:
        return client is not None and server is None
    asks_for_addresses = any(code in (_IA_NA, _IA_TA, _IA_PD) for code, _ in message.options)
    return message.kind == INFORMATION_REQUEST and server in (None, SERVER_ID) and not asks_for_addresses


def _identities(message: Message6, *, rapid: bool) -> bytes:
    client = message.first(_CLIENT)
    raw = _option(_SERVER, SERVER_ID) + (b"" if client is None else _option(_CLIENT, client))
    if rapid:
        return raw + _option(_RAPID, b"")
    # the highest preference: nobody else will answer, so the client need not wait a second for them
    return raw + (_option(_PREFERENCE, b"\xff") if message.kind == SOLICIT else b"")


def _body(config: GuestConfig, message: Message6) -> bytes | None:
    match message.kind:
        case 11:
            return _option(_REFRESH, config.lease.to_bytes(4)) + _settings(config)
        case 4:
            return _confirmed(config, message)
        case 8 | 9:
            # nothing was lent, so nothing is given back; the client repeats itself until somebody says so
            return _status(_SUCCESS)
        case _:
            associations = _associations(config, message)
            return None if associations is None else associations + _settings(config)


def _confirmed(config: GuestConfig, message: Message6) -> bytes | None:
    """Are the guest's addresses still right here? Without any address there is nothing to confirm."""
    held: set[bytes] = set()
    for code, raw in message.options:
        if code == _IA_NA:
            addresses = _held(raw)
            if addresses is None:
                return None
            held |= set(addresses)
    if not held:
        return None
    return _status(_SUCCESS if held <= {packed(address) for address in _leased(config)} else _NOT_ON_LINK)


def _associations(config: GuestConfig, message: Message6) -> bytes | None:
    """Return an answer to every identity association asked for; None if one is malformed."""
    raw = b""
    left = _leased(config)
    for code, body in message.options:
        if code == _IA_NA:
            held = _held(body)
            if held is None:
                return None
            raw += _option(_IA_NA, _association(body[:4], left, held, config.lease))
            left = ()
        elif code == _IA_TA:
            raw += _option(_IA_TA, body[:4].ljust(4, b"\0") + _status(_NO_ADDRESSES))
        elif code == _IA_PD:
            raw += _option(_IA_PD, body[:4].ljust(4, b"\0") + bytes(8) + _status(_NO_PREFIXES))
    return raw


def _association(iaid: bytes, addresses: tuple[Address, ...], held: list[bytes], lease: int) -> bytes:
    own = [packed(address) for address in addresses]
    raw = b"".join(_option(_IAADDR, address + lease.to_bytes(4) * 2) for address in own)
    raw += b"".join(_option(_IAADDR, address + bytes(8)) for address in held if address not in own)
    if not own:
        raw += _status(_NO_ADDRESSES)
    return iaid + (lease // 2).to_bytes(4) + (lease * 4 // 5).to_bytes(4) + raw


def _held(body: bytes) -> list[bytes] | None:
    """Return the addresses a guest lists in an IA_NA; None if it is malformed."""
    options = _options(body[12:]) if len(body) >= 12 else None
    if options is None or any(code == _IAADDR and len(raw) < 24 for code, raw in options):
        return None
    return [raw[:16] for code, raw in options if code == _IAADDR]


def _leased(config: GuestConfig) -> tuple[Address, ...]:
    return tuple(address for offer in config.offers6 if offer.mode is Ipv6Mode.STATEFUL for address in offer.addresses)


def _settings(config: GuestConfig) -> bytes:
    return b"".join(_option(code, raw) for code, raw in options6(config)[0].items())


def options6(config: GuestConfig) -> tuple[dict[int, bytes], tuple[InvalidInput, ...]]:
    """Return what a guest is told besides addresses, by code; and extra options that cannot be sent."""
    known = dict(_own_options(config))
    wrong: list[InvalidInput] = []
    for option in config.options:
        if option.version != 6:
            continue
        try:
            code, raw = dhcp_options.encode_option(option)
        except InvalidInput as error:
            wrong.append(error)
            continue
        known[code] = raw
    return {code: raw for code, raw in known.items() if raw}, tuple(wrong)


def _own_options(config: GuestConfig) -> Iterator[tuple[int, bytes]]:
    servers = dict.fromkeys(server for offer in config.offers6 for server in offer.dns_servers)
    yield _DNS, dhcp_options.addresses(servers)
    if config.domain:
        yield _DOMAINS, dhcp_options.domain(config.domain)


def _option(code: int, raw: bytes) -> bytes:
    return code.to_bytes(2) + len(raw).to_bytes(2) + raw


def _status(code: int) -> bytes:
    return _option(_STATUS, code.to_bytes(2))
