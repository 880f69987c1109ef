# SPDX-License-Identifier: Apache-2.0
"""What the first packet of a flow costs on its way through NAT, by the number of floating IPs on the node.

Client, router and server are namespaces joined by veth, one trio for each layout, so that
nothing is loaded between samples. A raw socket sends prepared UDP datagrams, every one a
new flow, a thousand to a system call; veth forwards inside the sender's own system call, so
the time of the call is the time of the whole way: sending, forwarding, NAT, delivery. What
arrives is counted at the server, behind NAT, and dropped there. Rounds visit the layouts in
random order; conntrack is emptied before each sample.

Each of Buoy's layouts is tried with traffic to ten addresses and to all: many destinations cost
caches also where nothing is translated, and are no cost of having many floating IPs.

The tables are Buoy's own (`render/nft.py`, loaded by its driver), and for comparison one
DNAT and one SNAT rule per floating IP loaded by iptables-nft-restore.
"""

import ctypes
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from bench import crowd
from bench.apart import apart
from bench.plot import Plot, Point
from bench.report import Options, Report, spread
from buoy.dataplane.nft import Nft
from buoy.model.nodestate import Change, Dnat, Egress, Entry, Key, Phase, Step, Table

SIZES = (10, 1_000, 10_000, 50_000)
FEW, MANY = 10, 10_000
_FLOWS, _BURST = 20_000, 1_000
_UNUSED = 600_000
"""A floating IP nobody sends to."""
T = TypeVar("T")
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Layout(NamedTuple):
    """One way to translate: `kind` is none, buoy, bare or iptables, `size` the number of floating IPs.

    `none` is Buoy's tables without a floating IP, `bare` iptables with one that nobody sends to.
    Packets go to `used` different destinations: many of them cost caches, with NAT and without.
    """

    kind: str
    size: int
    used: int

    @property
    def name(self) -> str:
        """Its name in results."""
        return f"{self.kind}-{self.size}-{self.used}"


_TITLE = "Cost of the first packet of a flow (µs, median and quartiles); ratios to the same traffic without NAT"
_HEAD = (
    "floating IPs",
    "Buoy, 10 used",
    "ratio",
    "to 10",
    "Buoy, all used",
    "ratio",
    "a rule each",
    "ratio",
    "to Buoy",
)


def bench(options: Options) -> None:
    """Measure every layout and write the table."""
    if shutil.which("iptables-nft-restore") is None:
        sys.exit("bench nat_flow: iptables-nft-restore is missing: apt-get install iptables")
    rounds = options.times(41, 3)
    sizes = SIZES[:3] if options.quick else SIZES
    found = apart("bench.nat_flow", str(rounds), *map(str, sizes))
    each = {name: spread(sample) for name, sample in found.items()}
    few, many, bare = each[f"none-0-{FEW}"], each[f"none-0-{MANY}"], each[f"bare-0-{MANY}"]
    report = Report(
        "nat_flow", _TITLE, f"{rounds} interleaved rounds of {_FLOWS:,} flows, to 10 addresses or to all", _HEAD
    )
    report.row("no NAT", few, "1", "", many, "1", bare, "1", f"{bare.median / many.median:.2f}")
    for size in sizes:
        ten, buoy, rules = each[f"buoy-{size}-{FEW}"], each[f"buoy-{size}-{size}"], each[f"iptables-{size}-{size}"]
        plain = many if size >= MANY else few
        same = f"{ten.median / few.median:.2f}", f"{ten.median / each[f'buoy-{sizes[0]}-{FEW}'].median:.2f}"
        other = f"{rules.median / bare.median:.2f}", f"{rules.median / buoy.median:.2f}"
        report.row(f"{size:,}", ten, *same, buoy, f"{buoy.median / plain.median:.2f}", rules, *other)
    report.data = found
    series = {
        "a rule each": [Point(size, *each[f"iptables-{size}-{size}"][:3]) for size in sizes],
        "Buoy, all used": [Point(size, *each[f"buoy-{size}-{size}"][:3]) for size in sizes],
        "Buoy, 10 used": [Point(size, *each[f"buoy-{size}-{FEW}"][:3]) for size in sizes],
        "no NAT": [Point(size, *few[:3]) for size in sizes],
    }
    title = "First packet of a flow through NAT"
    report.plots.append(Plot("nat-flow", title, "floating IPs on the node", "µs per new flow", series))
    report.save(options)


class Trio:
    """Client, router and server of one layout; `packets` are the prepared flows."""

    def __init__(self, layout: Layout, number: int) -> None:
        self.layout = layout
        self.client, self.router, self.server = (f"{side}{number}" for side in ("c", "r", "s"))
        for name in (self.client, self.router, self.server):
            _run("ip", "netns", "add", name)
        self._wire()
        inside(self.router, self._load)
        self.socket = inside(self.client, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
        self.bursts = _bursts(layout)

    def _wire(self) -> None:
        lines = {
            self.router: f"link add c type veth peer name e netns {self.client}\n"
            f"link add s type veth peer name e netns {self.server}\n"
            "addr add 192.0.2.1/24 dev c\naddr add 198.51.100.1/24 dev s\n"
            "link set c up\nlink set s up\nlink set lo up\n",
            self.client: "addr add 192.0.2.2/24 dev e\nlink set e up\nroute add default via 192.0.2.1\n",
            self.server: "addr add 198.51.100.2/24 dev e\nlink set e up\n",
        }
        for name, text in lines.items():
            _run("ip", "-n", name, "-batch", "-", text=text)
        peer = "10.0.0.0/8 via 198.51.100.2 dev s"
        _run("ip", "-n", self.router, "route", "add", *peer.split())
        sysctls = ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.netfilter.nf_conntrack_max=1000000")
        for setting in sysctls:
            # the last belongs to the first namespace alone on some kernels; the others' limit is then that one's
            subprocess.run(
                ["ip", "netns", "exec", self.router, "sysctl", "-qw", setting], stderr=subprocess.DEVNULL, check=False
            )
        rule = "type filter hook ingress device e priority 0; ip daddr 10.0.0.0/8 counter drop;"
        count = f"table netdev n {{ chain in {{ {rule} }}; }}"
        _run("ip", "netns", "exec", self.server, "nft", "-f", "-", text=count)

    def _load(self) -> None:
        if self.layout.kind in ("bare", "iptables"):
            _run("iptables-nft-restore", text=_rules(self.layout.size))
            return
        nft = Nft()
        wanted: dict[Key, Entry] = {}
        for number in range(self.layout.size):
            wanted[Key(Table.DNAT, (crowd.service(number),))] = Dnat(crowd.fixed(number))
            wanted[Key(Table.EGRESS, (crowd.fixed(number),))] = Egress(crowd.service(number))
        refused = nft.apply([Step(Phase.BUILD, Change(key, None, entry)) for key, entry in wanted.items()])
        assert not refused, refused[:1]
        nft.close()

    def sample(self) -> float:
        """Send every flow once; return µs for each."""
        _run("ip", "netns", "exec", self.router, "conntrack", "-F")
        before = self._arrived()
        descriptor = self.socket.fileno()
        began = time.perf_counter()
        for messages in self.bursts:
            _LIBC.sendmmsg(descriptor, messages, _BURST, 0)
        took = time.perf_counter() - began
        arrived = self._arrived() - before
        # a backlog that was too short or an untranslated packet is no flow
        assert arrived >= 0.999 * _FLOWS, f"{self.layout.name}: {arrived} of {_FLOWS} arrived"
        return took / _FLOWS * 1e6

    def _arrived(self) -> int:
        words = _run("ip", "netns", "exec", self.server, "nft", "list", "table", "netdev", "n").split()
        return int(words[words.index("packets") + 1])


def _rules(size: int) -> str:
    lines = [
        "*nat",
        ":fip-dnat - [0:0]",
        ":fip-snat - [0:0]",
        "-A PREROUTING -j fip-dnat",
        "-A POSTROUTING -j fip-snat",
    ]
    # without any rule that translates the kernel would not even track connections
    for number in range(size) or (_UNUSED,):
        service, fixed = crowd.service(number), crowd.fixed(number)
        lines.append(f"-A fip-dnat -d {service}/32 -j DNAT --to-destination {fixed}")
        lines.append(f"-A fip-snat -s {fixed}/32 -d {fixed}/32 -j SNAT --to-source {service}")
    return "\n".join([*lines, "COMMIT", ""])


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("vector", ctypes.POINTER(_Vector)),
        ("vectors", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )  # fmt: skip


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("sent", ctypes.c_uint32))


def _bursts(layout: Layout) -> Sequence[object]:
    """Return the flows as arrays of `struct mmsghdr`, to random addresses: half of the rules are walked on average."""
    chosen = random.Random(7)
    bursts = []
    for burst in range(_FLOWS // _BURST):
        messages = (_Message * _BURST)()
        for index in range(_BURST):
            number = chosen.randrange(layout.used)
            address = crowd.service(number) if layout.size else crowd.fixed(number)
            raw, name = _datagram(burst * _BURST + index, socket.inet_aton(address))
            vector = _Vector(ctypes.cast(raw, ctypes.c_void_p), len(raw) - 1)
            messages[index].header = _Header(ctypes.cast(name, ctypes.c_void_p), 16, ctypes.pointer(vector), 1)
            _KEPT.append((raw, name, vector))
        bursts.append(messages)
    return bursts


_KEPT: list[object] = []
"""What the pointers in messages point at."""


def _datagram(flow: int, destination: bytes) -> tuple["ctypes.Array[ctypes.c_char]", "ctypes.Array[ctypes.c_char]"]:
    """Return an IPv4 packet of a flow of its own, and the socket address it is sent to."""
    udp = struct.pack("!HHHH", 1024 + flow % 60_000, 53, 8 + 18, 0) + bytes(18)
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton("192.0.2.2"), destination
    )
    name = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", 0, destination)
    return ctypes.create_string_buffer(ip + udp), ctypes.create_string_buffer(name)


def inside(name: str, function: Callable[[], T]) -> T:
    """Call a function in a namespace and come back."""
    with Path("/proc/self/ns/net").open() as here, Path(f"/run/netns/{name}").open() as there:
        _LIBC.setns(there.fileno(), _CLONE_NEWNET)
        try:
            return function()
        finally:
            _LIBC.setns(here.fileno(), _CLONE_NEWNET)


def _run(*words: str, text: str = "") -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def measure(rounds: int, sizes: Sequence[int]) -> dict[str, list[float]]:
    """Return µs per flow of every round, by layout."""
    layouts = [Layout(kind, 0, used) for kind in ("none", "bare") for used in (FEW, MANY)]
    layouts += [Layout("iptables", size, size) for size in sizes]
    layouts += sorted({Layout("buoy", size, used) for size in sizes for used in (FEW, size)})
    trios = [Trio(layout, number) for number, layout in enumerate(layouts)]
    # one processor and nobody before us: what interrupts is in the sample
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    found: dict[str, list[float]] = {layout.name: [] for layout in layouts}
    order = random.Random(11)
    for _ in range(rounds + 1):
        order.shuffle(trios)
        for trio in trios:
            found[trio.layout.name].append(trio.sample())
    # the first round warms caches
    return {name: sample[1:] for name, sample in found.items()}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), [int(word) for word in sys.argv[2:]])))
