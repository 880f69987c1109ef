# SPDX-License-Identifier: Apache-2.0
"""A host with its responder, and guests on taps of it: each a network namespace, all gone at the end."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from buoy.dataplane import dhcp_directory
from buoy.model.guest import GuestConfig

RUN = "from pathlib import Path; from buoy.agent.dhcp import serve; serve(Path({directory!r}))"
SCRIPT = """#!/bin/sh
env | grep -E "^(reason|new_|interface|ip=|subnet|router|dns|mtu|staticroutes|serverid|lease)"
exit 0
"""


def run(*command: str, check: bool = True) -> str:
    """Run a command to its end; return what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def eventually(what: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until something holds; how fast it does is not asked here."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


class Cloud:
    """One host namespace; `guest` adds namespaces with `eth0`, joined to a tap of the host."""

    def __init__(self, directory: Path) -> None:
        self.name = f"bdhcp-{os.getpid()}"
        self.files = directory / "dhcp"
        self.log = directory / "responder.log"
        self.script = directory / "script"
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        self._directory = directory
        self._namespaces: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self.host = f"{self.name}-host"

    def open(self) -> None:
        """Make the host and start its responder."""
        self.namespace("host")
        self.start()

    def namespace(self, suffix: str) -> str:
        """Make a namespace; return its name."""
        name = f"{self.name}-{suffix}"
        run("ip", "netns", "add", name)
        self._namespaces.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def start(self) -> subprocess.Popen[bytes]:
        """Start the responder; return when it answers."""
        before = self.told().count("event=answering")
        code = RUN.format(directory=str(self.files))
        self.responder = self.spawn(self.host, sys.executable, "-c", code, log=self.log)
        eventually(lambda: self.told().count("event=answering") > before)
        return self.responder

    def told(self) -> str:
        """What the responder has logged so far."""
        return self.log.read_text() if self.log.exists() else ""

    def spawn(self, namespace: str, *command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a process in a namespace; it ends with the cloud at the latest."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *command], stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        self._processes.append(process)
        return process

    def guest(self, config: GuestConfig, suffix: str, *, up: bool = True) -> str:
        """Make a guest on a new tap; return its namespace."""
        name = self.namespace(suffix)
        self.tap(config, name)
        run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2")
        if up:
            run("ip", "-n", name, "link", "set", "eth0", "up")
        return name

    def tap(self, config: GuestConfig, guest: str) -> None:
        """Make the pair of interfaces between host and guest."""
        run("ip", "-n", self.host, "link", "add", config.interface, "type", "veth", "peer", "eth0", "netns", guest)
        run("ip", "-n", guest, "link", "set", "eth0", "address", config.mac)
        run("ip", "-n", self.host, "link", "set", config.interface, "up")

    def mac(self, interface: str) -> str:
        """Return the MAC address of the host's end of a tap."""
        shown = run("ip", "-n", self.host, "-br", "link", "show", interface)
        return next(word for word in shown.split() if word.count(":") == 5)

    def tell(self, config: GuestConfig) -> None:
        """Do what the agent does when a port comes or changes."""
        dhcp_directory.write(self.files, config.interface, config)

    def inside(self, guest: str, *command: str, check: bool = True) -> str:
        """Run a command in a guest."""
        return run("ip", "netns", "exec", guest, *command, check=check)

    def udhcpc(self, guest: str, *options: str) -> str:
        """Ask once as BusyBox does; return the last thing its script was told."""
        script = str(self.script)
        return self.inside(
            guest, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "4", "-T", "1", "-s", script, *options, check=False
        )

    def dhclient(self, guest: str, *options: str) -> str:
        """Ask once as ISC's client does; return what its script was told and what it says itself."""
        mark = str(self._directory / guest)
        command = (
            "dhclient",
            *options,
            "-1",
            "-v",
            "-sf",
            str(self.script),
            "-lf",
            mark + ".leases",
            "-pf",
            mark + ".pid",
        )
        try:
            return self.inside(guest, *command, "eth0", check=False)
        finally:
            self.inside(guest, "dhclient", "-x", "-pf", mark + ".pid", *options[:1], "-sf", "/bin/true", check=False)

    def close(self) -> None:
        """End every process and remove every namespace."""
        for process in self._processes:
            process.kill()
            process.wait()
        for name in reversed(self._namespaces):
            run("ip", "netns", "del", name, check=False)


@contextlib.contextmanager
def cloud(directory: Path) -> Iterator[Cloud]:
    """Yield a host with a responder; leave nothing behind."""
    missing = [program for program in ("ip", "nft", "udhcpc", "dhclient", "sysctl") if shutil.which(program) is None]
    assert [] == missing, "install iproute2, nftables, udhcpc, isc-dhcp-client and procps"
    made = Cloud(directory)
    try:
        made.open()
        yield made
    finally:
        made.close()
