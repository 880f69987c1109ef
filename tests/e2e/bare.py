# SPDX-License-Identifier: Apache-2.0
"""A cloud without Neutron: documents put into etcd by etcdctl, guests plugged by hand; up in seconds.

What the documents say stands here as anybody may write it: JSON, one key per fact.
Each guest has 10.65.0.N, fd00:65::N and, as service IP, 172.16.1.N.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from buoy.lab.lab import Lab
from tests.e2e.cloud import Cloud, eventually, fresh_name

ETCD = "http://192.168.8.2:2379"
PREFIX = "/buoy/v1/"
RULES = [{"side": side, "family": version} for side in ("ingress", "egress") for version in (4, 6)]
AROUND: dict[str, Any] = {
    "networks/net": {"id": "net"},
    "subnets/s4": {"id": "s4", "network": "net", "prefix": "10.65.0.0/24", "gateway": "10.65.0.254", "dhcp": True},
    "subnets/s6": {
        "id": "s6", "network": "net", "prefix": "fd00:65::/64", "ra_mode": "slaac", "address_mode": "slaac",
    },
    "groups/all": {"id": "all", "rules": RULES},
}  # fmt: skip


@contextmanager
def bare_cloud(room: str, nodes: int = 1) -> Iterator["Bare"]:
    """Bring such a cloud up, and nothing of it is left afterwards."""
    lab = Lab(fresh_name(room)).up(nodes=nodes, without=("neutron",))
    try:
        yield Bare(lab)
    finally:
        lab.down()


class Bare(Cloud):
    """Such a cloud; `around` is there once it is made."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        for path, document in AROUND.items():
            self.put(path, document)

    def etcdctl(self, *words: str, text: str | None = None, check: bool = True) -> str:
        """Run etcdctl on the controller and return what it printed."""
        command = ("env", "ETCDCTL_API=3", "etcdctl", f"--endpoints={ETCD}", *words)
        return self.lab.exec("controller", *command, text=text, check=check).stdout

    def put(self, path: str, document: Any) -> None:  # noqa: ANN401  whatever a client may write
        """Write what stands under a path: JSON, or a text as it is."""
        text = document if isinstance(document, str) else json.dumps(document)
        self.etcdctl("put", f"{PREFIX}{path}", text=text)

    def remove(self, path: str) -> None:
        """Delete what stands under a path."""
        self.etcdctl("del", f"{PREFIX}{path}")

    def stored(self, path: str) -> Any:  # noqa: ANN401  JSON
        """Return what stands under a path, None if nothing does."""
        text = self.etcdctl("get", "--print-value-only", f"{PREFIX}{path}")
        return json.loads(text) if text.strip() else None

    def guest(self, number: int, node: str = "compute-1", *, served: bool = True) -> str:
        """Plug and start a guest, with its documents if it is to be `served`, and return its name."""
        name = f"g{number}"
        self.lab.plug(name=name, node=node, interface=tap(number), mac=mac(number))
        self.lab.start_guest(name)
        # a guest has IPv6 from when it boots
        eventually(lambda: "0\n" == self.on(name, "cat", "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"))
        self.on(name, "ip", "address", "add", f"10.65.0.{number}/24", "dev", "eth0")
        self.on(name, "ip", "address", "add", f"fd00:65::{number}/64", "dev", "eth0", "nodad")
        self.on(name, "ip", "route", "add", "default", "via", "10.65.0.254")
        if served:
            self.serve(number, node)
        return name

    def serve(self, number: int, node: str = "compute-1") -> None:
        """Write the documents of a guest, and wait until the router can reach its service IP."""
        self.put(f"workloads/{node}/w{number}", workload(number, node))
        self.put(f"service-ips/{service(number)}", service_ip(number, node))
        eventually(lambda: self.reaches(service(number)), seconds=20)

    def restart(self, node: str, name: str) -> None:
        """Start a service that was stopped or killed, and wait until it is ready."""
        self.lab.service("start", node, name)
        self.lab.wait_ready(node, name)

    def audit(self, node: str = "compute-1") -> list[dict[str, str]]:
        """Return what on a node differs from what is wanted there."""
        found = json.loads(self.buoy("audit", "-o", "json", node=node, check=False) or "[{}]")
        return list(found[0].get("wrong", [{"entry": "no answer"}]))

    def reaches(self, address: str, machine: str = "access") -> bool:
        """Tell whether an address answers an echo request of a machine."""
        return not self.lab.exec(machine, "ping", "-n", "-c1", "-W1", address, check=False).returncode


def tap(number: int) -> str:
    return f"tap{number:08x}-aa"


def mac(number: int) -> str:
    return f"fa:16:3e:00:00:{number:02x}"


def service(number: int) -> str:
    return f"172.16.1.{number}"


def workload(number: int, node: str) -> dict[str, Any]:
    """Return the document of a guest's port."""
    addresses = [{"address": f"10.65.0.{number}", "subnet": "s4"}, {"address": f"fd00:65::{number}", "subnet": "s6"}]
    return {
        "id": f"w{number}", "node": node, "interface": tap(number), "mac": mac(number), "network": "net",
        "fixed_ips": addresses, "groups": ["all"], "revision": 1,
    }  # fmt: skip


def service_ip(number: int, node: str) -> dict[str, Any]:
    """Return the document of a guest's service IP."""
    endpoint = {"workload": f"w{number}", "target": f"10.65.0.{number}", "node": node}
    return {"address": service(number), "endpoints": [endpoint]}
