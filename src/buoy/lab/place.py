# SPDX-License-Identifier: Apache-2.0
"""Where a lab lives on disk, and whether it lives.

A lab is one directory under `home()`; its first process holds a lock on the
file ``lock`` in it, so a lab whose lock can be taken is dead, whatever killed it.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from buoy.lab.topology import NAME_PATTERN
from buoy.model.errors import InvalidInput


def home() -> Path:
    """Return the directory of all labs of this user: $XDG_RUNTIME_DIR, /run/user/UID, or a private one in /tmp."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    if runtime.is_absolute() and os.access(runtime, os.W_OK):
        return runtime / "buoy-lab"
    return Path(tempfile.gettempdir()) / f"buoy-lab-{os.getuid()}"


def private_home() -> Path:
    """Make the home if it is missing; raise `InvalidInput` if it is not ours alone (/tmp is everybody's)."""
    place = home()
    place.mkdir(mode=0o700, exist_ok=True)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise InvalidInput("lab directory", str(place), "it must be a directory only you can write to; move it away")
    return place


def check_name(name: str, field: str) -> str:
    """Return the name, or raise `InvalidInput` naming `field`."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInput(field, name, "use up to 32 lower-case letters, digits and dashes, such as 'testvm1'")
    return name


def directory(name: str) -> Path:
    """Return the directory of a lab, whether it exists or not."""
    return home() / check_name(name, "--name")


def control_socket(lab: Path) -> Path:
    """Return the UNIX socket of a lab's first process."""
    return lab / "control"


def logs(lab: Path) -> Path:
    """Return the directory of a lab's logs, one directory per node and guest."""
    return lab / "logs"


def names() -> list[str]:
    """Return the names of all living labs of this user, sorted."""
    try:
        found = sorted(entry.name for entry in home().iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
    return [name for name in found if re.fullmatch(NAME_PATTERN, name) and is_alive(home() / name)]


def is_alive(lab: Path) -> bool:
    """Tell whether some process holds the lab's lock."""
    try:
        with (lab / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def locked(lab: Path) -> Iterator[int]:
    """Take the lab's lock and yield its descriptor; raise `BlockingIOError` if the lab lives.

    The lock belongs to the open file, so a child that inherits the descriptor keeps it.
    """
    descriptor = os.open(lab / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def remove(lab: Path, *, keep_logs: bool = False) -> Path | None:
    """Delete a dead lab's directory, and the home if that was the last; return where the logs were kept."""
    kept = None
    if keep_logs and logs(lab).is_dir():
        kept = Path(tempfile.mkdtemp(prefix=f"buoy-lab-{lab.name}-logs-"))
        shutil.copytree(logs(lab), kept, dirs_exist_ok=True)
    shutil.rmtree(lab, ignore_errors=True)
    with suppress(OSError):  # there may be other labs
        lab.parent.rmdir()
    return kept
