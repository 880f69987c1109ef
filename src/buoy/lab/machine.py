# SPDX-License-Identifier: Apache-2.0
"""A machine of the lab: one namespace holder with its own /etc, /run, /var/lib, host name and network.

A shell sets the namespaces up and stays as their holder; who enters them names
its process. /etc is an overlay over the host's, filled before it is mounted: in
a user namespace nobody may write into a directory that belongs to the real root.
"""

import os
import select
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from buoy.model.errors import DataplaneError

_SETUP = """
set -e
hostname {name}
mount -t overlay overlay -o lowerdir=/etc,upperdir={root}/etc,workdir={root}/etc.work /etc
mount --bind {root}/lib /var/lib
mount --bind {root}/run /run
mount -t sysfs sysfs /sys 2>/dev/null || true
mount -t tmpfs -o mode=1777 tmpfs /dev/shm 2>/dev/null || true
ip link set lo up
"""
_READY_SECONDS = 10.0
_DIRECTORIES = ("etc/dropbear", "etc.work", "lib/buoy", "run/buoy", "run/lock", "run/home/core", "run/home/cirros")
_PASSWORDS = """root::0:0:root:/root:/bin/bash
core::0:0:Buoy lab:/run/home/core:/run/bin/shell
cirros::0:0:Buoy lab:/run/home/cirros:/run/bin/shell
nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
# in a user namespace there is no other user to become, and Debian's tcpdump insists on one
_TCPDUMP = '#!/bin/sh\nexec /usr/bin/tcpdump -Z root "$@"\n'
_SUDO = '#!/bin/sh\nexec "$@"\n'
# who logs in by SSH gets a PATH without /run/bin from the server
_SHELL = """#!/bin/sh
export PATH=/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PS1='$ '
exec /bin/sh "$@"
"""
_SSH = """Host *
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    ConnectTimeout 10
"""


class Machine(msgspec.Struct, kw_only=True):
    """A running machine; `holder` is the process whose namespaces are the machine's, `shell` the one we started."""

    name: str
    root: Path
    shell: subprocess.Popen[bytes]
    holder: int

    def inside(self, path: str) -> Path:
        """Return where a path of the machine is found from the lab's first process."""
        return Path(f"/proc/{self.holder}/root{path}")


def start(name: str, root: Path, script: str, log: Path, *, own_processes: bool = False) -> Machine:
    """Make the namespaces, run `script` in them after the set-up, and return once it has printed its first line.

    The script must print one line when it is ready and must not end; its complaints go to the file `log`.
    Raises `DataplaneError` with what it printed if it ends or is silent for too long.
    """
    # a machine with processes of its own takes them along when its first one ends
    fork = ["--pid", "--fork", "--kill-child", "--mount-proc"] if own_processes else []
    command = ["unshare", "--net", "--mount", "--uts", "--ipc", *fork, "--propagation", "private"]
    (root / "init").write_text(_SETUP.format(name=name, root=root) + script)
    with log.open("ab") as complaints:
        shell = subprocess.Popen(
            [*command, "/bin/sh", str(root / "init")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, cwd="/", start_new_session=True,
        )  # fmt: skip
    _await_line(name, log, shell)
    holder = _first_child(shell.pid) if own_processes else shell.pid
    return Machine(name=name, root=root, shell=shell, holder=holder)


def prepare(root: Path, name: str, hosts: str, files: Mapping[str, str]) -> None:
    """Write the machine's private files below `root`."""
    for directory in _DIRECTORIES:
        (root / directory).mkdir(parents=True)
    _make_tmp(root)
    everywhere = {
        "/etc/hostname": f"{name}\n", "/etc/hosts": hosts, "/etc/passwd": _PASSWORDS,
        "/etc/group": "root:x:0:\nnogroup:x:65534:\n", "/etc/shadow": "",
        "/etc/shells": "/bin/sh\n/bin/bash\n/run/bin/shell\n",
        "/etc/ssh/ssh_config.d/lab.conf": _SSH, "/etc/resolv.conf": "",
    }  # fmt: skip
    for path, text in (everywhere | dict(files)).items():
        place = located(root, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    for program, text in (("sudo", _SUDO), ("tcpdump", _TCPDUMP), ("shell", _SHELL)):
        place = root / "run/bin" / program
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
        place.chmod(0o755)


def empty_run(root: Path) -> None:
    """Leave of /run what a boot finds there: the programs and homes that the lab keeps in it, and empty directories."""
    for entry in (root / "run").iterdir():
        if entry.is_dir() and not entry.is_symlink():
            if entry.name not in {"bin", "home"}:
                shutil.rmtree(entry)
        else:
            entry.unlink()
    shutil.rmtree(root / "etc.work")  # of the overlay that went with the mount namespace
    for directory in _DIRECTORIES:
        (root / directory).mkdir(parents=True, exist_ok=True)
    _make_tmp(root)


def _make_tmp(root: Path) -> None:
    (root / "run/tmp").mkdir()
    (root / "run/tmp").chmod(0o1777)  # what mkdir is told, the umask takes from


def located(root: Path, path: str) -> Path:
    """Return where a machine's private file lies below its root; raise ValueError if the path is not private."""
    for place, own in (("/etc/", "etc"), ("/run/", "run"), ("/var/lib/", "lib")):
        if path.startswith(place):
            return root / own / path.removeprefix(place)
    raise ValueError(f"{path} is not a private path of a machine")


def _await_line(name: str, log: Path, shell: "subprocess.Popen[bytes]") -> None:
    assert shell.stdout is not None
    readable, _, _ = select.select([shell.stdout], [], [], _READY_SECONDS)
    if readable and os.read(shell.stdout.fileno(), 4096):
        return
    shell.kill()
    raise DataplaneError(f"setting up {name}", log.read_text() or "it said nothing")


def _first_child(process: int) -> int:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    if not children:
        raise DataplaneError(f"process {process}", "it has no child; did it end?")
    return int(children[0])
