# SPDX-License-Identifier: Apache-2.0
"""What a lab could leave behind on the host, collected by looking at the host only."""

import subprocess
import time
from pathlib import Path

from buoy.lab import place


def of(name: str) -> list[str]:
    """Return every process, mount, interface and file on this host that carries a lab's name."""
    return [*_processes(name), *_mounts(name), *_links(name), *_files(name)]


def soon(name: str, seconds: float = 10.0) -> list[str]:
    """Return what is left of a lab once nothing is, or at the end of the time."""
    deadline = time.monotonic() + seconds
    while (left := of(name)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def namespaces() -> set[str]:
    """Return the network namespaces that some process of this host is in."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue  # the process has ended
    return found


def host_network() -> str:
    """Return links, addresses, routes and rules of the host's own namespace, without counters and lifetimes."""
    parts = []
    for command in ("link", "address", "route show table all", "-6 route show table all", "rule", "netns"):
        done = subprocess.run(["ip", "-o", *command.split()], capture_output=True, text=True, check=True)
        parts += [line for line in done.stdout.splitlines() if "valid_lft" not in line]
    return "\n".join(sorted(parts))


def _processes(name: str) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # the process has ended
        if f"/{name}" in words:
            found.append(f"process {file.parent.name}: {words}")
    return found


def _mounts(name: str) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]


def _links(name: str) -> list[str]:
    done = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if name in line]


def _files(name: str) -> list[str]:
    homes = {place.home().parent, place.home(), Path("/tmp"), Path("/run"), Path("/run/netns"), Path("/var/lib")}  # noqa: S108
    return [str(entry) for home in homes if home.is_dir() for entry in home.iterdir() if name in entry.name]
