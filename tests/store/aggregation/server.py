# SPDX-License-Identifier: Apache-2.0
"""The aggregated server as a process in front of a test's cluster."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from buoy.aggregation.registration import Place, api_service, make_certificate
from tests.store.aggregation.cluster import CALICO, NAME, NAMESPACE, Cluster, daemon, free_port, wait_for


class Server(NamedTuple):
    """A server that runs; `port` is its TLS port, `health` the plain one."""

    process: subprocess.Popen[bytes]
    port: int
    health: int
    cert: Path
    key: Path
    log: Path

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def serving(cluster: Cluster, *options: str, name: str = "one", ready: bool = True) -> Iterator[Server]:
    """Run a server with the rights that the packaging gives it."""
    cert, key, log = (cluster.directory / f"{name}.{part}" for part in ("crt", "key", "log"))
    if not cert.exists():
        renew(cert, key)
    token = cluster.directory / "aggregation.token"
    token.write_text(cluster.token(NAMESPACE, NAME))
    config = cluster.give("aggregation", f"tokenFile: {token}")
    port, health = free_port(), free_port()
    command = [
        sys.executable, "-m", "buoy.cli.main", "aggregation", "run", f"--kubeconfig={config}", f"--cert={cert}",
        f"--key={key}", f"--listen=127.0.0.1:{port}", f"--health=127.0.0.1:{health}", "--farewell=0.5", *options,
    ]  # fmt: skip
    with daemon(command, log) as process:
        server = Server(process, port, health, cert, key, log)
        if ready:
            wait_for("the server", server.is_ready)
        yield server


def renew(cert: Path, key: Path) -> None:
    """Exchange a server's certificate, as the kubelet does: whole files by another name."""
    texts = make_certificate(Place(NAMESPACE, NAME), 1)
    for path, text in zip((cert, key), texts, strict=True):
        new = path.with_suffix(".new")
        new.write_text(text)
        new.rename(path)


def lead(cluster: Cluster, server: Server) -> None:
    """Let kube-apiserver send v3 to the server: by a Service that names loopback, which no endpoint may."""
    api = cluster.api
    metadata = {"name": NAME, "namespace": NAMESPACE}
    spec = {"type": "ExternalName", "externalName": "localhost"}
    api.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    api.apply(api_service(Place(NAMESPACE, NAME), server.cert.read_text(), server.port))
    wait_for("v3.projectcalico.org", lambda: is_available(cluster))


def is_available(cluster: Cluster) -> bool:
    """Tell whether kube-apiserver finds the server and serves what it says."""
    found = cluster.api.get("/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org")
    conditions = {each["type"]: each for each in found.get("status", {}).get("conditions", ())}
    available = conditions.get("Available", {})
    return (available.get("status"), available.get("reason")) == ("True", "Passed") and knows(cluster)


def knows(cluster: Cluster) -> bool:
    """Tell whether clients find the kinds of v3."""
    return cluster.api.find(f"{CALICO}/v3") is not None
