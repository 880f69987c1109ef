# SPDX-License-Identifier: Apache-2.0
"""Whether it is our BIRD that listens on BGP's port.

Reads only. The tricky thing: BIRD goes on without the port if another has it, and one that was killed leaves
its control socket; so the port's owner is looked for among BIRD's own sockets. From another container they
cannot be seen: then BIRD's own word counts.
"""

import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from buoy.dataplane.bird import BirdSpeaker
from buoy.model import ownership
from buoy.model.errors import DataplaneError

PORT = 179
_LISTENING = "0A"
_UNHEARD = "No listening socket"
"""BIRD's words of a session for which it could not open the port."""
_UCRED = struct.Struct("=iII")


def taken() -> bool:
    """Tell whether anybody listens on the port, at whatever address."""
    return PORT in _listeners().values()


def ours() -> frozenset[int]:
    """Return the ports on which our BIRD listens for BGP; none if it does not run."""
    process = _bird()
    if process is None:
        return frozenset()
    listeners = _listeners()
    try:
        held = [link.readlink().name for link in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return frozenset({PORT}) if _is_content() else frozenset()
    return frozenset(listeners[name] for name in held if name in listeners)


def _listeners() -> Mapping[str, int]:
    """Return the ports of TCP sockets that listen, by how /proc names these."""
    return dict(found for table in ("tcp", "tcp6") for found in _table(Path("/proc/net", table)))


def _table(path: Path) -> Iterator[tuple[str, int]]:
    if not path.exists():
        return
    for line in path.read_text().splitlines()[1:]:
        # proc(5): sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
        _, local, _, state, *_, inode = line.split()[:10]
        if state == _LISTENING:
            yield f"socket:[{inode}]", int(local.rpartition(":")[2], 16)


def _bird() -> int | None:
    """Return the process behind BIRD's control socket, 0 if it is of another container, None if there is none."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(ownership.BIRD_SOCKET)
            told = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:
            return None
    process: int = _UCRED.unpack(told)[0]
    return process


def _is_content() -> bool:
    """Tell whether BIRD has BGP sessions, and misses the port for none."""
    try:
        sessions = BirdSpeaker().sessions()
    except DataplaneError:
        return False
    return bool(sessions) and not any(_UNHEARD in session.error for session in sessions)
