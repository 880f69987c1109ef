# SPDX-License-Identifier: Apache-2.0
"""All that runs in a lab, as its first process knows it, and what can be asked of it.

Every public coroutine named in `handlers` is one question of the control socket;
its parameters are the question's arguments.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from buoy.lab import guest, machine, power, sandbox, switch
from buoy.lab.command import into
from buoy.lab.control import Entrance, Handler, LabError
from buoy.lab.guest import Guest, Plug
from buoy.lab.machine import Machine
from buoy.lab.place import logs
from buoy.lab.supervise import Supervisor, Unit
from buoy.lab.topology import Node, Service, Topology
from buoy.model.errors import BuoyError

_ROUTER = """
for key in ipv4/ip_forward ipv6/conf/all/forwarding ipv4/fib_multipath_hash_policy ipv6/fib_multipath_hash_policy; do
  echo 1 > /proc/sys/net/$key
done
for loose in all default; do echo 0 > /proc/sys/net/ipv4/conf/$loose/rp_filter; done
echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad
echo 0 > /proc/sys/net/ipv6/conf/default/accept_ra
echo ready
exec sleep infinity > /dev/null
"""


class World:
    """Machines, guests and services of one lab; lives in the first process."""

    def __init__(self, lab: Path, store: Path, wanted: Topology) -> None:
        self._lab = lab
        self._store = store
        self.topology = wanted
        self.supervisor = Supervisor(self._spawn, self._probe)
        self._machines: dict[str, Machine] = {}
        self._guests: dict[str, Guest] = {}
        self._silent: set[str] = set()
        self._programs = {"guest": False, "client_path": wanted.client_path}
        self._nodes: Mapping[str, Node] = {node.name: node for node in wanted.nodes}

    def build(self, tell: Callable[[str], None]) -> None:
        """Make switch and machines; raise `DataplaneError` with what the host said if it cannot be."""
        switch.build(self.topology)
        hosts = "127.0.0.1 localhost\n::1 localhost\n" + "".join(
            f"{address.partition('/')[0]} {node.name}\n"
            for node in self.topology.nodes
            for address in (node.address4, node.address6)
        )
        for node in self.topology.nodes:
            tell(f"machine {node.name}")
            root = self._store / "nodes" / node.name
            machine.prepare(root, node.name, hosts, node.files)
            made = machine.start(node.name, root, _ROUTER, self._log(node.name, "console"))
            self._machines[node.name] = made
            switch.connect(node, made)

    def start_services(self) -> None:
        """Start every service; those that must wait, wait."""
        for node in self.topology.nodes:
            for service in node.services:
                self.supervisor.add(node.name, service)
        for key in self.supervisor.units:
            self.supervisor.start(key)

    def collect(self) -> None:
        """Collect every process that ended: ours, and the orphans a first process inherits."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            self.supervisor.ended(process, os.waitstatus_to_exitcode(status))
            shells = [one.shell for one in self._machines.values()] + [one.process for one in self._guests.values()]
            for shell in shells:
                if shell.pid == process:
                    shell.returncode = os.waitstatus_to_exitcode(status)

    def handlers(self) -> Mapping[str, Handler]:
        """Return what may be asked, by the word it is asked with."""
        return {
            "status": self.status, "enter": self.enter, "service": self.service, "node": self.node,
            "plug": self.plug, "start": self.start, "unplug": self.unplug,
        }  # fmt: skip

    async def status(self) -> dict[str, Any]:
        """Return nodes, services and guests as they are."""
        return {
            "name": self.topology.name,
            "kind": self.topology.kind,
            "environment": self.topology.environment,
            "client_path": self.topology.client_path,
            "nodes": [
                {
                    "name": node.name,
                    "address4": node.address4,
                    "address6": node.address6,
                    "guests": node.guests,
                    "state": self._state(node.name),
                }
                for node in self.topology.nodes
            ],
            "services": [_unit_status(unit) for unit in self.supervisor.units.values()],
            "guests": [_guest_status(one) for one in self._guests.values()],
        }

    async def enter(self, name: str) -> Entrance | dict[str, Any]:
        """Return a process in whose namespaces the named node or guest is.

        A QEMU guest has none to enter: of it, its ``node`` and the ``addresses`` it was booted with.
        A pod is asked for as ``NAMESPACE/NAME``.
        """
        if "/" in name:
            return Entrance(
                sandbox.process_of(name, self._machines.values()), {**self._programs, "inside": sandbox.POD_VARIABLES}
            )
        if name not in self._guests:
            return Entrance(self._machine(name).holder, {**self._programs, "inside": self.topology.inside})
        one = self._guests[name]
        self._machine(one.plug.node)
        if one.machine is None:
            return {"guest": True, "node": one.plug.node, "addresses": list(one.plug.addresses)}
        return Entrance(one.machine.holder, {"guest": True})

    async def service(self, action: str, node: str, name: str) -> dict[str, Any]:
        """Stop, start or kill a service and return its status."""
        key = f"{node}/{name}"
        if key not in self.supervisor.units:
            known = ", ".join(sorted(self.supervisor.units))
            raise LabError(f"there is no service {key}; there are {known}")
        self._machine(node)
        match action:
            case "stop":
                await self.supervisor.stop(key)
            case "kill":
                await self.supervisor.kill(key)
            case "start":
                self.supervisor.start(key)
            case _:
                raise LabError(f"a service can be stopped, started or killed, not {action!r}")
        return _unit_status(self.supervisor.units[key])

    async def node(self, action: str, name: str) -> dict[str, Any]:
        """Switch a node off or on with all that runs there, or cut it off or back on; return its status."""
        if name not in self._nodes:
            raise LabError(f"there is no node {name}; there are {', '.join(self._nodes)}")
        match action:
            case "stop" if name in self._machines:
                await self._switch_off(self._nodes[name])
            case "start" if name not in self._machines:
                await self._switch_on(self._nodes[name])
            case "fail":
                self._machine(name)
                switch.silence(self._nodes[name])
                self._silent.add(name)
            case "recover":
                self._machine(name)
                switch.restore(self._nodes[name])
                self._silent.discard(name)
            case "stop" | "start":
                pass
            case _:
                raise LabError(f"a node can be stopped, started, failed or recovered, not {action!r}")
        [found] = [one for one in (await self.status())["nodes"] if one["name"] == name]
        return dict(found)

    async def _switch_off(self, node: Node) -> None:
        power.cut_uplink(node)
        self._silent.discard(node.name)
        made = self._machines.pop(node.name)
        for one in self._of(node):
            one.process.kill()
        for service in node.services:
            await self.supervisor.kill(f"{node.name}/{service.name}")
        power.kill(made)

    async def _switch_on(self, node: Node) -> None:
        """Boot as a compute node does: what must be there before a guest, the guests, then every service."""
        root = self._store / "nodes" / node.name
        made = self._machines[node.name] = power.boot(node, root, self._log(node.name, "console"), _ROUTER)
        try:
            if node.boot:
                power.prepare_for_guests(node, made, _words(node.boot), self._log(node.name, "boot"))
            self._start_guests(node, made)
        except BuoyError:
            await self._switch_off(node)
            raise
        for service in node.services:
            self.supervisor.start(f"{node.name}/{service.name}")

    def _start_guests(self, node: Node, made: Machine) -> None:
        for one in self._of(node):
            again = guest.plug(one.plug, self._guest_root(one.plug.name), self._log(one.plug.name, "console"), made)
            self._guests[one.plug.name] = again
            if one.started:
                guest.start(again)

    def _of(self, node: Node) -> list[Guest]:
        return [one for one in self._guests.values() if one.plug.node == node.name]

    def _guest_root(self, name: str) -> Path:
        return self._store / "guests" / f"{name}.{os.urandom(4).hex()}"

    async def plug(self, **wanted: Any) -> dict[str, Any]:
        """Make a guest and its tap, silent still."""
        asked = msgspec.convert(wanted, Plug)
        if asked.name in self._guests or asked.name in self._nodes:
            raise LabError(f"there is already a machine called {asked.name}; choose another name or delete it")
        node = self._machine(asked.node)
        made = guest.plug(asked, self._guest_root(asked.name), self._log(asked.name, "console"), node)
        self._guests[asked.name] = made
        return _guest_status(made)

    async def start(self, name: str) -> dict[str, Any]:
        """Let a plugged guest boot."""
        guest.start(self._guest(name))
        return _guest_status(self._guest(name))

    async def unplug(self, name: str) -> dict[str, Any]:
        """End a guest and delete its tap; return what it was."""
        one = self._guest(name)
        guest.unplug(one, self._machines.get(one.plug.node))
        del self._guests[name]
        return _guest_status(one)

    def _state(self, name: str) -> str:
        return "off" if name not in self._machines else "failed" if name in self._silent else "on"

    def _machine(self, name: str) -> Machine:
        if name not in self._nodes:
            raise LabError(f"there is no node {name}; there are {', '.join(self._nodes)}")
        if name not in self._machines:
            raise LabError(f"node {name} is off: `buoy lab node start {name}`")
        return self._machines[name]

    def _guest(self, name: str) -> Guest:
        if name not in self._guests:
            raise LabError(f"there is no guest {name}; there are {', '.join(self._guests) or 'none'}")
        return self._guests[name]

    def _log(self, node: str, service: str) -> Path:
        place = logs(self._lab) / node / f"{service}.log"
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _spawn(self, node: str, service: Service) -> int:
        inside = into(self._machines[node].holder, "net", "mount", "uts", "ipc")
        command = _words(service.command)
        environment = {**os.environ, **service.environment, "TMPDIR": "/run/tmp"}
        with self._log(node, service.name).open("ab") as log:
            started = subprocess.Popen(
                [*inside, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, cwd="/", start_new_session=True,
            )  # fmt: skip
        started.returncode = 0  # collected by `collect`, never by its own object
        return started.pid

    async def _probe(self, unit: Unit) -> bool:
        inside = self._machines[unit.node].inside
        if not unit.process:
            return all(inside(path).exists() for path in unit.service.needs)
        ready = unit.service.ready
        if ready is None:
            return True
        address = self._nodes[unit.node].address4.partition("/")[0]
        if ready.http:
            return await switch.serves(address, ready.port, ready.http, tls=ready.tls)
        if ready.port:
            return await switch.answers(address, ready.port)
        return inside(ready.file).exists()


def _words(command: Sequence[str]) -> list[str]:
    return [word.replace("{python}", sys.executable) for word in command]


def _unit_status(unit: Unit) -> dict[str, Any]:
    return {
        "node": unit.node, "service": unit.service.name, "stage": unit.stage.value, "process": unit.process,
        "restarts": unit.restarts, "since": unit.since, "exit_code": unit.exit_code,
    }  # fmt: skip


def _guest_status(one: Guest) -> dict[str, Any]:
    state = "ended" if one.process.returncode is not None else "running" if one.started else "plugged"
    return {**msgspec.to_builtins(one.plug), "state": state}
