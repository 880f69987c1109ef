# SPDX-License-Identifier: Apache-2.0
"""A cluster as its operator has it: kubectl, pods, and a router and a client to look from outside.

Asserts look through packets, `ip`, `nft`, `birdc`, kubectl and `buoy` only.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from buoy.lab import pod
from buoy.lab.lab import Lab
from tests.e2e.cloud import eventually

BGP = "bgpconfigurations.projectcalico.org"


class RefusedError(AssertionError):
    """kubectl refused: its words."""

    def __init__(self, words: tuple[str, ...], err: str) -> None:
        super().__init__(f"kubectl {' '.join(words)}: {err}")
        self.err = err


class Cluster:
    """One Kubernetes lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.environment = {**os.environ, **lab.env()}

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Run kubectl on the host and return what it printed; raise `RefusedError` if it ends with an error."""
        done = subprocess.run(
            ["kubectl", *words], input=text, capture_output=True, text=True, env=self.environment, check=False
        )
        if done.returncode:
            raise RefusedError(words, done.stderr)
        return done.stdout.strip()

    def pod(self, name: str, node: str, labels: Mapping[str, str], **wish: Any) -> None:  # noqa: ANN401
        """Run a pod and wait until it is ready."""
        pod.run(self.lab, pod.Wish(name=name, node=node, labels=dict(labels), **wish))

    def ready(self, name: str, *, is_ready: bool, namespace: str = "default") -> None:
        """Let a pod's readiness probe succeed or fail."""
        pod.set_ready(self.lab, namespace, name, is_ready=is_ready)

    def end(self, name: str, namespace: str = "default", *, wait: bool = True) -> None:
        """Delete a pod; `wait` until its grace is over."""
        pod.delete(self.lab, namespace, name, wait=wait)

    def apply(self, *objects: Mapping[str, Any]) -> str:
        """Apply objects and return what kubectl said."""
        return self.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, *words: str) -> Any:  # noqa: ANN401  whatever JSON kubectl prints
        """Return what kubectl shows, parsed."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def on(self, machine: str, *command: str, check: bool = True) -> str:
        """Run a command on a machine and return what it printed."""
        return self.lab.exec(machine, *command, check=check).stdout

    def hops(self, prefix: str) -> set[str]:
        """Return the nodes that the ToR's kernel sends packets for a prefix to, by name."""
        family = ["-6"] if ":" in prefix else []
        shown = self.on("tor", "ip", "-j", *family, "route", "show", "exact", prefix)
        found: list[dict[str, Any]] = json.loads(shown or "[]")
        gateways = {hop["gateway"] for route in found for hop in route.get("nexthops", [route]) if "gateway" in hop}
        return {name for name, addresses in self._addresses().items() if gateways & addresses}

    def announced(self, prefix: str, *nodes: str, seconds: float = 10) -> None:
        """Demand that the ToR soon sends packets for a prefix to exactly these nodes."""
        eventually(lambda: self.hops(prefix), lambda seen: seen == set(nodes), seconds)

    def http(self, address: str, port: int = 80, machine: str = "client", seconds: float = 2) -> str:
        """Return what HTTP at an address answers a machine; empty if nothing does."""
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{port}/"
        return self.on(machine, "curl", "-s", "-g", "-m", str(seconds), url, check=False).strip()

    def external(self, service: str, namespace: str = "default") -> list[str]:
        """Return the load-balancer addresses of a Service."""
        status = self.get("service", service, "-n", namespace)["status"]
        return [entry["ip"] for entry in status.get("loadBalancer", {}).get("ingress", [])]

    def why(self, address: str, node: str) -> list[dict[str, Any]]:
        """Return what `buoy why` says on a node, line by line."""
        done = self.lab.exec(node, "buoy", "why", address, "-o", "json", check=False)
        return list(json.loads(done.stdout))

    def _addresses(self) -> dict[str, set[str]]:
        return {
            node["name"]: {re.sub("/.*", "", node["address4"]), re.sub("/.*", "", node["address6"])}
            for node in self.lab.status()["nodes"]
        }


def service(name: str, namespace: str = "default", port: int = 80, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a Service of type LoadBalancer for pods labelled ``app=NAME``, which answer on 8080."""
    ports = [{"name": "http", "port": port, "targetPort": 8080, "protocol": "TCP"}]
    chosen = {"type": "LoadBalancer", "selector": {"app": name}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": chosen}


def pool(name: str, *prefixes: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a pool of Buoy's."""
    body = {"prefixes": list(prefixes), **spec}
    return {"apiVersion": "buoy.dev/v1", "kind": "Pool", "metadata": {"name": name}, "spec": body}
