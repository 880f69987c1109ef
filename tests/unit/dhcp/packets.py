# SPDX-License-Identifier: Apache-2.0
"""Guests' requests, and answers read back, by dpkt: a second opinion on every byte we write."""

import struct

import dpkt
import msgspec

from buoy.model.address import Address, Mac, Prefix, packed, unpacked
from buoy.model.guest import GuestConfig, Offer4, Offer6
from buoy.model.network import HostRoute, Ipv6Mode
from buoy.render.dhcp_ra import Station

GUEST = Mac("fa:16:3e:00:00:01")
GUEST_RAW = bytes.fromhex("fa163e000001")
GUEST_LINK_LOCAL = packed(Address("fe80::f816:3eff:fe00:1"))
TAP_RAW = bytes.fromhex("fe163e000001")
STATION = Station(TAP_RAW, packed(Address("fe80::fc16:3eff:fe00:1")))
ADDRESS, GATEWAY, NAME_SERVER = Address("192.0.2.7"), Address("192.0.2.1"), Address("192.0.2.53")
METADATA_ROUTE = HostRoute(prefix=Prefix("169.254.169.254/32"), via=GATEWAY)
OFFER4 = Offer4(
    address=ADDRESS,
    subnet=Prefix("192.0.2.0/24"),
    server=GATEWAY,
    gateway=GATEWAY,
    dns_servers=(NAME_SERVER,),
    routes=(METADATA_ROUTE,),
)
SLAAC = Offer6(subnet=Prefix("2001:db8:1::/64"), mode=Ipv6Mode.SLAAC)
STATEFUL = Offer6(
    subnet=Prefix("2001:db8:2::/64"),
    mode=Ipv6Mode.STATEFUL,
    addresses=(Address("2001:db8:2::7"),),
    dns_servers=(Address("2001:db8::53"),),
)
STATELESS = Offer6(subnet=Prefix("2001:db8:3::/64"), mode=Ipv6Mode.STATELESS, dns_servers=(Address("2001:db8::53"),))
CONFIG = GuestConfig(
    interface="tap1",
    mac=GUEST,
    hostname="web1",
    domain="example.org",
    mtu=1450,
    offer4=OFFER4,
    offers6=(SLAAC, STATEFUL),
)
CLIENT_ID6 = bytes.fromhex("00030001fa163e000001")


def request4(kind: int, options: dict[int, bytes] | None = None, **header: object) -> bytes:
    """Return a whole frame as a DHCPv4 client broadcasts it; `header` are dpkt's names of BOOTP fields."""
    source = header.pop("source_mac", GUEST_RAW)
    opts = [(53, bytes([kind])), *(options or {}).items()]
    bootp = dpkt.dhcp.DHCP(op=1, xid=0x12345678, chaddr=GUEST_RAW, opts=opts)
    for name, value in header.items():
        setattr(bootp, name, value)
    udp = dpkt.udp.UDP(sport=68, dport=67, data=bytes(bootp))
    udp.ulen = len(udp)
    ip = dpkt.ip.IP(src=bytes(4), dst=b"\xff" * 4, p=17, data=udp)
    ip.len = len(ip)
    return bytes(dpkt.ethernet.Ethernet(dst=b"\xff" * 6, src=source, type=0x0800, data=ip))


class Reply4:
    """A DHCPv4 answer, every layer checked on the way."""

    def __init__(self, frame: bytes | None) -> None:
        assert frame is not None
        self.ethernet = dpkt.ethernet.Ethernet(frame)
        self.ip = self.ethernet.data
        assert dpkt.in_cksum(self.ip.pack_hdr()) == 0
        assert self.ip.len == len(frame) - 14
        self.udp = self.ip.data
        assert self.udp.ulen == self.ip.len - 20
        pseudo = struct.pack("!4s4sBBH", self.ip.src, self.ip.dst, 0, 17, self.udp.ulen)
        assert dpkt.in_cksum(pseudo + bytes(self.udp)) == 0
        self.bootp = dpkt.dhcp.DHCP(bytes(self.udp.data))
        self.options: dict[int, bytes] = {}
        for code, raw in self.bootp.opts:
            self.options[code] = self.options.get(code, b"") + raw

    @property
    def kind(self) -> int:
        return self.options[53][0]

    @property
    def given(self) -> Address:
        return unpacked(self.bootp.yiaddr.to_bytes(4))


def frame6(protocol: int, payload: bytes, hops: int = 1, source: bytes = GUEST_LINK_LOCAL) -> bytes:
    """Return a guest's IPv6 frame to all routers or servers."""
    header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops)
    packet = header + source + packed(Address("ff02::1:2")) + payload
    return bytes.fromhex("333300010002") + GUEST_RAW + b"\x86\xdd" + packet


def request6(kind: int, *options: tuple[int, bytes], client: bytes | None = CLIENT_ID6) -> bytes:
    """Return a whole frame as a DHCPv6 client sends it."""
    raw = bytes([kind]) + b"\x01\x02\x03"
    for code, value in (() if client is None else ((1, client),)) + options:
        raw += struct.pack("!HH", code, len(value)) + value
    return frame6(17, struct.pack("!HHHH", 546, 547, 8 + len(raw), 0) + raw)


def ia_na(iaid: int, *addresses: str) -> tuple[int, bytes]:
    """Return an IA_NA as a client asks for it, holding these addresses."""
    held = b"".join(struct.pack("!HH16sII", 5, 24, packed(Address(address)), 1, 2) for address in addresses)
    return 3, struct.pack("!III", iaid, 0, 0) + held


def solicitation(source: bytes = GUEST_LINK_LOCAL, hops: int = 255, options: bytes = b"\x01\x01" + GUEST_RAW) -> bytes:
    """Return a router solicitation."""
    return frame6(58, b"\x85\x00\x00\x00" + bytes(4) + options, hops, source)


def options6(raw: bytes) -> list[tuple[int, bytes]]:
    """Return DHCPv6 options in their order; every byte belongs to one."""
    found = []
    while raw:
        code, length = struct.unpack_from("!HH", raw)
        assert len(raw) >= 4 + length
        found.append((code, raw[4 : 4 + length]))
        raw = raw[4 + length :]
    return found


class Packet6:
    """An IPv6 answer, length and checksum checked on the way."""

    def __init__(self, frame: bytes | None) -> None:
        assert frame is not None
        self.ethernet = dpkt.ethernet.Ethernet(frame)
        self.ip = self.ethernet.data
        assert self.ip.plen == len(frame) - 54
        pseudo = self.ip.src + self.ip.dst + struct.pack("!II", self.ip.plen, self.ip.nxt)
        assert dpkt.in_cksum(pseudo + frame[54:]) == 0
        self.payload = frame[54:]

    @property
    def message(self) -> bytes:
        """The DHCPv6 message."""
        assert struct.unpack_from("!HHH", self.payload) == (547, 546, self.ip.plen)
        return self.payload[8:]

    @property
    def options(self) -> list[tuple[int, bytes]]:
        """The options of the DHCPv6 message."""
        return options6(self.message[4:])

    def option(self, code: int) -> bytes | None:
        """The first option with this code."""
        return next((raw for found, raw in self.options if found == code), None)


def msgspec_json(config: GuestConfig) -> str:
    """Return a guest's document as its file has it."""
    return msgspec.json.encode(config).decode()
