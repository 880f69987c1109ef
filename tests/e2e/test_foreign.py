# SPDX-License-Identifier: Apache-2.0
"""What others have on a node stays as it is: at the agent's start, while it works, and when it is taken off again.

A plain listener on UDP port 67 stands for another DHCP server, such as dnsmasq.
"""

import re
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.bare import Bare, bare_cloud, mac, service, tap
from tests.e2e.cloud import eventually
from tests.e2e.talking import running

NODE = "compute-1"
FOREIGN_TAP = "tapffffffff-ff"
PLANT = f"""
set -e
ip link add br0 type bridge
ip link set br0 up
ip address add 10.50.0.1/24 dev br0
ip link set {FOREIGN_TAP} master br0
ip link add dummy0 type veth peer name dummy1
ip link set dummy1 up
ip link set dummy0 up
ip route add {service(11)} dev dummy0 proto static metric 500
ip route add {service(11)} dev dummy0 proto 99 metric 700 table 2053
ip route add blackhole 10.65.0.11 proto 206 metric 17
ip route add unreachable 198.51.100.0/24 proto 99 table 2054
ip -6 route add fd00:65::11 dev dummy0 proto static metric 500
ip -6 route add fd00:99::/64 dev dummy0 proto 99 table 2053
ip route add 203.0.113.0/24 dev dummy0 proto bird metric 32
ip rule add fwmark 0x99 lookup 99
ip neigh add 10.65.0.11 lladdr 02:00:00:00:00:01 nud permanent dev dummy0
sysctl -qw net.ipv4.conf.dummy0.rp_filter=1 net.ipv4.conf.dummy0.proxy_arp=1 net.ipv4.conf.br0.route_localnet=1
sysctl -qw net.ipv4.conf.{FOREIGN_TAP}.route_localnet=1
nft -f - <<'RULES'
add table inet other
add chain inet other forward {{ type filter hook forward priority 0; policy accept; }}
add rule inet other forward counter accept
add table ip buoy
add map ip buoy fip4 {{ type ipv4_addr : ipv4_addr; }}
add element ip buoy fip4 {{ {service(11)} : 192.0.2.1 }}
add table arp filter
add chain arp filter input {{ type filter hook input priority 0; policy accept; }}
RULES
"""
OTHER_BIRD = "router id 192.0.2.1; protocol device {} protocol static { ipv4; route 192.0.2.0/24 blackhole; }"
LISTENER = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br0")
    listener.bind(("0.0.0.0", 67))
    print("listening", flush=True)
    while True:
        print("heard", listener.recv(1000)[:8].decode(errors="replace"), flush=True)
"""
HEAR = f"python3 -c '{LISTENER}' & cat > /dev/null; kill $!"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Bare]:
    """A node as it is before Buoy comes: no agent, and nothing of ours."""
    with bare_cloud("foreign") as made:
        made.lab.service("stop", NODE, "agent")
        made.buoy("agent", "cleanup", "--yes", node=NODE)
        settings = made.on(NODE, "cat", "/etc/buoy/agent.toml")
        made.lab.exec(
            NODE, "sh", "-c", "cat > /etc/buoy/agent.toml", text=f'foreign_interfaces = ["{FOREIGN_TAP}"]\n{settings}'
        )
        yield made


def _iptables(cloud: Bare) -> str:
    """Return the iptables there is; without one nft makes what iptables-nft would have made."""
    return cloud.on(NODE, "sh", "-c", "command -v iptables-nft || command -v iptables", check=False).strip()


def _seen(cloud: Bare, *, ours: bool) -> dict[str, list[str]]:
    """Return everything on the node, with what is `ours` or without."""
    looks = {
        "routes": "ip -o route show table all; ip -o -6 route show table all",
        "rules": "ip rule; ip -6 rule",
        "neighbours": "ip neigh show nud permanent",
        "nft": "for t in 'inet other' 'ip buoy' 'arp filter' 'ip filter'; do nft list table $t; done",
        "tables": "nft list tables",
        "links": "ip -o link",
        "sysctls": "sysctl -a 2>/dev/null | grep -E '^net.ipv[46].(conf|neigh|ip_forward|fib)'",
    }
    mark = re.compile(rf"proto 205|inet buoy|arp buoy|fwmark 0x205|{tap(11)}|lookup 2054|default dev lo table 2054")
    # forwarding an agent may turn on, and what the kernel makes of links by itself comes when it comes
    turned = re.compile(r"^net\.ipv[46]\.(ip_forward|conf\..*\.forwarding)|counter packets|proto kernel")
    found = {
        name: cloud.on(NODE, "sh", "-c", f"{look} 2>/dev/null || true").splitlines() for name, look in looks.items()
    }
    dropped = [turned] if ours else [turned, mark]
    return {
        name: [line for line in lines if not any(one.search(line) for one in dropped)] for name, lines in found.items()
    }


def test_what_others_have_stays_untouched_from_the_first_start_to_the_last_trace(cloud: Bare) -> None:
    cloud.lab.plug(name="g50", node=NODE, interface=FOREIGN_TAP, mac=mac(50))
    cloud.lab.start_guest("g50")
    cloud.on("g50", "ip", "address", "add", "10.50.0.50/24", "dev", "eth0")
    cloud.lab.exec(NODE, "sh", "-s", text=PLANT)
    iptables = _iptables(cloud)
    if iptables:
        cloud.on(NODE, iptables, "-A", "FORWARD", "-s", "203.0.113.7", "-j", "DROP")
    else:
        cloud.on(
            NODE, "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; }"
        )
    cloud.lab.exec(
        NODE, "sh", "-c", "cat > /run/other.conf; bird -c /run/other.conf -s /run/other.ctl", text=OTHER_BIRD
    )
    with running(cloud, NODE, "sh", "-c", HEAR) as heard:
        eventually(lambda: "listening" in heard)
        before, whole = _seen(cloud, ours=False), _seen(cloud, ours=True)
        cloud.restart(NODE, "agent")
        cloud.guest(11)
        assert [] == _differing(before, _seen(cloud, ours=False))
        _others_work(cloud, heard)
        cloud.on(NODE, "nft", "delete", "table", "inet", "buoy")
        eventually(lambda: cloud.reaches(service(11)) and [] == cloud.audit(NODE))
        assert [] == _differing(before, _seen(cloud, ours=False))
        cloud.lab.service("stop", NODE, "agent")
        cloud.buoy("agent", "cleanup", "--yes", node=NODE)
        cloud.lab.unplug("g11")
        assert [] == _differing(whole, _seen(cloud, ours=True))
        _others_work(cloud, heard)
    assert "static1" in cloud.on(NODE, "birdc", "-s", "/run/other.ctl", "show", "protocols")
    cloud.on(NODE, "birdc", "-s", "/run/other.ctl", "down")


def _differing(before: dict[str, list[str]], now: dict[str, list[str]]) -> list[str]:
    """Return every line that came or went."""
    lost = [f"lost: {line}" for name in before for line in before[name] if line not in now[name]]
    return lost + [f"came: {line}" for name in before for line in now[name] if line not in before[name]]


def _others_work(cloud: Bare, heard: list[str]) -> None:
    """The other driver's guest reaches its bridge and its DHCP server, and the other BIRD answers."""
    before = len(heard)
    assert cloud.reaches("10.50.0.1", "g50")
    send = 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b"discover", ("10.50.0.1", 67))'
    cloud.on("g50", sys.executable, "-c", send)
    eventually(lambda: "heard discover" in heard[before:])
    assert "static1    Static     master4    up" in cloud.on(NODE, "birdc", "-s", "/run/other.ctl", "show", "protocols")


def test_after_cleanup_no_file_of_ours_is_left_but_the_operators(cloud: Bare) -> None:
    found = cloud.on(
        NODE, "sh", "-c", "find /etc/buoy /var/lib/buoy /run/buoy -type f -o -type s 2>/dev/null || true"
    ).split()
    # BIRD and the responder are services of their own, which go with their packages
    assert {"/etc/buoy/agent.toml"} == set(found) - {"/run/buoy/bird.ctl"}
    assert [] == [line for line in cloud.on("access", "ip", "route").splitlines() if "via 192.168.8.3" in line]


def test_a_guest_that_starts_before_the_agent_passes_nothing_until_the_agent_knows_it(cloud: Bare) -> None:
    cloud.buoy("agent", "skeleton", node=NODE)
    cloud.guest(12, served=False)
    cloud.on(NODE, "ip", "address", "add", "10.65.0.254/32", "dev", tap(12))
    cloud.on(NODE, "ip", "route", "add", "10.65.0.12", "dev", tap(12))
    looks = (("g12", "10.65.0.254"), ("g12", "192.168.8.1"), (NODE, "10.65.0.12"))
    assert [False] * 3 == [cloud.reaches(address, machine) for machine, address in looks]
    cloud.on(NODE, "ip", "route", "del", "10.65.0.12", "dev", tap(12))
    cloud.on(NODE, "ip", "address", "del", "10.65.0.254/32", "dev", tap(12))
    cloud.restart(NODE, "agent")
    cloud.serve(12)
    assert (True, True) == (cloud.reaches("10.65.0.12"), cloud.reaches("192.168.8.1", "g12"))
