# SPDX-License-Identifier: Apache-2.0
"""The directory of guests: one JSON file per interface, written by the agent, read by the responder.

Promises: a reader sees a whole file or none (written aside, then renamed); a kill
at any instruction leaves at most a hidden file, which the next write replaces.
Tricky: a file is only believed under its own interface's name, so that a copied
file cannot give one guest another's address.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from buoy.model.errors import InvalidInput
from buoy.model.guest import GuestConfig
from buoy.model.ownership import RUN_DIRECTORY

DIRECTORY = Path(RUN_DIRECTORY) / "dhcp"
_SUFFIX = ".json"
_LONGEST_NAME = 15
"""IFNAMSIZ without its end."""

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(GuestConfig, strict=True)


def lock_of(directory: Path) -> Path:
    """Return the file that whoever answers by this directory has locked."""
    return directory.with_name(f"{directory.name}.lock")


def hold(directory: Path) -> int:
    """Return a descriptor that says, while it is open, that somebody answers by this directory.

    A lock, for the kernel takes it back from whoever is killed; shared, for two may overlap at a restart; and
    beside the directory, whose end a descriptor inside would hide from whoever watches it.
    """
    directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(lock_of(directory), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def held(directory: Path) -> bool:
    """Tell whether somebody answers by this directory."""
    try:
        descriptor = os.open(lock_of(directory), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def file_of(directory: Path, interface: str) -> Path:
    """Return the file of an interface; raise `InvalidInput` for a name the kernel would not take, or a hidden one."""
    odd = "/" in interface or interface.startswith(".") or any(character.isspace() for character in interface)
    if odd or not 0 < len(os.fsencode(interface)) <= _LONGEST_NAME:
        raise InvalidInput("interface", interface, "give the name of an interface, such as tap1c2d3e4f-5a")
    return directory / f"{interface}{_SUFFIX}"


def interface_of(name: str) -> str | None:
    """Return the interface a file name belongs to; None if it is no guest's file."""
    return name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) and not name.startswith(".") else None


def interfaces(directory: Path) -> Iterator[str]:
    """Yield every interface that has a file; none where the directory does not exist."""
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return
    for name in names:
        interface = interface_of(name)
        if interface:
            yield interface


def read(directory: Path, interface: str) -> GuestConfig | None:
    """Return what a file says, None if there is none.

    Raises `InvalidInput` naming the file where it says nothing that can be understood, `OSError` if it cannot be read.
    """
    path = file_of(directory, interface)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        config = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), raw[:80], f"let the agent write it again: remove it ({error})") from error
    if config.interface != interface:
        raise InvalidInput(f"{path}: interface", config.interface, f"the file's name says {interface}")
    return config


def write(directory: Path, interface: str, config: GuestConfig) -> None:
    """Put a guest's file in place as one act; raise `OSError` if the host refuses."""
    path = file_of(directory, interface)
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    aside = _aside(path)
    aside.write_bytes(_encoder.encode(config))
    aside.replace(path)


def remove(directory: Path, interface: str) -> None:
    """Take a guest's file away; that it is gone already is a success."""
    path = file_of(directory, interface)
    path.unlink(missing_ok=True)
    _aside(path).unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")
