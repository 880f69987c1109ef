# SPDX-License-Identifier: Apache-2.0
"""A real kube-apiserver over a real etcd for a test: on loopback ports, its data in memory, gone at the end."""

import contextlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from buoy.lab.kube_binaries import provide
from buoy.store.api_config import ApiSettings, Secret
from tests.freezing import freeze, thaw
from tests.store.certificates import Authority
from tests.store.etcd_server import free_port

ADMIN = "admin-token"
_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made in it has a random name
_PATIENCE = 60
_ACCOUNTS = f'{ADMIN},admin,admin,"system:masters"\nnobody-token,nobody,nobody,\n'


class KubeServer:
    """Start, kill -9, stop for a while; the programs are built if this machine has none."""

    def __init__(self) -> None:
        self._programs = provide(lambda text: print(text, file=sys.stderr))  # noqa: T201
        self.home = Path(tempfile.mkdtemp(prefix="buoy-kube-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self.port, self._etcd_port, self._peer_port = free_port(), free_port(), free_port()
        self.authority = Authority(self.home / "pki")
        self._certificate = self.authority.issue("kube-apiserver")
        self._public_key = self.home / "pki" / "public.pem"
        extract = ["openssl", "pkey", "-pubout", "-in", str(self._certificate[1]), "-out", str(self._public_key)]
        subprocess.run(extract, check=True, capture_output=True)
        self._accounts = self.home / "accounts.csv"
        self._accounts.write_text(_ACCOUNTS)
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def settings(self, token: str = ADMIN, server: str = "") -> ApiSettings:
        return ApiSettings(
            server=server or self.url, ca=Secret(str(self.authority.ca)), token=Secret(data=token.encode())
        )

    def start(self) -> None:
        self.start_etcd()
        self.start_server()

    def start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        self._etcd = self._run(
            "etcd", "--data-dir", str(self.home / "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        )  # fmt: skip

    def start_server(self) -> None:
        certificate, key = self._certificate
        self._server = self._run(
            "kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{self._etcd_port}",
            "--bind-address", "127.0.0.1", "--advertise-address", "192.0.2.1", "--secure-port", str(self.port),
            "--tls-cert-file", str(certificate), "--tls-private-key-file", str(key),
            "--client-ca-file", str(self.authority.ca), "--token-auth-file", str(self._accounts),
            "--allow-privileged=true",
            "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/12",
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-signing-key-file", str(key), "--service-account-key-file", str(self._public_key),
            "--cert-dir", str(self.home / "certs"),
        )  # fmt: skip
        self._wait(self._server)

    def kill_server(self) -> None:
        _kill(self._server)
        self._server = None

    def kill_etcd(self) -> None:
        _kill(self._etcd)
        self._etcd = None

    def freeze(self) -> None:
        """Let the server neither answer nor go away."""
        assert self._server is not None
        freeze(self._server.pid)

    def thaw(self) -> None:
        assert self._server is not None
        thaw(self._server.pid)

    def remove(self) -> None:
        self.kill_server()
        self.kill_etcd()
        shutil.rmtree(self.home)

    def compact(self, revision: int) -> None:
        """Let etcd forget everything before a revision."""
        self._etcdctl("compaction", str(revision))

    def back_up(self, to: Path) -> None:
        self._etcdctl("snapshot", "save", str(to))

    def set_back(self, backup: Path) -> None:
        """Restore a backup over what is there, as an operator does who forgot to raise its revision."""
        self.kill_server()
        self.kill_etcd()
        shutil.rmtree(self.home / "etcd")
        peer = f"http://127.0.0.1:{self._peer_port}"
        self._etcdctl(
            "snapshot", "restore", str(backup), "--data-dir", str(self.home / "etcd"), "--name", "default",
            "--initial-cluster", f"default={peer}", "--initial-advertise-peer-urls", peer,
        )  # fmt: skip
        self.start()

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator, as another hand would, and return what it printed."""
        flags = ["--server", self.url, "--certificate-authority", str(self.authority.ca), "--token", ADMIN]
        command = [str(self._programs["kubectl"]), "--cache-dir", str(self.home / "kubectl"), *flags, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, input=stdin).stdout

    def _etcdctl(self, *arguments: str) -> None:
        command = ["etcdctl", "--endpoints", f"http://127.0.0.1:{self._etcd_port}", *arguments]
        environment = {"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin:/usr/local/bin"}
        subprocess.run(command, check=True, capture_output=True, env=environment)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{program}.log").open("ab") as log:
            command: Sequence[str] = [str(self._programs[program]), *arguments]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError, urllib.error.URLError):
                headers = {"Authorization": f"Bearer {ADMIN}"}
                request = urllib.request.Request(f"{self.url}/readyz", headers=headers)  # noqa: S310 - it is https://
                with urllib.request.urlopen(request, timeout=2, context=context):  # noqa: S310 - the same
                    return
            time.sleep(0.1)
        raise AssertionError((self.home / "kube-apiserver.log").read_text()[-3000:])


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait()
