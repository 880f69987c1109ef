# SPDX-License-Identifier: Apache-2.0
"""A cloud as a user has it: clients, guests, a router to look from. What tests may ask stands here.

Asserts look through packets, `ip`, `nft`, `birdc` and the clients only.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from buoy.lab import vm
from buoy.lab.lab import Lab

CLIENT = Path(__file__).parents[2] / ".venv-openstack" / "bin" / "python"
WARM = Path(__file__).with_name("warm_client.py")
Seen = TypeVar("Seen")


class ClientError(AssertionError):
    """The client refused: its words and exit code."""

    def __init__(self, words: tuple[str, ...], code: int, err: str) -> None:
        super().__init__(f"openstack {' '.join(words)}: exit code {code}: {err}")
        self.code = code
        self.err = err


class Machines(Protocol):
    """A lab of any kind, and commands on its machines."""

    lab: Lab

    def on(self, machine: str, *command: str, check: bool = True) -> str:
        """Run a command on a node or guest and return what it printed."""


class Cloud:
    """One lab with two networks, a router, and guests by name."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._client: subprocess.Popen[str] | None = None

    def openstack(self, *words: str) -> str:
        """Run the real client and return what it printed; raise `ClientError` if it refuses."""
        client = self._client = self._client or self._warm()
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(json.dumps(words) + "\n")
        client.stdin.flush()
        done = json.loads(client.stdout.readline())
        if done["code"]:
            raise ClientError(words, done["code"], done["err"])
        return str(done["out"]).strip()

    def get(self, *words: str) -> Any:  # noqa: ANN401  # whatever JSON the client prints
        """Run the real client with ``-f json`` and return what it printed, parsed."""
        return json.loads(self.openstack(*words, "-f", "json"))

    def _warm(self) -> "subprocess.Popen[str]":
        env = {**os.environ, **self.lab.env()}
        pipe = subprocess.PIPE
        return subprocess.Popen([CLIENT, WARM], stdin=pipe, stdout=pipe, text=True, env=env)

    def close(self) -> None:
        """End the client."""
        if self._client is not None:
            self._client.kill()
            self._client.communicate()

    def buoy(self, *words: str, node: str = "controller", check: bool = True) -> str:
        """Run `buoy` on a node and return what it printed."""
        return self.lab.exec(node, "buoy", *words, check=check).stdout

    def on(self, machine: str, *command: str, check: bool = True) -> str:
        """Run a command on a node or guest and return what it printed."""
        return self.lab.exec(machine, *command, check=check).stdout

    def boot(self, name: str, host: str, **wish: str) -> dict[str, Any]:
        """Boot a guest on a node."""
        return vm.boot(self.lab, vm.Wish(name=name, host=host, **wish), lambda _: None)  # type: ignore[arg-type]

    def http(self, machine: str, address: str, port: int = 80, seconds: float = 2) -> str:
        """Return what HTTP at an address answers as seen from a machine; empty if nothing does."""
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{port}/"
        return self.on(machine, "curl", "-s", "-g", "-m", str(seconds), url, check=False).strip()

    def routes(self, machine: str) -> dict[str, str]:
        """Return a machine's routes in table main, both families, by destination."""
        lines = (self.on(machine, "ip", "route") + self.on(machine, "ip", "-6", "route")).splitlines()
        return {line.split()[0]: line for line in lines}


def fresh_name(room: str) -> str:
    """Return a name for a lab that no other has."""
    return f"{room}-{os.getpid()}-{uuid.uuid4().hex[:5]}"


def eventually(look: Callable[[], Seen], wanted: Callable[[Seen], bool] = bool, seconds: float = 10) -> Seen:
    """Return what `look` sees once it is as wanted; fail with what was last seen after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"still {seen!r} after {seconds} s"
        time.sleep(0.02)


def networks(cloud: Cloud) -> None:
    """Make what the documents make: a tenant network, an external one, and a router between them."""
    cloud.openstack("network", "create", "--share", "calico")
    cloud.openstack(
        "subnet", "create", "--network", "calico", "--subnet-range", "10.65.0.0/24", "--gateway", "10.65.0.1",
        "--allocation-pool", "start=10.65.0.100,end=10.65.0.200", "calico-v4",
    )  # fmt: skip
    cloud.openstack(
        "subnet", "create", "--network", "calico", "--ip-version", "6", "--subnet-range", "fd00:65::/64",
        "--ipv6-address-mode", "slaac", "--ipv6-ra-mode", "slaac", "calico-v6",
    )  # fmt: skip
    cloud.openstack("network", "create", "--external", "public")
    cloud.openstack("subnet", "create", "--network", "public", "--subnet-range", "172.16.1.0/24", "public-v4")
    cloud.openstack("router", "create", "router1")
    cloud.openstack("router", "add", "subnet", "router1", "calico-v4")
    cloud.openstack("router", "set", "--external-gateway", "public", "router1")
    for protocol in ("tcp", "udp", "icmp"):
        cloud.openstack("security", "group", "rule", "create", "--protocol", protocol, "default")
    for protocol in ("tcp", "ipv6-icmp"):
        cloud.openstack("security", "group", "rule", "create", "--ethertype", "IPv6", "--protocol", protocol, "default")
