# SPDX-License-Identifier: Apache-2.0
"""Which guests' files changed, told by the kernel (inotify).

Promises: after `changed` returned, every file that was complete before the call
has been named once since it last changed; also when the directory was removed and
made again, or when so much happened that the kernel lost count.
"""

import contextlib
import os
from pathlib import Path

from inotify_simple import INotify, flags  # type: ignore[import-untyped]

from buoy.dataplane import dhcp_directory

_MASK = (
    flags.MOVED_TO
    | flags.MOVED_FROM
    | flags.CLOSE_WRITE
    | flags.DELETE
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
)
_LOST = flags.Q_OVERFLOW | flags.IGNORED | flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT
_OF_THE_QUEUE = -1


class DirectoryWatch:
    """Names of interfaces whose file came, went or changed; at first, all that have one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: set[str] = set()
        self._inotify = INotify(nonblocking=True)
        self._watch = -1
        self._lost = True

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when something changed."""
        return int(self._inotify.fileno())

    def changed(self) -> set[str]:
        """Return the interfaces to read again, without waiting."""
        names = set()
        for event in self._inotify.read(timeout=0):
            if event.wd not in (self._watch, _OF_THE_QUEUE):
                continue
            self._lost |= bool(event.mask & _LOST)
            interface = dhcp_directory.interface_of(event.name)
            if interface:
                names.add(interface)
        if self._lost:
            names |= self._known | self._start()
        self._known |= names
        return names

    def forget(self, interface: str) -> None:
        """Take note that this interface has no file any more."""
        self._known.discard(interface)

    def close(self) -> None:
        """Give the descriptor back."""
        self._inotify.close()

    def _start(self) -> set[str]:
        """Watch, then list: a file that comes in between is named twice rather than never."""
        self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        # the old one may be alive still, on a directory that was moved away
        with contextlib.suppress(OSError):
            self._inotify.rm_watch(self._watch)
        self._watch = self._inotify.add_watch(os.fspath(self._directory), _MASK)
        self._lost = False
        return set(dhcp_directory.interfaces(self._directory))
