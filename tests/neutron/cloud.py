# SPDX-License-Identifier: Apache-2.0
"""A real Neutron and a real etcd of one test module, and a pretended agent.

Everything is asked through HTTP and read from etcd, as from outside. Processes
are killed with the fixture; files live in its temporary directory.
"""

import asyncio
import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from buoy.model.address import Address
from buoy.model.documents import Document, path
from buoy.model.errors import InvalidInput
from buoy.model.node import Node
from buoy.model.reason import Reason
from buoy.model.status import AddressStatus, State, WorkloadStatus
from buoy.neutron.configure import Embedded, neutron_conf
from buoy.store.opening import open_store
from buoy.store.settings import StoreSettings
from buoy.store.store import Write

# Without Keystone there is no service role, which Nova has when it migrates a guest.
_POLICY = "".join(f'"{verb}_port_binding": "rule:admin_only"\n' for verb in ("create", "delete"))
_POLICY += '"activate": "rule:admin_only"\n'

WARM = Path(__file__).with_name("warm_compare.py")
START_SECONDS = 120.0
PATIENCE = 30.0


def free_port() -> int:
    """Return a port of the loopback address nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(expected: object, probe: Callable[[], object]) -> object:
    """Ask until the answer is the expected one, or long enough; return the last answer."""
    deadline = time.monotonic() + PATIENCE
    while True:
        actual = probe()
        if actual == expected or time.monotonic() > deadline:
            return actual
        time.sleep(0.05)


class Refusal(Exception):
    """An answer of 400 and above."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Process:
    """A server that is started and killed."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self._command = command
        self._port = port
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        with self._log.open("ab") as out:
            self._running = subprocess.Popen(self._command, stdout=out, stderr=out, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._running.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"{self._command[:3]} did not start:\n{self._log.read_text()[-4000:]}")

    def kill(self) -> None:
        """Kill -9, if it still runs."""
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
            self._running.wait()

    def pid(self) -> int:
        """Return the number of the process."""
        assert self._running is not None
        return self._running.pid


class Cloud:
    """One Neutron, one etcd; `agent` writes what an agent would."""

    def __init__(self, directory: Path, drivers: tuple[str, ...] = ("buoy",)) -> None:
        self.directory = directory
        self._etcd_port, self._port, peers = free_port(), free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self.etcd_url = f"http://127.0.0.1:{self._etcd_port}"
        (directory / "lock").mkdir()
        self._config = directory / "neutron.conf"
        embedded = Embedded(
            directory=str(directory),
            etcd=(self.etcd_url,),
            heartbeat_interval=1.0,
            mechanism_drivers=drivers,
            type_drivers=("local", "flat") if drivers == ("buoy",) else ("local", "flat", "vxlan"),
        )
        policy = directory / "policy.yaml"
        policy.write_text(_POLICY)
        self._config.write_text(
            f"{neutron_conf(embedded)}outbox_patience = 1\n\n[oslo_policy]\npolicy_file = {policy}\n"
        )
        client, peer = self.etcd_url, f"http://127.0.0.1:{peers}"
        words = ("etcd", "--data-dir", str(directory / "etcd"), "--initial-cluster", f"default={peer}")
        clients = ("--listen-client-urls", client, "--advertise-client-urls", client)
        members = ("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer)
        self.etcd = Process([*words, *clients, *members], self._etcd_port, directory / "etcd.log")
        self.neutron = self.another_server(self._port)
        self._comparer: subprocess.Popen[str] | None = None

    def another_server(self, port: int) -> Process:
        """Return an API worker on the same database, not yet started."""
        command = [sys.executable, "-m", "buoy.neutron.server", "--config-file", str(self._config), "--port", str(port)]
        return Process(command, port, self.directory / "neutron.log")

    def start(self) -> None:
        """Start both servers."""
        self.etcd.start()
        self.neutron.start()

    def kill(self) -> None:
        """Kill both servers."""
        self.neutron.kill()
        self.etcd.kill()
        if self._comparer is not None:
            self._comparer.kill()
            self._comparer.communicate()

    def compare(self, *words: str) -> tuple[int, str]:
        """Run the comparison of database and store; return its exit code and what it printed."""
        return self.compare_at(self._config, *words)

    def compare_at(self, config: Path, *words: str) -> tuple[int, str]:
        """Compare with what another neutron.conf says."""
        return self._compared("--config-file", str(config), *words)

    def prepare(self, url: str) -> None:
        """Make an empty Neutron database."""
        assert (0, url) == self._compared("--prepare", url)

    def _compared(self, *words: str) -> tuple[int, str]:
        comparer = self._comparer = self._comparer or self._warm()
        assert comparer.stdin is not None
        assert comparer.stdout is not None
        comparer.stdin.write(json.dumps(words) + "\n")
        comparer.stdin.flush()
        code, text = json.loads(comparer.stdout.readline())
        return int(code), str(text)

    def _warm(self) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        with (self.directory / "compare.log").open("ab") as log:
            return subprocess.Popen([sys.executable, WARM], stdin=pipe, stdout=pipe, stderr=log, text=True)

    def log(self) -> str:
        """Return what Neutron logged."""
        return (self.directory / "neutron.log").read_text()

    def call(self, method: str, at: str, body: object = None, port: int | None = None) -> Any:  # noqa: ANN401  any JSON
        """Call the API; return the decoded answer, raise `Refusal` for a refused one."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self._port, timeout=120)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, f"/v2.0/{at}", text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            raw = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refusal(answer.status, raw)
        return json.loads(raw) if raw else None

    def create(self, kind: str, **attributes: object) -> dict[str, Any]:
        """Create a resource; `kind` is its name in the singular."""
        body = self.call("POST", f"{_plural(kind)}", {kind: attributes})
        return dict(body[kind])

    def update(self, kind: str, one: str, **attributes: object) -> dict[str, Any]:
        """Update a resource."""
        return dict(self.call("PUT", f"{_plural(kind)}/{one}", {kind: attributes})[kind])

    def show(self, kind: str, one: str) -> dict[str, Any]:
        """Show a resource."""
        return dict(self.call("GET", f"{_plural(kind)}/{one}")[kind])

    def delete(self, kind: str, one: str) -> None:
        """Delete a resource."""
        self.call("DELETE", f"{_plural(kind)}/{one}")

    def documents(self) -> dict[str, Document]:
        """Return everything in etcd."""
        return asyncio.run(self._documents())

    async def _documents(self) -> dict[str, Document]:
        store = open_store(StoreSettings(endpoints=(self.etcd_url,)))
        watch = store.watch([""])
        batch = await anext(watch)
        found = dict(batch.snapshot.documents)
        await watch.aclose()  # type: ignore[attr-defined]
        await store.close()
        return found

    def document(self, at: str) -> Document | None:
        """Return what stands under a path; None also for what is no document."""
        return asyncio.run(self._document(at))

    async def _document(self, at: str) -> Document | None:
        store = open_store(StoreSettings(endpoints=(self.etcd_url,)))
        try:
            return (await store.read(at)).document
        except InvalidInput:
            return None
        finally:
            await store.close()

    def revision(self, at: str) -> int:
        """Return the store's revision of a path."""
        return asyncio.run(self._revision(at))

    async def _revision(self, at: str) -> int:
        store = open_store(StoreSettings(endpoints=(self.etcd_url,)))
        stored = await store.read(at)
        await store.close()
        return stored.revision

    def write(self, *writes: Write) -> None:
        """Write to etcd as an agent or a broken client would."""
        asyncio.run(self._write(writes))

    async def _write(self, writes: tuple[Write, ...]) -> None:
        store = open_store(StoreSettings(endpoints=(self.etcd_url,)))
        await store.write(writes)
        await store.close()

    def agent(self, node: str) -> None:
        """Let an agent be alive on a node, and Neutron know it."""
        self.write(Write(f"nodes/{node}", Node(name=node, version="0.1")))
        assert eventually(True, lambda: self.is_alive(node))

    def agent_gone(self, node: str) -> None:
        """Let an agent's lease end."""
        self.write(Write(f"nodes/{node}", None))

    def is_alive(self, node: str) -> bool:
        """Tell whether Neutron shows a living agent on a node."""
        agents = self.call("GET", f"agents?host={node}")["agents"]
        return any(agent["alive"] for agent in agents)

    def report_port(self, node: str, port: str, state: State = State.ACTIVE, reason: Reason | None = None) -> None:
        """Report a port as an agent would, once its document is there."""
        at = f"workloads/{node}/{port}"
        assert eventually(True, lambda: at in self.documents())
        revision = self.documents()[at].revision  # type: ignore[union-attr]
        status = WorkloadStatus(node=node, workload=port, state=state, reason=reason, revision=revision)
        self.write(Write(path(status), status))

    def report_address(self, node: str, address: str, state: State = State.ACTIVE, revision: int | None = None) -> None:
        """Report a floating IP as an agent would, answering what now stands in the store or an older revision."""
        seen = self.revision(f"service-ips/{address}") if revision is None else revision
        status = AddressStatus(node=node, address=Address(address), state=state, revision=seen)
        self.write(Write(path(status), status))


def running(directory: Path) -> Iterator[Cloud]:
    """Yield a running Neutron and etcd, with living agents on compute-1 and compute-2."""
    made = Cloud(directory)
    try:
        made.start()
        made.agent("compute-1")
        made.agent("compute-2")
        yield made
    finally:
        made.kill()


def _plural(kind: str) -> str:
    special = {"security_group": "security-groups", "security_group_rule": "security-group-rules"}
    if kind in special:
        return special[kind]
    return kind.replace("_", "-") + "s"
