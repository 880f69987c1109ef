# SPDX-License-Identifier: Apache-2.0
"""The responder: answers every guest of this host from the guest's own file.

Promises: no lease, no memory, so kill -9 and start lose nothing; a file it cannot
use costs one line in the log and touches that guest only, who keeps what it was
told before.
Tricky: what changed is read before what is asked. Links and files are taken in
first, then frames: a tap was announced before its first frame arrived, and an
answer given after a file was renamed into place is by that file.
"""

import select
import time
from pathlib import Path
from typing import Protocol

import msgspec

from buoy.dataplane import dhcp_directory
from buoy.dataplane.dhcp_links import LinkMirror
from buoy.dataplane.dhcp_schedule import Allowance, Schedule
from buoy.dataplane.dhcp_socket import GuestSocket, open_sockets
from buoy.dataplane.dhcp_watch import DirectoryWatch
from buoy.model.address import Prefix
from buoy.model.errors import InvalidInput
from buoy.model.guest import GuestConfig
from buoy.render.dhcp import answer, check
from buoy.render.dhcp_ra import advertisement

_ADVERTISEMENTS_AT_ONCE = 64
"""At a start with thousands of guests their questions come before our unasked advertisements."""


class Report(Protocol):
    """Where the responder tells what a person may want to know; a logger's method."""

    def __call__(self, event: str, **fields: str) -> object:
        """Tell of one event."""


class Responder:
    """All guests of one network namespace."""

    def __init__(self, directory: Path, report: Report) -> None:
        self._directory = directory
        self._report = report
        self._configs: dict[str, GuestConfig] = {}
        self._served: set[str] = set()
        self._schedule = Schedule()
        self._allowance = Allowance()
        self._sockets = open_sockets()
        self._links = LinkMirror()
        self._watch = DirectoryWatch(directory)
        self._poll = select.poll()
        for source in (self._links, self._watch, *self._sockets):
            self._poll.register(source.fileno(), select.POLLIN)
        self._learn(time.monotonic())

    @property
    def guests(self) -> int:
        """How many guests have a usable file."""
        return len(self._configs)

    def turn(self, longest: float | None = None) -> None:
        """Wait for something to do, at most `longest` seconds, and do it."""
        wait = self._schedule.wait(time.monotonic())
        limits = [limit for limit in (wait, longest) if limit is not None]
        self._poll.poll(min(limits) * 1000 if limits else None)
        now = time.monotonic()
        self._learn(now)
        for asked in self._sockets:
            self._answer(asked, now)
        for interface in self._schedule.take(now, _ADVERTISEMENTS_AT_ONCE):
            self._advertise(self._configs[interface])

    def close(self) -> None:
        """Give all descriptors back."""
        for source in (self._links, self._watch, *self._sockets):
            source.close()

    def _learn(self, now: float) -> None:
        for interface in self._links.drain():
            if interface in self._configs:
                self._greet(interface, now)
        for interface in self._watch.changed():
            self._reload(interface, now)

    def _greet(self, interface: str, now: float) -> None:
        """An interface or its configuration is new: the guest there has not heard of us."""
        self._served.discard(interface)
        if self._configs[interface].offers6:
            self._schedule.put(interface, now)
        else:
            self._schedule.drop(interface)

    def _reload(self, interface: str, now: float) -> None:
        try:
            config = dhcp_directory.read(self._directory, interface)
            wrong = check(config) if config is not None else ()
        except (InvalidInput, OSError) as error:
            file = f"{self._directory / interface}.json"
            self._report("file refused; the guest keeps its last one", file=file, error=str(error))
            return
        for problem in wrong:
            self._report("option left out", interface=interface, error=str(problem))
        before = self._configs.get(interface)
        if config is None:
            self._forget(interface)
        elif config != before:
            self._configs[interface] = config
            self._greet(interface, now)
        if before is not None:
            self._take_back(before, config)

    def _forget(self, interface: str) -> None:
        self._configs.pop(interface, None)
        self._served.discard(interface)
        self._schedule.drop(interface)
        self._allowance.drop(interface)
        self._watch.forget(interface)

    def _take_back(self, before: GuestConfig, after: GuestConfig | None) -> None:
        """Tell the guest at once which prefixes it has lost."""
        kept = {offer.subnet for offer in after.offers6} if after is not None else set()
        gone = [offer.subnet for offer in before.offers6 if offer.subnet not in kept]
        if gone:
            self._advertise(after if after is not None else msgspec.structs.replace(before, offers6=()), gone)

    def _answer(self, asked: GuestSocket, now: float) -> None:
        for interface, frame in asked.frames():
            config = self._configs.get(interface)
            station = self._links.station(interface)
            if config is None or station is None or not self._allowance.take(interface, now):
                continue
            reply = answer(config, station, frame)
            if reply is not None:
                self._send(asked, interface, reply)
                self._note(interface)

    def _advertise(self, config: GuestConfig, gone: list[Prefix] | None = None) -> None:
        station = self._links.station(config.interface)
        if station is not None and self._links.is_up(config.interface):
            self._send(self._sockets[1], config.interface, advertisement(config, station, gone=gone or ()))

    def _send(self, by: GuestSocket, interface: str, frame: bytes) -> None:
        try:
            by.send(interface, frame)
        except OSError as error:
            # the interface went while we wrote; if it comes again its guest asks again
            self._report("not sent", interface=interface, error=str(error))

    def _note(self, interface: str) -> None:
        if interface not in self._served:
            self._served.add(interface)
            self._report("first answer", interface=interface)
