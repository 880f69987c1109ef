# SPDX-License-Identifier: Apache-2.0
"""The DHCP driver: what guests are told, as files the responder reads.

Promises: one guest's change touches one file, and the responder answers by it
before the next frame it reads. The responder's process is never restarted.
Tricky: a file that cannot be read is observed as a configuration nobody wishes,
so that the next pass rewrites or removes it like any other difference.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from buoy.dataplane import dhcp_directory
from buoy.model.address import Mac
from buoy.model.errors import InvalidInput
from buoy.model.guest import GuestConfig
from buoy.model.nodestate import Change, Entry, Failure, Key, NodeState, Step, Table


class DhcpDriver:
    """Driver of `Table.DHCP`; other tables' keys and steps are not its business and are passed over."""

    def __init__(self, directory: Path = dhcp_directory.DIRECTORY) -> None:
        self._directory = directory

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        """Return each interface's configuration; of a directory that cannot be listed, none."""
        if keys is None:
            names: Collection[str] = self._interfaces()
        else:
            names = [key.name[0] for key in keys if key.table is Table.DHCP]
        found: dict[Key, Entry] = {}
        for name in names:
            config = self._read(name)
            if config is not None:
                found[Key(Table.DHCP, (name,))] = config
        return found

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Write and remove files; a full disk or a name that is none becomes a `Failure`."""
        failures = []
        for step in steps:
            try:
                self._perform(step)
            except (OSError, InvalidInput) as error:
                failures.append(Failure(step, str(error)))
        return failures

    def _perform(self, step: Step) -> None:
        match step.act:
            case Change(key=Key(table=Table.DHCP, name=(name,)), after=GuestConfig() as config):
                dhcp_directory.write(self._directory, name, config)
            case Change(key=Key(table=Table.DHCP, name=(name,)), after=None):
                dhcp_directory.remove(self._directory, name)
            case _:
                return

    def _interfaces(self) -> list[str]:
        try:
            return sorted(dhcp_directory.interfaces(self._directory))
        except OSError:
            # what is wished is then missing, and the attempt to write it tells why
            return []

    def _read(self, name: str) -> GuestConfig | None:
        try:
            return dhcp_directory.read(self._directory, name)
        except (InvalidInput, OSError):
            return GuestConfig(interface=name, mac=Mac("00:00:00:00:00:00"))
