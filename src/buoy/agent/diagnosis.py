# SPDX-License-Identifier: Apache-2.0
"""`buoy doctor`: what on a host stops Buoy from working, each finding with its remedy.

Reads only, and needs neither the store nor an agent.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from buoy.agent import bgp_port
from buoy.agent.dhcp import unanswered
from buoy.agent.inspect import ask
from buoy.dataplane import proxy_health
from buoy.dataplane.bird import BirdSpeaker
from buoy.dataplane.proxy_mirror import KubeProxy
from buoy.model import ownership
from buoy.model.address import family
from buoy.model.errors import DataplaneError, InvalidInput
from buoy.model.proxied import ProxyMode
from buoy.runtime.settings import ServiceProxy, Settings
from buoy.store.settings import IN_CLUSTER

_FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
_PATIENCE = 5.0
"""Seconds in which an agent says a word."""


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
        *_forwarding(settings),
        _reverse_path(),
        _bird(settings),
        *_uplinks(settings),
        _bgp_port(),
        *_forward_policy(),
        _networkd(settings),
        _agent(settings),
        _service_proxy(settings) if settings.store.kubeconfig else _dhcp(),
    ]


def _programs() -> Iterator[Finding]:
    for program, package in {"nft": "nftables", "bird": "bird2", "birdc": "bird2", "ip": "iproute2"}.items():
        at = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
        yield Finding(program, at or "missing", "" if at else f"apt-get install {package}")


def _forwarding(settings: Settings) -> Iterator[Finding]:
    families = _families(settings)
    for version, name in _FORWARDING.items():
        dotted = name.replace("/", ".")
        if version not in families:
            yield Finding(dotted, f"not needed: no IPv{version} on this node")
            continue
        value = _read(f"/proc/sys/{name}")
        remedy = f"sysctl -w {dotted}=1 (a running agent does by itself)"
        if _is_pod(settings):
            remedy = f"on the node, not in its pod: sysctl -w {dotted}=1"
        yield Finding(dotted, value, "" if value == "1" else remedy)


def _families(settings: Settings) -> tuple[int, ...]:
    """Return the IP versions that are forwarded here: guests have any, pods those that their node has."""
    has = {version for version, name in _FORWARDING.items() if Path("/proc/sys", name).exists()}
    if settings.store.kubeconfig:
        has &= {family(address) for address in settings.addresses}
    return tuple(sorted(has))


def _is_pod(settings: Settings) -> bool:
    return settings.store.kubeconfig == IN_CLUSTER


def _revive(settings: Settings, program: str, how: str = "start") -> str:
    """Return how a program of ours is made to run; kubelet starts it by itself, unless something stops it."""
    if not _is_pod(settings):
        return f"systemctl {how} buoy-{program}"
    node = f"--field-selector spec.nodeName={settings.node}"
    return f"kubectl logs -n buoy-system -c {program} POD; kubectl get pods -n buoy-system -o wide {node} names it"


def _is_root() -> bool:
    return os.geteuid() == 0


def _as_root(remedy: str) -> str:
    """Return what is to be done; who may not look at what is wrong must not be sent to mend it."""
    return remedy if _is_root() else "run as root: only root sees whose it is, and whether it runs"


def _reverse_path() -> Finding:
    strict = _read("/proc/sys/net/ipv4/conf/all/rp_filter")
    remedy = "sysctl -w net.ipv4.conf.all.rp_filter=0: it overrides our taps and drops allowed address pairs"
    return Finding("net.ipv4.conf.all.rp_filter", strict, remedy if strict != "0" else "")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        return f"unreadable ({error.strerror})"


def _bird(settings: Settings) -> Finding:
    try:
        sessions = BirdSpeaker(node=settings.node).sessions()
    except DataplaneError as error:
        return Finding("BIRD", str(error), _as_root(_revive(settings, "bird")))
    down = [session.trouble for session in sessions if not session.established]
    found = f"{len(sessions) - len(down)} of {len(sessions)} sessions established"
    if not sessions:
        return Finding("BIRD", "no BGP session is configured", "buoy peer add --help")
    remedy = f"birdc -s {ownership.BIRD_SOCKET} show protocols all; buoy peer list"
    return Finding("BIRD", "; ".join([found, *down]), remedy if down else "")


def _uplinks(settings: Settings) -> Iterator[Finding]:
    """Look at the interfaces towards the peers: IPv4 may be turned off by itself on one, and is not forwarded then."""
    try:
        peers = [session.address for session in BirdSpeaker(node=settings.node).sessions()]
    except DataplaneError:
        return
    if 4 not in _families(settings):
        return
    for name in sorted({name for peer in peers if (name := _way(peer))}):
        value = _read(f"/proc/sys/net/ipv4/conf/{name}/forwarding")
        yield Finding(_forwarding_of(name), value, "" if value == "1" else closed(name))


def closed(uplink: str) -> str:
    """Return what is to be done about an interface that does not forward what comes from the peers."""
    return f"sysctl -w {_forwarding_of(uplink)}=1: what comes from the peers is not forwarded"


def _forwarding_of(interface: str) -> str:
    return f"net.ipv4.conf.{interface.replace('.', '/')}.forwarding"


def _way(peer: str) -> str:
    """Return the interface by which packets to a peer leave, empty if none do."""
    shown = subprocess.run(["ip", "-o", "route", "get", peer], capture_output=True, text=True, check=False).stdout
    return shown.partition(" dev ")[2].partition(" ")[0]


def _bgp_port() -> Finding:
    check = f"TCP {bgp_port.PORT}"
    if not bgp_port.taken():
        return Finding(check, "free")
    ports = bgp_port.ours()
    if bgp_port.PORT in ports:
        return Finding(check, "our BIRD listens")
    if not _is_root():
        return Finding(check, "taken", _as_root(""))
    if ports:
        return Finding(check, f"another's; our BIRD listens on {', '.join(map(str, sorted(ports)))}")
    remedy = "stop the other speaker (bird, frr, calico-node, gobgp), or set another port: buoy bgp set --help"
    return Finding(check, "taken, and not by our BIRD", remedy)


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


def _networkd(settings: Settings) -> Finding:
    if _is_pod(settings):
        return Finding("systemd-networkd", "not seen from a pod; where it runs it needs ManageForeignRoutes=no")
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
    answer = asyncio.run(proxy_health.ask())
    if answer in {proxy_health.Answer.STALE, proxy_health.Answer.SILENT}:
        return Finding("kube-proxy", f"mode {mode}; it {answer}", "restart kube-proxy, and look into its log")
    return Finding("kube-proxy", f"mode {mode}", f"its rules cannot be read: {trouble}" if trouble else "")


def _agent(settings: Settings) -> Finding:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(ownership.AGENT_SOCKET)
        except OSError as error:
            return Finding("agent", f"does not listen ({error.strerror})", _as_root(_revive(settings, "agent")))
    try:
        asyncio.run(ask("sessions", patience=_PATIENCE))
    except InvalidInput as error:
        return Finding("agent", f"listens; {error.remedy}", _revive(settings, "agent", "restart"))
    return Finding("agent", "answers")
