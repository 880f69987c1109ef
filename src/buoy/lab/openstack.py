# SPDX-License-Identifier: Apache-2.0
"""The OpenStack lab: an access node, a controller with etcd and Neutron, and compute nodes.

Addresses are those of the documents whose commands are to work here: the access
node is 192.168.8.1, the first compute node 192.168.8.3.
"""

import sys
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from msgspec.structs import replace

from buoy.lab import configuration
from buoy.lab.topology import Node, Probe, Service, Topology, leave_out
from buoy.model.errors import InvalidInput

MOST_NODES = 200
CONTROLLER, ACCESS = "controller", "access"
ETCD_PORT, NEUTRON_PORT, METADATA_PORT = 2379, 9696, 8775
_BIRD = ("bird", "-f", "-c", "/etc/buoy/bird.conf", "-s", "/run/buoy/bird.ctl")
_BIRD_READY = Probe(file="/run/buoy/bird.ctl")


def topology(name: str, nodes: int, without: Collection[str] = ()) -> Topology:
    """Return the lab of that name with `nodes` compute nodes, leaving out the services in `without`.

    A service is named ``bird`` for those of all nodes or ``compute-1/bird`` for one.

    Raises `InvalidInput` for an impossible number of nodes, and for a service there is not.
    """
    if not 1 <= nodes <= MOST_NODES:
        raise InvalidInput("--nodes", nodes, f"give 1 to {MOST_NODES}")
    computes = tuple(_compute(index) for index in range(1, nodes + 1))
    return Topology(
        kind="openstack",
        name=name,
        nodes=leave_out((_access(), _controller(), *computes), without),
        switch_address="192.168.8.254/24",
        relays={"etcd": (_address(2), ETCD_PORT), "neutron": (_address(2), NEUTRON_PORT)},
        environment={
            "BUOY_LAB": name,
            "BUOY_ETCD": "http://{etcd}",
            "OS_AUTH_TYPE": "none",
            "OS_ENDPOINT": "http://{neutron}",
        },
        inside={
            "BUOY_ETCD": f"http://{_address(2)}:{ETCD_PORT}",
            "OS_AUTH_TYPE": "none",
            "OS_ENDPOINT": f"http://{_address(2)}:{NEUTRON_PORT}",
        },
    )


def _address(number: int) -> str:
    return f"192.168.8.{number}"


def _node(name: str, number: int, files: dict[str, str], services: tuple[Service, ...]) -> Node:
    dropbear = ("dropbear", "-F", "-R", "-B", "-E", "-p", "22")
    ssh = Service(name="ssh", command=dropbear, ready=Probe(port=22), optional=True)
    return Node(
        name=name,
        address4=f"{_address(number)}/24",
        address6=f"fd00:8::{number:x}/64",
        files=files,
        services=(*services, ssh),
    )


def _access() -> Node:
    bird = Service(name="bird", command=_BIRD, ready=_BIRD_READY)
    return _node(ACCESS, 1, {"/etc/buoy/bird.conf": configuration.access_bird(_address(1))}, (bird,))


def _controller() -> Node:
    store = f"http://{_address(2)}:{ETCD_PORT}"
    etcd = Service(
        name="etcd",
        command=(
            "etcd", "--name=lab", "--data-dir=/var/lib/etcd", "--logger=zap", "--log-level=warn",
            f"--listen-client-urls=http://0.0.0.0:{ETCD_PORT}", f"--advertise-client-urls={store}",
            "--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=lab=http://127.0.0.1:2380", "--auto-compaction-retention=1h",
            # the election of the only member is otherwise most of the lab's start
            "--heartbeat-interval=20", "--election-timeout=200",
        ),
        ready=Probe(port=ETCD_PORT, http="/health"),
    )  # fmt: skip
    seed = Service(
        name="seed", command=("{python}", "-m", "buoy.lab.seed", _address(2), str(ETCD_PORT), _address(1)),
        after=("controller/etcd",), quick=True,
    )  # fmt: skip
    neutron = Service(
        name="neutron",
        command=(
            "{python}", "-m", "buoy.neutron.server", "--config-file", "/etc/neutron/neutron.conf",
            "--host", "0.0.0.0", "--port", str(NEUTRON_PORT),
        ),
        after=("controller/etcd",), ready=Probe(port=NEUTRON_PORT, http="/"),
    )  # fmt: skip
    files = {
        "/etc/neutron/neutron.conf": configuration.neutron(store, _paste()),
        "/var/lib/neutron/lock/.keep": "",
    }
    return _node(CONTROLLER, 2, files, (etcd, seed, neutron))


def _paste() -> str:
    """Return where Neutron's api-paste.ini is: beside the libraries it was installed with."""
    try:
        libraries = Path(str(metadata.distribution("neutron").locate_file("")))
    except metadata.PackageNotFoundError:
        return f"{sys.prefix}/etc/neutron/api-paste.ini"
    return str(libraries.parents[2] / "etc/neutron/api-paste.ini")


def _compute(index: int) -> Node:
    number = index + 2
    name = f"compute-{index}"
    buoy = ("{python}", "-m", "buoy.cli.main")
    store = f"http://{_address(2)}:{ETCD_PORT}"
    settings = configuration.agent(name, (_address(number), f"fd00:8::{number:x}"), store)
    services = (
        Service(name="agent", command=(*buoy, "agent", "run"), after=("controller/etcd", "controller/seed"),
                ready=Probe(file="/run/buoy/agent.sock")),
        Service(name="bird", command=(*_BIRD, "-R"), needs=("/etc/buoy/bird.conf",), ready=_BIRD_READY),
        Service(name="dhcp", command=(*buoy, "dhcp", "run")),
        Service(name="metadata", command=("{python}", "-m", "buoy.lab.echo", str(METADATA_PORT)), optional=True),
    )  # fmt: skip
    # of the systemd units, buoy-skeleton alone comes before the guests
    skeleton = (*buoy, "agent", "skeleton")
    return replace(_node(name, number, {"/etc/buoy/agent.toml": settings}, services), guests=True, boot=skeleton)
