# SPDX-License-Identifier: Apache-2.0
"""Creating and deleting a port with Buoy's driver, against the same Neutron with a driver that does nothing.

Two Neutrons side by side, each one process with SQLite, without Keystone, on the loopback of
a namespace of their own; the same requests go to one and to the other in turn, in random
order, over one connection each. Buoy's has its L3 plugin and writes to a real etcd; the
other has Neutron's, and a driver that binds every port at once. A port is created unbound and bound; 500 exist already.
"""

import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.apart import apart
from bench.api import Api
from bench.report import ROOT, Options, Report, short, spread
from buoy.model import documents
from buoy.model.node import Node
from buoy.model.ownership import STORE_PREFIX
from buoy.neutron.configure import SERVICE_PLUGINS, Embedded, neutron_conf

ETCD, BUOY, NULL = 2379, 9696, 9697
HOST = "compute-1"
PRESENT = 500
_PATIENCE = 60.0
_ACTS = ("create unbound", "create bound", "delete unbound", "delete bound")


def bench(options: Options) -> None:
    """Measure and write the table."""
    trials, present = options.times(300, 10), 20 if options.quick else PRESENT
    found = apart("bench.port_create", str(trials), str(present))
    report = Report(
        "port_create",
        f"A request to Neutron with {present} ports (ms, median and quartiles)",
        f"{trials} of each, the two Neutrons asked in turn in random order",
        ("request", "null driver", "Buoy", "more", "ratio", "p99 null", "p99 Buoy"),
    )
    for act in _ACTS:
        null, buoy = spread(found["null"][act]), spread(found["buoy"][act])
        more, ratio = short(buoy.median - null.median), f"{buoy.median / null.median:.2f}"
        report.row(act, null, buoy, more, ratio, short(null.p99), short(buoy.p99))
    report.data = found
    report.save(options)


class Neutron:
    """One Neutron, and the milliseconds of each request to it."""

    def __init__(self, port: int) -> None:
        self.api = Api(f"http://127.0.0.1:{port}")
        self.times: dict[str, list[float]] = {act: [] for act in _ACTS}

    def network(self) -> str:
        """Make a network with a subnet and return its id."""
        network = str(self.api.create("network", name="bench")["id"])
        self.api.create("subnet", network_id=network, ip_version=4, cidr="10.64.0.0/16")
        return network

    def create(self, network: str, *, bound: bool) -> str:
        """Create a port and return its id."""
        fields = {"network_id": network, **({"binding:host_id": HOST, "device_owner": "compute:nova"} if bound else {})}
        port = self.api.create("port", **fields)
        assert port["binding:vif_type"] not in {"binding_failed", *(["unbound"] if bound else [])}, port
        return str(port["id"])

    def trial(self, network: str) -> None:
        """Create and delete a port of each kind."""
        for kind in ("unbound", "bound"):
            began = time.perf_counter()
            port = self.create(network, bound=kind == "bound")
            middle = time.perf_counter()
            self.api.call("DELETE", f"ports/{port}")
            self.times[f"create {kind}"].append((middle - began) * 1e3)
            self.times[f"delete {kind}"].append((time.perf_counter() - middle) * 1e3)


@contextlib.contextmanager
def _running(words: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server until the block ends; it listens when the block begins."""
    with log.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out, cwd=ROOT) as process:
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _answers(port):
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, f"{words[:3]} does not listen"
                time.sleep(0.05)
            yield
        finally:
            process.kill()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _neutron(directory: Path, driver: str, port: int) -> list[str]:
    (directory / "lock").mkdir(parents=True)
    settings = Embedded(
        directory=str(directory),
        etcd=(f"http://127.0.0.1:{ETCD}",),
        mechanism_drivers=(driver,),
        heartbeat_interval=1.0,
    )
    text = neutron_conf(settings)
    if driver != "buoy":
        # Neutron's own L3 plugin in the place of ours: others build on one
        plugins = ["router" if name == "buoy" else name for name in SERVICE_PLUGINS]
        text = text.replace(",".join(SERVICE_PLUGINS), ",".join(plugins))
    (directory / "neutron.conf").write_text(text)
    config = str(directory / "neutron.conf")
    return [sys.executable, "-m", "buoy.neutron.server", "--config-file", config, "--port", str(port)]


def _register(directory: Path) -> None:
    """Let stevedore find the null driver: it reads entry points of what is on the path."""
    metadata = directory / "bench_null-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-null\nVersion: 0\n")
    entry = "null = bench.null_driver:NullMechanismDriver\n"
    (metadata / "entry_points.txt").write_text(f"[neutron.ml2.mechanism_drivers]\n{entry}")


def _etcd(directory: Path) -> list[str]:
    client, peer = f"http://127.0.0.1:{ETCD}", "http://127.0.0.1:2380"
    return [
        "etcd", "--data-dir", str(directory / "etcd"),
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
    ]  # fmt: skip


def _agent(neutron: Neutron) -> None:
    """Let an agent be alive, and Neutron know it."""
    node = Node(name=HOST, version="0.1")
    key, value = f"{STORE_PREFIX}{documents.path(node)}", documents.encode(node).decode()
    words = ["etcdctl", f"--endpoints=127.0.0.1:{ETCD}", "put", key, value]
    subprocess.run(words, env={**os.environ, "ETCDCTL_API": "3"}, check=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + _PATIENCE
    while not any(agent["alive"] for agent in neutron.api.call("GET", f"agents?host={HOST}")["agents"]):
        assert time.monotonic() < deadline, "Neutron does not see the agent"
        time.sleep(0.1)


def measure(trials: int, present: int) -> dict[str, dict[str, list[float]]]:
    """Start all servers, fill both Neutrons and measure; return milliseconds by driver and request."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _register(directory)
        stack.enter_context(_running(_etcd(directory), ETCD, directory / "etcd.log"))
        with _on_path(directory):
            for driver, port in (("buoy", BUOY), ("null", NULL)):
                words = _neutron(directory / driver, driver, port)
                stack.enter_context(_running(words, port, directory / f"{driver}.log"))
        neutrons = {"buoy": Neutron(BUOY), "null": Neutron(NULL)}
        _agent(neutrons["buoy"])
        networks = {name: each.network() for name, each in neutrons.items()}
        for name, each in neutrons.items():
            for _ in range(present):
                each.create(networks[name], bound=True)
        order = random.Random(5)
        for number in range(trials + 5):
            if number == 5:
                # the first few fill caches
                for each in neutrons.values():
                    each.times = {act: [] for act in _ACTS}
            for name in order.sample(list(neutrons), 2):
                neutrons[name].trial(networks[name])
        return {name: each.times for name, each in neutrons.items()}


@contextlib.contextmanager
def _on_path(directory: Path) -> Iterator[None]:
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{directory}:{ROOT}:{before}"
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = before


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
