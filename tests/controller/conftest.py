# SPDX-License-Identifier: Apache-2.0
"""A real API server with Buoy's manifests applied, and controllers on it as processes, under their own account."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.freezing import freeze, thaw
from tests.store.api.kube import KubeServer

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "packaging" / "kubernetes"
_CONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{server}", certificate-authority: {ca}}}}}]
users: [{{name: u, user: {{token: {token}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
"""


class Controllers:
    """Controller processes, by number; whatever they print goes to files of the same number."""

    def __init__(self, kube: KubeServer, home: Path) -> None:
        self.kube = kube
        self.home = home
        self.unentitled = False
        """Whether rights may be refused to them: a server that has just started does not know its roles yet."""
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int, environment: dict[str, str] | None = None) -> None:
        token = self.kube.kubectl("-n", "buoy-system", "create", "token", "buoy-controller")
        config = self.home / f"{number}.kubeconfig"
        config.write_text(_CONFIG.format(server=self.kube.url, ca=self.kube.authority.ca, token=token))
        # who starts after one that was killed has its name; who starts beside one that lives has a name of its own
        identity = f"--identity-file={self.home / 'identity'}"
        command = [sys.executable, "-m", "buoy.cli.main", "controller", "run", f"--kubeconfig={config}", "--listen="]
        with self.log(number).open("ab") as log:
            self.running[number] = subprocess.Popen(
                [*command, identity],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    def log(self, number: int) -> Path:
        return self.home / f"{number}.log"

    def end(self, number: int, how: signal.Signals = signal.SIGTERM) -> int:
        process = self.running.pop(number)
        process.send_signal(how)
        return process.wait(20)

    def stop(self, number: int) -> None:
        """Stop a process in the middle of what it does, until `go_on`."""
        freeze(self.running[number].pid)

    def go_on(self, number: int) -> None:
        thaw(self.running[number].pid)

    def end_all(self) -> None:
        for number in tuple(self.running):
            self.end(number, signal.SIGKILL)

    def said(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.home.glob("*.log")))


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeServer]:
    server = KubeServer()
    try:
        server.start()
        server.kubectl("apply", "-k", str(MANIFESTS))
        yield server
    finally:
        server.remove()


@pytest.fixture
def controllers(kube: KubeServer, tmp_path: Path) -> Iterator[Controllers]:
    found = Controllers(kube, tmp_path)
    yield found
    found.end_all()
    # what is left of a test is nothing to the next one
    if left := [name for name in objects(kube, "services", "-n", "default") if name != "kubernetes"]:
        kube.kubectl("patch", "service", *left, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        kube.kubectl("delete", "service", *left, "--wait=false")
    for kind in ("pools", "serviceips"):
        kube.kubectl("delete", "--raw", f"/apis/buoy.dev/v1/{kind}")
    kube.kubectl("-n", "buoy-system", "delete", "lease", "--all")
    assert "Traceback" not in found.said()
    assert found.unentitled or "give it a role" not in found.said()


def objects(kube: KubeServer, *words: str) -> dict[str, Any]:
    """Return the objects that kubectl gets, by name."""
    items = msgspec.json.decode(kube.kubectl("get", *words, "-o", "json"))["items"]
    return {item["metadata"]["name"]: item for item in items}


def eventually(look: Callable[[], Any], expected: object, seconds: float = 40) -> None:
    """Demand that something is soon seen."""
    until = time.monotonic() + seconds
    while (seen := look()) != expected and time.monotonic() < until:
        time.sleep(0.1)
    assert expected == seen


def apply(kube: KubeServer, *wanted: dict[str, Any]) -> None:
    """Apply objects."""
    kube.kubectl(
        "apply", "-f", "-", stdin=msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": wanted}).decode()
    )


def pool(name: str, *prefixes: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """Return a pool."""
    return {
        "apiVersion": "buoy.dev/v1",
        "kind": "Pool",
        "metadata": {"name": name},
        "spec": {"prefixes": prefixes, **spec},
    }


def service(name: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """Return a Service of type LoadBalancer."""
    wanted = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": wanted}


def addresses(kube: KubeServer) -> dict[str, list[str]]:
    """Return the addresses in each Service's status."""
    found = objects(kube, "services", "-n", "default")
    return {
        name: [entry["ip"] for entry in each["status"]["loadBalancer"].get("ingress", []) if "ip" in entry]
        for name, each in found.items()
        if name != "kubernetes"
    }
