# SPDX-License-Identifier: Apache-2.0
"""Pods as the kernel has them: a process in a network namespace of its own, a veth pair, a route to each address.

Promises that a pod outlives the kubelet that made it and is found by the next one, and that one half made
is undone by it. The tricky thing is the node's end of the pair: its address is of link scope, so that
kube-proxy's masquerading takes the node's own, as with Calico.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from buoy.lab.command import ip_batch
from buoy.lab.control import LabError
from buoy.lab.machine import Machine
from buoy.lab.pod_program import ACCOUNT_DIRECTORY, CLUSTER
from buoy.model.errors import DataplaneError

POD_VARIABLES = {**CLUSTER, "KUBECONFIG": ""}
"""What a command in a pod gets; a person's own cluster is not a pod's."""
DIRECTORY, LOGS = "/run/kubelet/pods", "/run/kubelet/logs"
_SERVER = Path(__file__).with_name("pod_server.py")
_GATEWAY4, _GATEWAY6 = "169.254.1.1", "fe80::1"
_RUNNER = Path(__file__).with_name("pod_runner.py")
_OWN_NETWORK = """
hostname "$0"
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
"""
_OWN_ACCOUNT = """
mkdir -p {place}
mount --bind {account} {place}
"""
_OWN_DIRECTORY = """
mkdir -p {place} && mount -t tmpfs -o mode=777 emptydir {place} || exit
"""
_GO = """
echo made
ip -batch - && exec "$@"
"""


class Sandbox(msgspec.Struct, kw_only=True):
    """A pod's place; `addresses` are IPv4 and IPv6, none with the node's network; `host` are the node's.

    A `program` runs what is ordered in the file ``UID.orders`` and has the account in the directory ``UID.account``;
    in its `directories`, empty at first, nobody else writes.
    """

    uid: str
    namespace: str
    name: str
    addresses: tuple[str, ...]
    host: tuple[str, ...]
    ports: tuple[str, ...]
    process: int = 0
    program: bool = False
    directories: tuple[str, ...] = ()
    complete: bool = False

    @property
    def interface(self) -> str:
        """The node's end of the pair."""
        return f"pod{self.uid.replace('-', '')[:11]}"


def make(wanted: Sandbox, directory: Path, log: Path) -> Sandbox:
    """Start a pod and return it once it listens; raise `DataplaneError`, leaving nothing."""
    with log.open("ab") as complaints:
        shell = subprocess.Popen(
            _command(wanted, directory), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
            cwd="/", start_new_session=True, text=True,
        )  # fmt: skip
    assert shell.stdin is not None
    assert shell.stdout is not None
    made = msgspec.structs.replace(wanted, process=shell.pid)
    _write(directory, made)
    try:
        _expect(shell.stdout.readline(), "made", log)
        if made.addresses:
            ip_batch(_node_side(made))
            shell.stdin.write("".join(f"{line}\n" for line in _pod_side(made)))
        shell.stdin.close()
        _expect(shell.stdout.readline(), "listening", log)
    except (DataplaneError, OSError):
        remove(made, directory)
        raise
    shell.stdout.close()
    made.complete = True
    _write(directory, made)
    return made


def _command(wanted: Sandbox, directory: Path) -> list[str]:
    """Return what becomes the pod, once it is given its half of the pair's configuration."""
    apart: list[str] = []
    script = ""
    words = [str(_SERVER), wanted.name, wanted.uid, *wanted.ports]
    if wanted.addresses:
        apart, script = ["--net", "--uts"], _OWN_NETWORK
    if wanted.program:
        apart = [*apart, "--mount"]
        script += "".join(_OWN_DIRECTORY.format(place=shlex.quote(place)) for place in wanted.directories)
        script += _OWN_ACCOUNT.format(account=beside(directory, wanted.uid, "account"), place=ACCOUNT_DIRECTORY)
        files = [str(beside(directory, wanted.uid, kind)) for kind in ("orders", "ready")]
        words = [str(_RUNNER), wanted.name, wanted.uid, *files]
    return ["unshare", *apart, "/bin/sh", "-c", script + _GO, wanted.name, sys.executable, "-I", "-S", *words]


def end(sandbox: Sandbox) -> None:
    """Tell a pod to end by itself."""
    if is_alive(sandbox):
        with contextlib.suppress(ProcessLookupError):
            os.kill(sandbox.process, signal.SIGTERM)


def is_ready(sandbox: Sandbox, directory: Path) -> bool:
    """Tell whether a program says that it is ready."""
    return beside(directory, sandbox.uid, "ready").exists() and is_alive(sandbox)


def beside(directory: Path, uid: str, kind: str) -> Path:
    """Return where a pod's ``orders``, ``account`` or ``ready`` is in a kubelet's directory."""
    return directory / f"{uid}.{kind}"


def remove(sandbox: Sandbox, directory: Path) -> None:
    """End a pod and take its link away; one that is gone is a success."""
    if is_alive(sandbox):
        with contextlib.suppress(ProcessLookupError):
            os.kill(sandbox.process, signal.SIGKILL)
    with contextlib.suppress(DataplaneError):  # the namespace takes the pair along when it goes
        ip_batch([f"link delete {sandbox.interface}"])
    shutil.rmtree(beside(directory, sandbox.uid, "account"), ignore_errors=True)
    for kind in ("orders", "ready", "json"):
        beside(directory, sandbox.uid, kind).unlink(missing_ok=True)


def is_alive(sandbox: Sandbox) -> bool:
    """Tell whether the pod's own process lives; another one may have got its number."""
    try:
        state = Path(f"/proc/{sandbox.process}/stat").read_text().rpartition(")")[2].split()[0]
        words = Path(f"/proc/{sandbox.process}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and sandbox.uid.encode() in words


def read(directory: Path) -> Iterator[Sandbox]:
    """Yield every pod in a kubelet's directory, complete or not; there may be no such directory."""
    for file in sorted(directory.glob("*.json")):
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):  # it may just go
            yield msgspec.json.decode(file.read_bytes(), type=Sandbox)


def process_of(pod: str, machines: Iterable[Machine]) -> int:
    """Return the process of the pod ``NAMESPACE/NAME`` on any of the machines; raise `LabError` if it runs on none."""
    for machine in machines:
        for found in read(machine.inside(DIRECTORY)):
            if f"{found.namespace}/{found.name}" == pod:
                return found.process
    raise LabError(f"there is no pod {pod}: `buoy lab pod list` shows those there are")


def _expect(line: str, word: str, log: Path) -> None:
    if line.strip() != word:
        raise DataplaneError("starting a pod", log.read_text().strip() or "it ended")


def _write(directory: Path, sandbox: Sandbox) -> None:
    place = beside(directory, sandbox.uid, "json")
    unfinished = place.with_suffix(".new")
    unfinished.write_bytes(msgspec.json.encode(sandbox))
    unfinished.rename(place)


def _node_side(sandbox: Sandbox) -> list[str]:
    link = sandbox.interface
    return [
        f"link add {link} type veth peer name eth0 netns {sandbox.process}",
        f"address add {_GATEWAY4}/32 dev {link} scope link",
        f"address add {_GATEWAY6}/64 dev {link} nodad",
        f"link set {link} up",
        *(
            f"route add {address} dev {link} src {source}"
            for address, source in zip(sandbox.addresses, sandbox.host, strict=True)
        ),
    ]


def _pod_side(sandbox: Sandbox) -> list[str]:
    lines = ["link set eth0 up", f"route add {_GATEWAY4} dev eth0 scope link"]
    for address in sandbox.addresses:
        lines.append(f"address add {address} dev eth0" + (" nodad" if ":" in address else ""))
        lines.append(f"route add default via {_GATEWAY6 if ':' in address else _GATEWAY4} dev eth0")
    return lines
