# SPDX-License-Identifier: Apache-2.0
"""A real etcd of one member for a test: on a loopback port, its data in memory, gone at the end."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from buoy.store.settings import StoreSettings
from tests.freezing import freeze, thaw

_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made in it has a random name


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class EtcdServer:
    """Start, kill -9, set back; `arguments` are etcd's, `scheme` is http or https."""

    def __init__(self, arguments: Sequence[str] = (), scheme: str = "http") -> None:
        self.home = Path(tempfile.mkdtemp(prefix="buoy-store-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self.data = self.home / "data"
        self.port = free_port()
        self.endpoint = f"{scheme}://127.0.0.1:{self.port}"
        self._peer = f"http://127.0.0.1:{free_port()}"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: str = "one") -> None:
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(cluster), stdout=log, stderr=log)
        until = time.monotonic() + 20
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError((self.home / "log").read_text()[-2000:])

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        assert self._process is not None
        thaw(self._process.pid)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.home)

    def back_up(self, to: Path) -> None:
        self.etcdctl("snapshot", "save", str(to))

    def set_back(self, backup: Path, cluster: str = "one") -> None:
        """Restore a backup over what is there, as an operator does; another name makes it another cluster."""
        self.kill()
        shutil.rmtree(self.data)
        self.etcdctl(
            "snapshot", "restore", str(backup), "--data-dir", str(self.data), "--name", "buoy",
            "--initial-cluster", f"buoy={self._peer}", "--initial-cluster-token", cluster,
            "--initial-advertise-peer-urls", self._peer,
        )  # fmt: skip
        self.start(cluster)

    @contextlib.contextmanager
    def unseen(self) -> Iterator[None]:
        """Let the server be killed, used on another port, and come back: whoever knows it sees it only then."""
        self.kill()
        port, endpoint = self.port, self.endpoint
        self.port = free_port()
        self.endpoint = endpoint.replace(str(port), str(self.port))
        try:
            yield
        finally:
            self.kill()
            self.port, self.endpoint = port, endpoint
            self.start()

    def settings(self, prefix: str = "/buoy/v1/") -> StoreSettings:
        return StoreSettings(endpoints=(self.endpoint,), prefix=prefix)

    def etcdctl(self, *arguments: str) -> str:
        """Run etcdctl, as another hand would, and return what it printed."""
        command = ["etcdctl", "--endpoints", self.endpoint, *arguments]
        environment = {"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin:/usr/local/bin"}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    def _command(self, cluster: str) -> list[str]:
        return [
            "etcd", "--name", "buoy", "--data-dir", str(self.data), "--logger", "zap", "--unsafe-no-fsync",
            "--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint,
            "--listen-peer-urls", self._peer, "--initial-advertise-peer-urls", self._peer,
            "--initial-cluster", f"buoy={self._peer}", "--initial-cluster-token", cluster, *self._arguments,
        ]  # fmt: skip
