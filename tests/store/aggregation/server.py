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

OK = 200
REGISTRATION = "/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org"


class Server(NamedTuple):
    """A server that runs; `port` is its TLS port, `health` the plain one."""

    process: subprocess.Popen[bytes]
    port: int
    health: int
    cert: Path
    key: Path
    token: Path
    log: Path

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def serving(
    cluster: Cluster, *options: str, name: str = "one", account: str = NAME, ready: bool = True
) -> Iterator[Server]:
    """Run a server with the rights that the packaging gives it, unless by another account."""
    cert, key, log = (cluster.directory / f"{name}.{part}" for part in ("crt", "key", "log"))
    if not cert.exists():
        renew(cert, key)
    token = cluster.directory / f"{name}.token"
    put(token, cluster.token(NAMESPACE, account))
    config = cluster.give(name, f"tokenFile: {token}")
    port, health = free_port(), free_port()
    command = [
        sys.executable, "-m", "buoy.cli.main", "aggregation", "run", f"--kubeconfig={config}", f"--cert={cert}",
        f"--key={key}", f"--listen=127.0.0.1:{port}", f"--health=127.0.0.1:{health}", "--farewell=0.5", *options,
    ]  # fmt: skip
    with daemon(command, log) as process:
        server = Server(process, port, health, cert, key, token, log)
        if ready:
            wait_for("the server", server.is_ready)
        yield server


def renew(cert: Path, key: Path) -> None:
    """Exchange a server's certificate, as the kubelet does: whole files by another name."""
    texts = make_certificate(Place(NAMESPACE, NAME), 1)
    for path, text in zip((cert, key), texts, strict=True):
        put(path, text)


def put(path: Path, text: str) -> None:
    """Write a file that another process reads: it is there whole, or as before."""
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


def leave(cluster: Cluster) -> None:
    """Let kube-apiserver serve v3 itself again, as an operator does."""
    cluster.api.delete(REGISTRATION)
    cluster.api.delete(f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}")
    wait_for("the CRDs' own v3", lambda: is_own(cluster) and cluster.ask("GET", f"{CALICO}/v3/bgppeers")[0] == OK)


def is_own(cluster: Cluster) -> bool:
    """Tell whether kube-apiserver has taken v3 back."""
    status, found = cluster.ask("GET", REGISTRATION)
    return status == OK and "service" not in found["spec"]


def is_available(cluster: Cluster) -> bool:
    """Tell whether kube-apiserver finds the server, and clients the kinds of v3 by it."""
    _, found = cluster.ask("GET", REGISTRATION)
    conditions = {
        each["type"]: (each["status"], each["reason"]) for each in found.get("status", {}).get("conditions", ())
    }
    return conditions.get("Available") == ("True", "Passed") and cluster.ask("GET", f"{CALICO}/v3")[0] == OK
