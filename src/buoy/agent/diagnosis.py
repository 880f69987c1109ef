# SPDX-License-Identifier: Apache-2.0
"""`buoy doctor`: what on a host stops Buoy from working, each finding with its remedy.

Reads only, and needs neither the store nor an agent.
"""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from buoy.agent.dhcp import unanswered
from buoy.dataplane.bird import BirdSpeaker
from buoy.dataplane.proxy_mirror import KubeProxy
from buoy.model import ownership
from buoy.model.errors import DataplaneError
from buoy.model.proxied import ProxyMode
from buoy.runtime.settings import ServiceProxy, Settings


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at; `remedy` is empty where nothing needs to be done."""

    check: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be done."""
        return not self.remedy


def diagnose(settings: Settings) -> list[Finding]:
    """Look at everything, in the order in which a person would."""
    return [
        *_programs(),
        *_sysctls(),
        _bird(settings),
        *_uplinks(settings),
        _bgp_port(),
        *_forward_policy(),
        _networkd(),
        _agent(),
        _service_proxy(settings) if settings.store.kubeconfig else _dhcp(),
    ]


def _programs() -> Iterator[Finding]:
    for program, package in {"nft": "nftables", "bird": "bird2", "birdc": "bird2", "ip": "iproute2"}.items():
        at = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
        yield Finding(program, at or "missing", "" if at else f"apt-get install {package}")


def _sysctls() -> Iterator[Finding]:
    for name, wanted in {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}.items():
        value = _read(f"/proc/sys/{name}")
        dotted = name.replace("/", ".")
        yield Finding(
            dotted, value, "" if value == wanted else f"sysctl -w {dotted}={wanted} (a running agent does by itself)"
        )
    strict = _read("/proc/sys/net/ipv4/conf/all/rp_filter")
    remedy = "sysctl -w net.ipv4.conf.all.rp_filter=0: it overrides our taps and drops allowed address pairs"
    yield Finding("net.ipv4.conf.all.rp_filter", strict, remedy if strict != "0" else "")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        return f"unreadable ({error.strerror})"


def _bird(settings: Settings) -> Finding:
    try:
        sessions = BirdSpeaker(node=settings.node).sessions()
    except DataplaneError as error:
        return Finding("BIRD", str(error), "systemctl start buoy-bird")
    down = [session.trouble for session in sessions if not session.established]
    found = f"{len(sessions) - len(down)} of {len(sessions)} sessions established"
    if not sessions:
        return Finding("BIRD", "no BGP session is configured", "buoy peer add --help")
    remedy = f"birdc -s {ownership.BIRD_SOCKET} show protocols all; buoy peer list"
    return Finding("BIRD", "; ".join([found, *down]), remedy if down else "")


def _uplinks(settings: Settings) -> Iterator[Finding]:
    """Look at the interfaces towards the peers: one may be turned off by itself, and forwards nothing then."""
    try:
        peers = [session.address for session in BirdSpeaker(node=settings.node).sessions()]
    except DataplaneError:
        return
    for name in sorted({name for peer in peers if (name := _way(peer))}):
        for family in ("ipv4", "ipv6"):
            value = _read(f"/proc/sys/net/{family}/conf/{name}/forwarding")
            dotted = f"net.{family}.conf.{name.replace('.', '/')}.forwarding"
            remedy = f"sysctl -w {dotted}=1: what comes from the peers is not forwarded"
            yield Finding(dotted, value, "" if value == "1" else remedy)


def _way(peer: str) -> str:
    """Return the interface by which packets to a peer leave, empty if none do."""
    shown = subprocess.run(["ip", "-o", "route", "get", peer], capture_output=True, text=True, check=False).stdout
    return shown.partition(" dev ")[2].partition(" ")[0]


def _bgp_port() -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        taken = probe.connect_ex(("127.0.0.1", 179)) == 0
    ours = Path(ownership.BIRD_SOCKET).exists()
    if taken and not ours:
        remedy = "stop the other speaker (bird, frr, calico-node, gobgp), or set another port: buoy bgp set --help"
        return Finding("TCP 179", "taken, and not by our BIRD", remedy)
    return Finding("TCP 179", "our BIRD listens" if taken else "free")


def _forward_policy() -> Iterator[Finding]:
    """Look for base chains of somebody else that drop what is forwarded: an accept of ours does not overrule them."""
    try:
        listing = subprocess.run(
            ["nft", "-n", "list", "chains"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("FORWARD policy", str(error), "run as root, with nftables installed")
        return
    table = ""
    droppers = []
    for line in listing.splitlines():
        if line.startswith("table "):
            table = line.removesuffix(" {")
        if (
            "hook forward" in line
            and "policy drop" in line
            and table != f"table {ownership.NFT_FAMILY} {ownership.NFT_TABLE}"
        ):
            droppers.append(table)
    remedy = (
        "let it accept tap* (Docker: iptables -I DOCKER-USER -i tap+ -j ACCEPT and -o tap+; firewalld: trusted zone)"
    )
    yield Finding("FORWARD policy", ", ".join(droppers) or "nobody drops", remedy if droppers else "")


def _networkd() -> Finding:
    if not Path("/run/systemd/netif").exists():
        return Finding("systemd-networkd", "not running")
    texts = [path.read_text() for path in Path("/etc/systemd").glob("networkd.conf*/**/*.conf")]
    texts += [path.read_text() for path in [Path("/etc/systemd/networkd.conf")] if path.exists()]
    kept = any("ManageForeignRoutes=no" in text.replace(" ", "") for text in texts)
    remedy = "ManageForeignRoutes=no in /etc/systemd/networkd.conf: it removes routes it did not make when it restarts"
    return Finding(
        "systemd-networkd", "leaves our routes alone" if kept else "may remove our routes", "" if kept else remedy
    )


def _dhcp() -> Finding:
    silence = unanswered()
    return Finding("DHCP", silence or "a responder answers", "systemctl start buoy-dhcp" if silence else "")


def _service_proxy(settings: Settings) -> Finding:
    if settings.service_proxy is ServiceProxy.UNCHECKED:
        return Finding("kube-proxy", "not looked at, as the settings say")
    try:
        with contextlib.closing(KubeProxy()) as proxy:
            mode, trouble = proxy.mode(), proxy.trouble
    except DataplaneError as error:
        return Finding("kube-proxy", str(error), "run as root")
    if mode is ProxyMode.NONE:
        remedy = "start kube-proxy in mode nftables or iptables: no Service is announced without it"
        return Finding("kube-proxy", trouble or "no rules of it were seen", remedy)
    return Finding("kube-proxy", f"mode {mode}", f"its rules cannot be read: {trouble}" if trouble else "")


def _agent() -> Finding:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(ownership.AGENT_SOCKET)
        except OSError as error:
            return Finding("agent", f"does not listen ({error.strerror})", "systemctl start buoy-agent")
    return Finding("agent", "listens")
