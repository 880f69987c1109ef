# SPDX-License-Identifier: Apache-2.0
"""The DHCP responder as a process of its own: it outlives the agent, and the agent outlives it.

Promises: ready (told to systemd) means that every guest with a file is answered.
It catches no signal: there is nothing to save, so SIGTERM and SIGKILL are the same.
"""

import os
import socket
from pathlib import Path

from buoy.dataplane import dhcp_directory
from buoy.dataplane.dhcp_responder import Responder
from buoy.model.errors import DataplaneError
from buoy.model.guest import GuestConfig
from buoy.render.dhcp import check
from buoy.runtime.telemetry import logger

DIRECTORY = dhcp_directory.DIRECTORY


def serve(directory: Path) -> None:
    """Answer the guests whose files are in `directory`, for ever.

    Raises `DataplaneError` without the right to open packet sockets (CAP_NET_RAW), or if the directory cannot be made.
    """
    log = logger()
    try:
        responder = Responder(directory, log.info)
        dhcp_directory.hold(directory)
    except PermissionError as error:
        raise DataplaneError(f"buoy dhcp run --directory {directory}", f"{error}; run as root") from error
    except OSError as error:
        raise DataplaneError(f"buoy dhcp run --directory {directory}", f"{error}; name a directory") from error
    log.info("answering", directory=str(directory), guests=responder.guests)
    _tell_systemd("READY=1")
    while True:
        responder.turn()


def read(directory: Path, interface: str) -> tuple[GuestConfig, tuple[str, ...]] | None:
    """Return what a guest is told and which of its options are left out; None if it has no file.

    Raises `InvalidInput` naming file and field where the responder refuses the file, `DataplaneError` if it
    cannot be read.
    """
    try:
        config = dhcp_directory.read(directory, interface)
    except OSError as error:
        raise DataplaneError(f"buoy dhcp show --directory {directory}", f"{error}; run as root") from error
    return None if config is None else (config, tuple(str(problem) for problem in check(config)))


def unanswered(directory: Path = DIRECTORY) -> str:
    """Return what is to be said where no responder answers this host's guests, '' where one does."""
    return (
        "" if dhcp_directory.held(directory) else "DHCP: no responder runs, guests will lose their leases (buoy-dhcp)"
    )


def _tell_systemd(state: str) -> None:
    """Do what sd_notify(3) does; without systemd, nothing."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            notify.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)
