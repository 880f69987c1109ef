# SPDX-License-Identifier: Apache-2.0
"""A real etcd and a real kube-apiserver on loopback, Calico's kinds in it, and our server's account.

Promises that both end with the test's process, and that nothing but loopback ports of the kernel's choice is used.
"""

import functools
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml

from buoy.aggregation.versions import Json
from buoy.lab import kube_binaries, kube_pki
from buoy.lab.kube_api import KubeApi
from buoy.lab.kube_files import kubeconfig

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "packaging" / "kubernetes"
NAMESPACE, NAME = "buoy-system", "buoy-aggregation"
PATIENCE = 60.0
CALICO = "/apis/projectcalico.org"


class Cluster(NamedTuple):
    """A control plane; `directory` holds its files and kubeconfigs."""

    directory: Path
    port: int
    programs: dict[str, Path]
    authority: str

    @property
    def api(self) -> KubeApi:
        """A client as cluster administrator."""
        return KubeApi(self.config("admin"))

    def config(self, account: str) -> Path:
        """The kubeconfig of an account."""
        return self.directory / f"{account}.kubeconfig"

    def give(self, account: str, user: str) -> Path:
        """Write the kubeconfig of an account; `user` is a line such as ``token: abc``."""
        self.config(account).write_text(kubeconfig(f"https://127.0.0.1:{self.port}", self.authority, user))
        return self.config(account)

    def kubectl(self, command: str, stdin: str = "", account: str = "admin") -> subprocess.CompletedProcess[str]:
        """Run a command line as a person does, ``kubectl ...`` in a shell."""
        return subprocess.run(
            ["/bin/sh", "-c", command], input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE,
            env={
                "PATH": f"{self.programs['kubectl'].parent}:{os.environ['PATH']}",
                "KUBECONFIG": str(self.config(account)), "HOME": str(self.directory),
            },
        )  # fmt: skip

    def ask(
        self, method: str, path: str, body: Json = None, content_type: str = "application/json"
    ) -> tuple[int, Json]:
        """Return status and content of an answer to the administrator."""
        trust = ssl.create_default_context(cadata=self.authority)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=trust)
        token = yaml.safe_load(self.config("admin").read_text())["users"][0]["user"]["token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, json.loads(content) if content[:1] == b"{" else content.decode()

    def token(self, namespace: str, account: str, duration: str = "1h") -> str:
        """Return a token of a service account."""
        return said(self.kubectl(f"kubectl create token -n {namespace} {account} --duration {duration}")).strip()


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed, which must have succeeded."""
    assert (0, "") == (done.returncode, done.stderr if done.returncode else "")
    return done.stdout


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, f"{what} takes over {PATIENCE} s"
        time.sleep(0.05)


@contextmanager
def daemon(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; it dies with this process, too."""
    # prctl(PR_SET_PDEATHSIG) by setpriv: a test run that is killed leaves nothing behind
    guarded = ["setpriv", "--pdeathsig", "KILL", *command]
    with log.open("ab") as output, subprocess.Popen(guarded, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    """Run a control plane with Calico's kinds, and the server's account and rights from the packaging."""
    programs = kube_binaries.provide(_tell)
    secrets = kube_pki.make((), ("IP:127.0.0.1", "DNS:localhost"))
    for name, text in secrets.files.items():
        (directory / name).write_text(text)
    (directory / "tokens.csv").write_text(f"{secrets.token_table()}reader-token,reader,reader,\n")
    etcd, peer, port = free_port(), free_port(), free_port()
    made = Cluster(directory, port, programs, secrets.files["ca.crt"])
    made.give("admin", f"token: {secrets.tokens['admin']}")
    made.give("reader", "token: reader-token")
    with (
        daemon(_etcd(programs["etcd"], directory, etcd, peer), directory / "etcd.log"),
        daemon(_apiserver(programs["kube-apiserver"], directory, etcd, port), directory / "apiserver.log"),
    ):
        wait_for("kube-apiserver", lambda: "ok" == made.kubectl("kubectl get --raw /readyz").stdout)
        _furnish(made)
        yield made


def _etcd(program: Path, directory: Path, port: int, peer: int) -> list[str]:
    client, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        str(program), "--name=test", f"--data-dir={directory}/etcd", "--log-level=error", "--unsafe-no-fsync",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=test={peers}",
        "--heartbeat-interval=20", "--election-timeout=200",
    ]  # fmt: skip


def _apiserver(program: Path, directory: Path, etcd: int, port: int) -> list[str]:
    return [
        str(program), f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", "--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
        f"--tls-cert-file={directory}/apiserver.crt", f"--tls-private-key-file={directory}/apiserver.key",
        f"--token-auth-file={directory}/tokens.csv", f"--client-ca-file={directory}/ca.crt",
        "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={directory}/sa.key", f"--service-account-key-file={directory}/sa.pub",
        f"--requestheader-client-ca-file={directory}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client", "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={directory}/front-proxy-client.crt",
        f"--proxy-client-key-file={directory}/front-proxy-client.key",
    ]  # fmt: skip


def _furnish(made: Cluster) -> None:
    api = made.api
    for path in sorted((MANIFESTS / "crds").glob("*.projectcalico.org.yaml")):
        api.apply(yaml.safe_load(path.read_text()))
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for each in packaged("account.yaml"):
        api.apply(each)
    # one after the other: a kind's storage begins when it is first asked for, and says 503 meanwhile
    for plural in ("bgpconfigurations", "bgppeers", "bgpfilters"):
        wait_for(plural, functools.partial(_is_listed, made, f"{CALICO}/v3crd/{plural}"))


def _is_listed(made: Cluster, path: str) -> bool:
    return made.ask("GET", path)[0] == http.client.OK


def packaged(name: str) -> list[dict[str, Json]]:
    """Return the objects of a file in packaging/kubernetes/aggregation."""
    return list(yaml.safe_load_all((MANIFESTS / "aggregation" / name).read_text()))
