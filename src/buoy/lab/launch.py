# SPDX-License-Identifier: Apache-2.0
"""Starting and ending a lab from outside.

Nothing is left by an interrupted start, at any point: until the lab was told to
stay, its first process ends when its starter ends, however that comes about.
"""

import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from buoy.lab import place, topology
from buoy.lab.control import LabError
from buoy.lab.init import STAY
from buoy.lab.topology import Topology

PROGRAMS = {
    "unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "bird": "bird2", "etcd": "etcd-server",
    "busybox": "busybox", "dropbear": "dropbear-bin", "dhcpcd": "dhcpcd-base",
}  # fmt: skip
"""Programs a lab runs, and the Debian package each is in."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Told = Callable[[dict[str, Any]], None]
"""Hears of progress: ``{"preparing": TEXT}``, ``{"doing": TEXT}``, ``{"ready": SERVICE}``, last ``{"up": true}``.

After that the lab stays, whatever happens to its starter."""
_AS_ROOT = ("--user", "--map-root-user")
_LAST_LINES = 12


def start(wanted: Topology, tell: Told, timeout: float) -> Path:
    """Build a lab and return its directory once every service is ready.

    Raises `LabError` with the reason if it cannot be, and then nothing is left;
    so also after KeyboardInterrupt.
    """
    check_host()
    lab = place.private_home() / place.check_name(wanted.name, "--name")
    with ExitStack() as open_files:
        try:
            lab.mkdir(mode=0o700, exist_ok=True)
            lock = open_files.enter_context(place.locked(lab))
        except BlockingIOError as error:
            raise LabError(f"a lab called {wanted.name} is up: use it, `buoy lab down`, or another --name") from error
        ours, theirs = socket.socketpair()
        open_files.callback(ours.close)
        open_files.callback(theirs.close)
        try:
            _sweep(lab)
            _unshare(lab, wanted, lock, theirs)
            _follow(ours, lab, tell, time.monotonic() + timeout)
            ours.sendall(STAY)
        except BaseException:
            with undisturbed():
                open_files.close()
                stop(lab)
            raise
    return lab


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C: an interrupted clean-up would leave what it was to clean."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interrupts() -> None:
    """What was made stays from here on: an interrupt now would say that nothing is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def deferred() -> Iterator[None]:
    """Put off Ctrl-C to the end of the block: what was begun is then either done and known, or not done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            signal.raise_signal(signal.SIGINT)


def stop(lab: Path, *, keep_logs: bool = False) -> Path | None:
    """End a lab, wait until nothing of it is left, and return where its logs were kept."""
    process = first_process(lab)
    if process is not None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while place.is_alive(lab):
        if time.monotonic() > deadline:
            raise LabError(f"{lab.name} does not end; look for processes of {lab}")
        time.sleep(0.005)
    return place.remove(lab, keep_logs=keep_logs)


def first_process(lab: Path) -> int | None:
    """Return the lab's first process as we see it, None if it does not listen (any more)."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(place.control_socket(lab)))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[0])


def needs_user_namespace() -> bool:
    """Tell whether the lab must make itself root of a user namespace."""
    return os.geteuid() != 0


def check_host() -> None:
    """Raise `LabError` naming what the host lacks for a lab."""
    check_programs(PROGRAMS)
    if needs_user_namespace() and not _can_unshare(*_AS_ROOT):
        raise LabError(
            "this system lets only root make namespaces: run it with sudo, or allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
        )


def check_programs(packages: Mapping[str, str]) -> None:
    """Raise `LabError` naming the programs that are missing and the Debian packages they are in."""
    path = search_path()
    missing = [program for program in packages if shutil.which(program, path=path) is None]
    if missing:
        wanted = " ".join(sorted({packages[program] for program in missing}))
        raise LabError(f"{', '.join(missing)} not found: apt-get install {wanted}")


def user_namespace() -> tuple[str, ...]:
    """Return what `unshare` needs to make us root: nothing if we are, else as many user ids as the system lends us.

    With a single one there is no SSH: a server must be able to set groups (`newuidmap` and /etc/subuid allow it).
    """
    if not needs_user_namespace():
        return ()
    many = (*_AS_ROOT, "--map-auto")
    return many if _can_unshare(*many) else _AS_ROOT


def _can_unshare(*options: str) -> bool:
    return subprocess.run(["unshare", *options, "true"], capture_output=True, check=False).returncode == 0


def search_path() -> str:
    """Return PATH with the directories of system programs, which users often lack."""
    own = os.environ.get("PATH", "").split(":")
    return ":".join(dict.fromkeys([*own, *SYSTEM_PATH.split(":")]))


def _unshare(lab: Path, wanted: Topology, lock: int, theirs: socket.socket) -> None:
    listeners = {name: _listener() for name in wanted.relays}
    ports = {name: f"127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
    environment = {name: value.format_map(ports) for name, value in wanted.environment.items()}
    wanted = msgspec.structs.replace(wanted, environment=environment)
    (lab / "topology.json").write_bytes(topology.write(wanted))
    for name, text in wanted.client_files.items():
        (lab / name).touch(mode=0o600)
        (lab / name).write_text(text.format_map(ports))
    place.logs(lab).mkdir()
    # forked off, so that the lab is nobody's child but the system's
    apart = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    init = [sys.executable, "-m", "buoy.lab.init", str(lab), "--starter", str(theirs.fileno())]
    relays = [word for listener in listeners.values() for word in ("--relay", str(listener.fileno()))]
    command = ["setsid", "--fork", "unshare", *user_namespace(), *apart, "--propagation", "private", *init, *relays]
    descriptors = (lock, theirs.fileno(), *(listener.fileno() for listener in listeners.values()))
    with (place.logs(lab) / "lab.log").open("ab") as log:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            pass_fds=descriptors, env=_environment(), check=True,
        )  # fmt: skip
    theirs.close()
    for listener in listeners.values():
        listener.close()


def _environment() -> dict[str, str]:
    sources = [str(Path(__file__).parents[2]), *os.environ.get("PYTHONPATH", "").split(":")]
    python_path = ":".join(dict.fromkeys(filter(None, sources)))
    return {**os.environ, "PATH": search_path(), "PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1"}


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def _sweep(lab: Path) -> None:
    """Remove what a dead lab of the same name left, but for the lock we hold."""
    for entry in lab.iterdir():
        if entry.name != "lock":
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _follow(ours: socket.socket, lab: Path, tell: Told, deadline: float) -> None:
    wanted = topology.read((lab / "topology.json").read_bytes())
    required = (f"{node.name}/{one.name}" for node in wanted.nodes for one in node.services if not one.optional)
    waiting = dict.fromkeys(required)
    reason = ""
    for news in _news(ours, deadline):
        if "up" in news:
            tell(news)
            return
        if "failed" in news:
            reason = news["failed"]
            waiting |= dict.fromkeys(news.get("crashed", ()))
            break
        waiting.pop(news.get("ready", ""), None)
        tell(news)
    if not reason:
        late = time.monotonic() >= deadline
        reason = f"{', '.join(waiting)} not ready in time" if late else "the lab's first process ended"
    raise LabError(reason + _last_words(lab, [*waiting, "logs/lab"]))


def _last_words(lab: Path, keys: Iterable[str]) -> str:
    """Return the ends of the logs of services that are not ready: the files go with the lab that did not come up."""
    words = []
    for key in keys:
        log = place.logs(lab) / f"{key}.log" if key != "logs/lab" else place.logs(lab) / "lab.log"
        if log.exists() and (text := log.read_text(errors="replace").strip()):
            words.append(f"\n--- {key}\n" + "\n".join(text.splitlines()[-_LAST_LINES:]))
    return "".join(words)


def _news(ours: socket.socket, deadline: float) -> Iterator[dict[str, Any]]:
    """Yield what the first process says until it ends or the deadline is past."""
    raw = b""
    while True:
        readable, _, _ = select.select([ours], [], [], max(0.0, deadline - time.monotonic()))
        chunk = ours.recv(65536) if readable else b""
        if not chunk:
            return
        *lines, raw = (raw + chunk).split(b"\n")
        for line in lines:
            yield msgspec.json.decode(line, type=dict[str, Any])
