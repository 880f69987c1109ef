# SPDX-License-Identifier: Apache-2.0
"""What a guest tries that means harm: frames as it likes, doors of the node, speaking before its port is known."""

import json
import struct
import sys

from tests.e2e import wire
from tests.e2e.puppet import token
from tests.e2e.stage import ACCESS, CONTROL, Stage

IP4, IP6, UDP = 0x0800, 0x86DD, 17
NODE = "192.168.8.3"


def gateway(stage: Stage, name: str) -> str:
    """Return the MAC of the node's end of a guest's link."""
    guest = stage.guests[name]
    return stage.cloud.on(guest["node"], "cat", f"/sys/class/net/{guest['interface']}/address").strip()


MARK = b"[[000000000000]]"
"""Where in a packet a mark is to stand."""


def leaves(stage: Stage, taker: str, packet: bytes, *, name: str = "mallory", source: str = "") -> bool:
    """Tell whether a packet with a mark in it, put on a guest's wire as it is, gets to somebody."""
    kind = IP6 if packet[0] >> 4 == 6 else IP4
    ends = gateway(stage, name), source or stage.guests[name]["mac"]
    return stage.frame_passes(name, taker, lambda mark: wire.frame(*ends, kind, _marked(packet, mark)))


MARK = b"[[000000000000]]"


def _marked(packet: bytes, mark: bytes) -> bytes:
    """Put the mark in its place; the sum of a datagram stays right, for conntrack looks at it."""
    changed, six = packet.replace(MARK, mark), packet[0] >> 4 == 6
    at = packet.find(MARK) - 8
    if packet[at + 4 : at + 6] != struct.pack("!H", 8 + len(MARK)) or not packet.endswith(MARK):
        return changed
    body = changed[at : at + 6] + b"\0\0" + changed[at + 8 :]
    ends = packet[8:40] if six else packet[12:20]
    total = wire.checksum(ends + struct.pack("!IHBB", len(body), 0, 0, UDP) + body) or 0xFFFF
    return changed[:at] + body[:6] + struct.pack("!H", total) + body[8:]


def hello(source: str, destination: str, port: int = CONTROL) -> bytes:
    """Return a datagram that carries a mark, on the port that rules let pass."""
    return wire.udp(source, destination, port, MARK)


ASK = """
import concurrent.futures, json, socket, sys
def ask(one):
    address, port = one
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        link.settimeout(1.5)
        where = (address, port, 0, socket.if_nametoindex("eth0")) if family == socket.AF_INET6 else (address, port)
        try:
            link.connect(where)
            return True
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
places = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(64) as many:
    print(json.dumps([place for place, answers in zip(places, many.map(ask, places)) if answers]))
"""


def answering(stage: Stage, name: str, places: tuple[tuple[str, int], ...]) -> list[tuple[str, int]]:
    """Return which places answer a guest at all, be it with a refusal; TAP is the link-local address of its tap."""
    cloud, guest = stage.cloud, stage.guests[name]
    shown = cloud.on(guest["node"], "ip", "-6", "-o", "address", "show", "dev", guest["interface"], "scope", "link")
    tap = shown.split()[3].partition("/")[0]
    cloud.on(name, "ip", "route", "replace", "127.0.0.0/8", "dev", "eth0", "table", "99")
    cloud.on(name, "sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
    cloud.on(name, "ip", "rule", "add", "to", "127.0.0.0/8", "table", "99", "priority", "0", check=False)
    cloud.on(name, "ip", "rule", "delete", "priority", "0", "table", "local", check=False)
    cloud.on(name, "ip", "rule", "add", "table", "local", "priority", "1", check=False)
    asked = [(address.replace("TAP", tap), port) for address, port in places]
    return [tuple(one) for one in json.loads(cloud.on(name, sys.executable, "-c", ASK, json.dumps(asked)))]


def passing_both_ways(stage: Stage, name: str) -> list[str]:
    """Return which ways a packet of a guest without policy gets; a neighbour's packets tell when to look."""
    there = stage.guests[name]["addresses"][0]
    marks = {"out": token(), "in": token(), "in from the node": token()}
    access, known = stage.puppet("access"), stage.puppet(name)
    known.seen(), access.seen()
    link = gateway(stage, name), stage.guests[name]["mac"]
    known.send_frame(wire.frame(*link, IP4, wire.udp(there, ACCESS, CONTROL, marks["out"])))
    stage.send("access", wire.udp(ACCESS, there, CONTROL, marks["in"]))
    stage.send("compute-1", wire.udp(NODE, there, CONTROL, marks["in from the node"]))
    # the same two ways, through the guest beside it
    assert stage.passes("victim", "access", lambda mark: wire.udp(stage.address("victim"), ACCESS, CONTROL, mark))
    assert stage.passes("access", "victim", lambda mark: wire.udp(ACCESS, stage.address("victim"), CONTROL, mark))
    # what the node cannot route comes back to the router, which proves nothing
    arrived = {"out": access.seen(), "in": known.seen(), "in from the node": known.seen()}
    return [way for way, mark in marks.items() if mark.decode() in arrived[way]]
