# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes lab: a ToR with a client behind it, a controller with the control plane, and nodes.

Every daemon is the real one but kubelet and scheduler, for which `buoy.lab` has stand-ins. Addresses are those
of the OpenStack lab: the ToR is 192.168.8.1, the first node 192.168.8.3; the client is on a segment of its own.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from buoy.lab import (
    configuration,
    control_plane,
    kube_aggregation,
    kube_credential,
    kube_files,
    kube_pki,
    launch,
    place,
)
from buoy.lab.control_plane import API_PORT
from buoy.lab.kube_pki import Secrets
from buoy.lab.topology import Node, Probe, Service, Topology, Uplink, leave_out
from buoy.model.errors import InvalidInput

MOST_NODES = 200
TOR, CLIENT, CONTROLLER = "tor", "client", "controller"
CLIENT_ADDRESSES = ("198.51.100.10", "2001:db8:51::10")
PROXY_MODES = ("nftables", "iptables")
PROGRAMS = {"nftables": {"nft": "nftables"}, "iptables": {"iptables-restore": "iptables"}}
"""What kube-proxy runs, by its mode, and the Debian package each is in."""
MANIFESTS = Path(__file__).resolve().parents[3] / "packaging" / "kubernetes"
BUOY_PORT = 9706
# as Docker and systemd read such a file: a value is the rest of its line, quotes and all
_EXPORT = 'while read -r line; do case $line in [A-Z]*=*) export "$line";; esac; done < /etc/buoy/{name}.env'
_ENVIRONMENT = "# NAME=VALUE, a line each; then: buoy lab service stop {node} {service}; buoy lab service start …\n"
_OUTSIDE, _GATEWAYS = "outside", ("198.51.100.1", "2001:db8:51::1")
_ADMIN = "/etc/kubernetes/admin.kubeconfig"
_IDENTITY = "/run/buoy/controller"
_HOLD_SECONDS = 9
_BIRD = ("bird", "-f", "-c", "/etc/buoy/bird.conf", "-s", "/run/buoy/bird.ctl")
_BIRD_READY = Probe(file="/run/buoy/bird.ctl")
_API = f"{CONTROLLER}/apiserver"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a Kubernetes lab is to be like."""

    nodes: int = 2
    proxy: str = PROXY_MODES[0]
    min_sync_period: str = "1ms"
    """kube-proxy changes its rules at most once in this time; its own default is 1s."""
    bare: bool = False
    """A cluster without Buoy, for who installs it."""
    without: tuple[str, ...] = ()


class _Kit(msgspec.Struct, frozen=True):
    plan: Plan
    secrets: Secrets
    programs: Mapping[str, Path]

    def kubeconfig(self, account: str = kube_credential.FILE, server: str = "") -> str:
        """Return the file of a static account, or of the service account whose token is in a file."""
        server = server or f"https://{_address4(2)}:{API_PORT}"
        user = f"tokenFile: {account}" if account.startswith("/") else f"token: {self.secrets.tokens[account]}"
        return kube_files.kubeconfig(server, self.secrets.files["ca.crt"], user)


def topology(name: str, plan: Plan, programs: Mapping[str, Path]) -> Topology:
    """Return the lab of that name, with secrets of its own; `programs` as `kube_binaries.provide` gives them.

    Raises `InvalidInput` for an impossible number of nodes, a mode or a service to leave out that there is not,
    `LabError` if the host lacks a program.
    """
    if not 1 <= plan.nodes <= MOST_NODES:
        raise InvalidInput("--nodes", plan.nodes, f"give 1 to {MOST_NODES}")
    if plan.proxy not in PROXY_MODES:
        raise InvalidInput("--proxy", plan.proxy, f"give one of {', '.join(PROXY_MODES)}")
    launch.check_programs({"openssl": "openssl", **PROGRAMS[plan.proxy]})
    numbers = range(1, plan.nodes + 1)
    kit = _Kit(plan, kube_pki.make([f"node-{number}" for number in numbers], _server_names()), programs)
    nodes = (_tor(), _client(), _controller(kit), *(_node(kit, number) for number in numbers))
    return Topology(
        kind="kubernetes",
        name=name,
        nodes=leave_out(nodes, (*plan.without, *(_of_buoy(numbers) if plan.bare else ()))),
        switch_address="192.168.8.254/24",
        relays={"api": (_address4(2), API_PORT)},
        environment={"BUOY_LAB": name, "KUBECONFIG": str(place.directory(name) / "kubeconfig")},
        inside={"KUBECONFIG": _ADMIN},
        client_path=tuple(dict.fromkeys(str(program.parent) for program in programs.values())),
        client_files={"kubeconfig": kit.kubeconfig("admin", "https://{api}")},
    )


def _of_buoy(numbers: Iterable[int]) -> tuple[str, ...]:
    return ("seed", "agent", "buoy", "aggregation", *(f"node-{number}/bird" for number in numbers))


def node_addresses(number: int) -> tuple[str, str]:
    """Return the IPv4 and the IPv6 address of ``node-NUMBER``."""
    return _address4(number + 2), _address6(number + 2)


def _address4(number: int) -> str:
    return f"192.168.8.{number}"


def _address6(number: int) -> str:
    return f"fd00:8::{number:x}"


def _server_names() -> tuple[str, ...]:
    addresses = ("127.0.0.1", _address4(2), _address6(2), *kube_files.API_SERVICE)
    return (*(f"IP:{each}" for each in addresses), f"DNS:{CONTROLLER}", "DNS:localhost", "DNS:kubernetes.default.svc")


def _machine(name: str, number: int, files: dict[str, str], services: tuple[Service, ...]) -> Node:
    dropbear = ("dropbear", "-F", "-R", "-B", "-E", "-p", "22")
    ssh = Service(name="ssh", command=dropbear, ready=Probe(port=22), optional=True)
    # what a client behind the ToR sent must find its way back
    routes = [f"route add default via {_address4(1)}", f"route add default via {_address6(1)}"]
    return Node(
        name=name,
        address4=f"{_address4(number)}/24",
        address6=f"{_address6(number)}/64",
        files=files,
        services=(*services, ssh),
        network=tuple(routes) if name != TOR else (),
    )


def _tor() -> Node:
    bird = Service(name="bird", command=_BIRD, ready=_BIRD_READY)
    # Calico's BGPPeer knows no BFD: without it a dead node would be believed in for a minute and a half
    files = {"/etc/buoy/bird.conf": configuration.access_bird(_address4(1), hold_time=_HOLD_SECONDS)}
    made = _machine(TOR, 1, files, (bird,))
    gateway4, gateway6 = _GATEWAYS
    uplink = Uplink(segment=_OUTSIDE, address4=f"{gateway4}/24", address6=f"{gateway6}/64")
    return msgspec.structs.replace(made, uplinks=(uplink,))


def _client() -> Node:
    address4, address6 = CLIENT_ADDRESSES
    gateway4, gateway6 = _GATEWAYS
    return Node(
        name=CLIENT,
        address4=f"{address4}/24",
        address6=f"{address6}/64",
        segment=_OUTSIDE,
        network=(f"route add default via {gateway4}", f"route add default via {gateway6}"),
    )


def _controller(kit: _Kit) -> Node:
    files = {
        **kube_files.control_plane(kit.secrets),
        _ADMIN: kit.kubeconfig("admin"),
        control_plane.SCHEDULER_CONFIG: kit.kubeconfig("scheduler"),
        "/etc/kubernetes/kcm.kubeconfig": kit.kubeconfig("kcm"),
        "/etc/buoy/kubeconfig": kit.kubeconfig(),
        "/etc/buoy/controller.env": _ENVIRONMENT.format(node=CONTROLLER, service="buoy"),
        kube_aggregation.KUBECONFIG: kit.kubeconfig(kube_aggregation.CREDENTIAL),
    }
    command = ("{python}", "-m", "buoy.lab.kube_seed", _ADMIN, _address4(1), str(MANIFESTS))
    seed = Service(name="seed", command=command, after=(_API,), quick=True)
    plane = control_plane.services(CONTROLLER, _address4(2), kit.programs)
    run = f"controller run --kubeconfig /etc/buoy/kubeconfig --listen 0.0.0.0:{BUOY_PORT} --identity-file {_IDENTITY}"
    allocating = Service(
        name="buoy", command=_buoy("controller", run),
        after=(f"{CONTROLLER}/seed",), needs=(kube_credential.FILE,), ready=Probe(port=BUOY_PORT, http="/readyz"),
    )  # fmt: skip
    server = ("{python}", "-m", "buoy.lab.kube_aggregation", _ADMIN, _address4(2), str(MANIFESTS))
    aggregation = Service(
        name="aggregation", command=server, after=(f"{CONTROLLER}/seed",),
        ready=Probe(file=kube_aggregation.REGISTERED),
    )  # fmt: skip
    made = _machine(CONTROLLER, 2, files, (*plane, seed, allocating, aggregation))
    return msgspec.structs.replace(made, network=(*made.network, *_pod_routes(kit.plan.nodes)))


def _buoy(name: str, arguments: str) -> tuple[str, ...]:
    """Return a command of ours that is told the environment in ``/etc/buoy/NAME.env``."""
    export = _EXPORT.replace("{name}", name)
    return ("sh", "-c", f"{export}; exec {{python}} -m buoy.cli.main {arguments}")


def _node(kit: _Kit, number: int) -> Node:
    name, addresses = f"node-{number}", node_addresses(number)
    cidrs = kube_files.pod_cidrs(number)
    files = {
        "/etc/buoy/agent.toml": kube_files.agent(name, addresses),
        "/etc/buoy/agent.env": _ENVIRONMENT.format(node=name, service="agent"),
        "/etc/buoy/kubeconfig": kit.kubeconfig(),
        "/etc/kubernetes/kubelet.kubeconfig": kit.kubeconfig(name),
        "/etc/kubernetes/kube-proxy.kubeconfig": kit.kubeconfig("kube-proxy"),
        "/etc/kubernetes/kube-proxy.yaml": kube_files.kube_proxy(name, kit.plan.proxy, kit.plan.min_sync_period),
    }
    kubelet = ("{python}", "-m", "buoy.lab.kubelet", name, ",".join(addresses), ",".join(cidrs))
    proxy = (str(kit.programs["kube-proxy"]), "--config=/etc/kubernetes/kube-proxy.yaml")
    services = (
        Service(name="kubelet", command=kubelet, after=(_API,), ready=Probe(file="/run/kubelet/registered")),
        Service(name="kube-proxy", command=proxy, after=(_API,),
                ready=Probe(port=kube_files.PROXY_HEALTH_PORT, http="/healthz")),
        Service(name="agent", command=_buoy("agent", "agent run"),
                after=(f"{CONTROLLER}/seed",), needs=(kube_credential.FILE,),
                ready=Probe(file="/run/buoy/agent.sock")),
        Service(name="bird", command=(*_BIRD, "-R"), needs=("/etc/buoy/bird.conf",), ready=_BIRD_READY),
    )  # fmt: skip
    made = _machine(name, number + 2, files, services)
    return msgspec.structs.replace(made, network=(*made.network, *_pod_routes(kit.plan.nodes, number)))


def _pod_routes(nodes: int, own: int = 0) -> tuple[str, ...]:
    """Return what a network plugin would do: the pods of other nodes are behind them, of ours only those there are."""
    lines: list[str] = []
    for number in range(1, nodes + 1):
        for cidr, address in zip(kube_files.pod_cidrs(number), node_addresses(number), strict=True):
            lines.append(f"route add unreachable {cidr}" if number == own else f"route add {cidr} via {address}")
    return tuple(lines)
