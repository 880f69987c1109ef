# SPDX-License-Identifier: Apache-2.0
"""BIRD as the speaker of a node: its sessions, what it told them, and its configuration.

Whether a configuration is in force is asked of BIRD itself: each file ends in a
constant with the digest of its text, and BIRD evaluates that constant from what
it has loaded. So a death between writing the file and loading it is seen and
healed by the next pass, and an agent that restarts loads nothing anew.
"""

import hashlib
import os
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

from buoy.dataplane import bird_exports
from buoy.dataplane.bird_replies import sessions
from buoy.dataplane.birdc import Birdc, connect
from buoy.model import ownership
from buoy.model.address import Prefix
from buoy.model.errors import DataplaneError
from buoy.model.node import PeerSession
from buoy.model.reason import Reason, Withhold

_STAMP = "define buoy_loaded = "
_CHECK_SECONDS = 30


class BirdSpeaker:
    """The BIRD with this configuration file and control socket; `node` names the host in reasons."""

    def __init__(
        self,
        config_path: str = ownership.BIRD_CONFIG,
        socket_path: str = ownership.BIRD_SOCKET,
        node: str = "this node",
    ) -> None:
        self._config = Path(config_path)
        self._socket = socket_path
        self._node = node
        self.inside: frozenset[str] = frozenset()

    def sessions(self) -> tuple[PeerSession, ...]:
        """Return every BGP session, by name; raise `DataplaneError` if BIRD does not answer."""
        with connect(self._socket) as bird:
            return sessions(bird.ask("show protocols all").lines)

    def exported(self, prefixes: Collection[Prefix]) -> Mapping[Prefix, Withhold | None]:
        """Tell for each prefix why no established peer is told that it is here; None: at least one is."""
        try:
            with connect(self._socket) as bird:
                return bird_exports.exported(bird, prefixes, self._node, self.inside)
        except DataplaneError:
            return dict.fromkeys(prefixes, Withhold(Reason.BIRD_AWAY, {"node": self._node}))

    def configure(self, text: str) -> None:
        """Bring a configuration into force unless it is; raise `DataplaneError` and keep the old one if refused.

        If BIRD is away the file is written all the same, for BIRD to start with, and `DataplaneError` raised.
        """
        digest = hashlib.sha256(text.encode()).hexdigest()
        stamped = f'{text}\n{_STAMP}"{digest}";\n'
        if self._file() != stamped:
            self._replace_file(stamped)
        with connect(self._socket) as bird:
            if _loaded(bird) != digest:
                self._load(bird, digest)

    def text(self) -> str:
        """Return the configuration on disk as it was given to `configure`; empty if there is none."""
        return self._file().rpartition(f"\n{_STAMP}")[0]

    def enable(self, session: str) -> None:
        """Let a session be set up again; raise `DataplaneError` if BIRD knows none of that name."""
        self._order(f"enable {session}")

    def disable(self, session: str) -> None:
        """End a session until `enable`; its peer withdraws what it was told."""
        self._order(f"disable {session}")

    def leave_for_upgrade(self) -> None:
        """Stop BIRD so that its peers keep its routes until it is back (RFC 4724); start it again with -R."""
        self._order("graceful restart")

    def _load(self, bird: Birdc, digest: str) -> None:
        reply = bird.ask("configure")
        if reply.refused:
            raise DataplaneError("birdc configure", reply.text)
        if _loaded(bird) != digest:
            remedy = f"BIRD did not load {self._config}: was it started with -c {self._config}? {reply.text}"
            raise DataplaneError("birdc configure", remedy)

    def _order(self, command: str) -> None:
        with connect(self._socket) as bird:
            reply = bird.ask(command)
        if reply.refused:
            raise DataplaneError(f"birdc {command}", reply.text)

    def _file(self) -> str:
        try:
            return self._config.read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return ""
        except OSError as error:
            raise DataplaneError(f"read {self._config}", str(error)) from error

    def _replace_file(self, text: str) -> None:
        """Write beside, check with BIRD, rename: the file under its name is always a whole one that BIRD accepts."""
        beside = self._config.with_name(f"{self._config.name}.new")
        try:
            self._config.parent.mkdir(parents=True, exist_ok=True)
            _write(beside, text)
            _check(beside)
            beside.replace(self._config)
            _sync(self._config.parent)
        except OSError as error:
            raise DataplaneError(f"write {self._config}", str(error)) from error
        finally:
            beside.unlink(missing_ok=True)


def _loaded(bird: Birdc) -> str | None:
    reply = bird.ask("eval buoy_loaded")
    return None if reply.refused else reply.text.strip()


def _write(path: Path, text: str) -> None:
    # passwords are inside: no other user may read it, not even for a moment
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123  a descriptor has no path
        file.write(text)
        file.flush()
        os.fsync(handle)


def _check(path: Path) -> None:
    command = ["bird", "-p", "-c", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise DataplaneError(" ".join(command), f"no answer in {_CHECK_SECONDS} s") from error
    if done.returncode:
        raise DataplaneError(" ".join(command), done.stderr or done.stdout)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
