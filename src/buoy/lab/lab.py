# SPDX-License-Identifier: Apache-2.0
"""A lab, as the command line, the demo, the tests and the benchmarks use it.

Stands on nothing but the lab's control socket and `nsenter`, so it can be made
anew for a running lab at any time, in any process: `Lab(name)`.
"""

import os
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from buoy.lab import control, kube_binaries, kubernetes, launch, login, openstack, place
from buoy.lab.command import into
from buoy.lab.control import LabError
from buoy.lab.kubernetes import Plan
from buoy.lab.launch import Told, needs_user_namespace

DEFAULT_NAME = "openstack"
_UP_SECONDS = 120.0


def _silently(news: dict[str, Any]) -> None:
    """Hear of progress and say nothing."""


class Lab:
    """The lab called `name`, running or not."""

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        self.name = name
        self.directory = place.directory(name)

    def up(self, nodes: int = 2, without: Collection[str] = (), tell: Told = _silently) -> "Lab":
        """Build the OpenStack lab and return once every service is ready; raise `LabError`, leaving nothing."""
        launch.start(openstack.topology(self.name, nodes, without), tell, _UP_SECONDS)
        return self

    def up_kubernetes(self, plan: Plan | None = None, tell: Told = _silently) -> "Lab":
        """Build a Kubernetes lab, its programs first if they never were; otherwise as `up`."""
        programs = kube_binaries.provide(lambda text: tell({"preparing": text}))
        launch.start(kubernetes.topology(self.name, plan or Plan(), programs), tell, _UP_SECONDS)
        return self

    def down(self, *, keep_logs: bool = False) -> Path | None:
        """End the lab; return when nothing of it is left, with the place of its logs if they are kept."""
        return launch.stop(self.directory, keep_logs=keep_logs)

    def is_up(self) -> bool:
        """Tell whether the lab lives."""
        return place.is_alive(self.directory)

    def status(self) -> dict[str, Any]:
        """Return nodes, services and guests; keys as in ``buoy lab status --output json``."""
        return dict(self._ask("status"))

    def env(self) -> dict[str, str]:
        """Return the variables by which clients on the host reach the lab, PATH included."""
        status = self.status()
        return {**status["environment"], "PATH": _client_path(status["client_path"])}

    def command(self, machine: str, command: Sequence[str]) -> list[str]:
        """Return the words that run a command (none: a shell) in a node or guest when executed on the host.

        Raises `LabError` for a QEMU guest whose SSH server does not answer, saying what to do.
        """
        about, descriptor = self._ask_for_process("enter", name=machine)
        if descriptor is None:
            return self._log_in(machine, about, command)
        command = command or ("bash", "--norc", "-i")
        process = _process_of(descriptor)
        namespaces = ["mount", "uts", "ipc", "net", "pid"]
        user = ["--user", "--preserve-credentials"] if needs_user_namespace() else []
        variables = [f"{name}={value}" for name, value in _inside(machine, about).items()]
        return [*into(process, *namespaces), *user, "--wdns=/", "env", *variables, *command]

    def _log_in(self, guest: str, about: Mapping[str, Any], command: Sequence[str]) -> list[str]:
        def answers(node: str, probe: Sequence[str]) -> bool:
            return not self.exec(node, *probe, check=False).returncode

        [console] = self.log_files(guest, "console")
        addresses = login.told_addresses(console.read_text(errors="replace")) or about["addresses"]
        # its own node is the nearest; the access node is whom the documents let in
        node, address = login.way(guest, (about["node"], openstack.ACCESS), addresses, answers)
        return self.command(node, login.words(address, command))

    def exec(
        self, machine: str, *command: str, text: str | None = None, timeout: float = 60, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in a node or guest; with `check` raise `LabError` with its words if it fails."""
        done = subprocess.run(
            self.command(machine, command), input=text, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            words = (done.stderr or done.stdout).strip()
            raise LabError(f"{' '.join(command)} on {machine}: exit code {done.returncode}: {words}")
        return done

    def client(self, *command: str, timeout: float = 60, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a client such as ``openstack`` on the host with the lab's variables."""
        variables = {**os.environ, **self.env()}
        done = subprocess.run(
            list(command), capture_output=True, text=True, timeout=timeout, env=variables, check=False
        )
        if check and done.returncode:
            raise LabError(f"{' '.join(command)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done

    def service(self, action: str, node: str, name: str) -> dict[str, Any]:
        """``stop``, ``start`` or ``kill`` (kill -9, no restart) a service; return its status."""
        return dict(self._ask("service", action=action, node=node, name=name))

    def node(self, action: str, name: str) -> dict[str, Any]:
        """``stop`` (as a power cut), ``start``, ``fail`` (silent, but running) or ``recover`` a node.

        Returns its status.
        """
        return dict(self._ask("node", action=action, name=name))

    def services(self) -> list[dict[str, Any]]:
        """Return the status of every service."""
        return list(self.status()["services"])

    def wait_ready(self, node: str, name: str, timeout: float = 30) -> None:
        """Wait until a service is ready; raise `LabError` with its stage if it is not in time."""
        deadline = time.monotonic() + timeout
        while True:
            [unit] = [one for one in self.services() if (one["node"], one["service"]) == (node, name)]
            if unit["stage"] == "ready":
                return
            if time.monotonic() > deadline:
                stage = unit["stage"]
                raise LabError(f"{name} on {node} is {stage} after {timeout:g} s: `buoy lab logs {node} {name}`")
            time.sleep(0.02)

    def plug(self, **wanted: Any) -> dict[str, Any]:
        """Make a guest and its tap without Neutron: `name`, `node`, `interface`, `mac`; see `guest.Plug`."""
        return dict(self._ask("plug", **wanted))

    def start_guest(self, name: str) -> None:
        """Let a plugged guest boot."""
        self._ask("start", name=name)

    def unplug(self, name: str) -> dict[str, Any]:
        """End a guest and delete its tap."""
        return dict(self._ask("unplug", name=name))

    def log_files(self, machine: str, service: str | None = None) -> list[Path]:
        """Return a machine's log files, sorted; raise `LabError` if there is none of that name."""
        every = {(file.parent.name, file.stem): file for file in sorted(place.logs(self._alive()).glob("*/*.log"))}
        found = [file for key, file in every.items() if key[0] == machine and service in (None, key[1])]
        if not found:
            known = {stem for name, stem in every if name == machine} or {name for name, _ in every}
            raise LabError(f"no log of {service or 'anything'} on {machine}; there is {', '.join(sorted(known))}")
        return found

    def _ask(self, do: str, **arguments: Any) -> Any:
        return self._ask_for_process(do, **arguments)[0]

    def _ask_for_process(self, do: str, **arguments: Any) -> tuple[Any, int | None]:
        try:
            return control.ask(self._alive(), do, **arguments)
        except (FileNotFoundError, ConnectionError) as error:
            # the lock is held from the first to the last moment, the socket is not
            raise LabError(f"lab {self.name} is coming up or going down: ask again in a moment") from error

    def _alive(self) -> Path:
        if not self.is_up():
            known = ", ".join(place.names()) or "none"
            remedy = "start one with `buoy lab up openstack` or `buoy lab up kubernetes`"
            raise LabError(f"there is no lab called {self.name} (up: {known}): {remedy}")
        return self.directory


def _process_of(descriptor: int) -> int:
    """Return the process id, as we see it, of a pidfd, and close it."""
    try:
        for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "Pid" and int(value) > 0:
                return int(value)
    finally:
        os.close(descriptor)
    raise LabError("the machine has just ended")


def _client_path(first: Sequence[str]) -> str:
    checkout = Path(__file__).parents[3]
    environments = (".venv-openstack", ".venv-legacy", ".venv")
    ours = [str(checkout / name / "bin") for name in environments if (checkout / name / "bin").is_dir()]
    return ":".join([*first, *ours, launch.search_path()])


def _inside(machine: str, about: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the variables of a command inside a machine: clients speak to the controller itself there."""
    if about["guest"]:
        return {"PATH": f"/run/bin:{launch.SYSTEM_PATH}", "HOME": "/run/home/cirros"}
    path = f"/run/bin:{_client_path(about['client_path'])}"
    return {"PATH": path, "HOME": "/run/home/core", **about["inside"], "PS1": f"core@{machine}$ "}
