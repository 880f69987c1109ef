# SPDX-License-Identifier: Apache-2.0
"""Guests: machines that stand in for VMs, each on one tap of a node.

The tap is one end of a veth pair with the name Nova would give it; the other
end is the guest's eth0 with the port's MAC. A guest is *plugged* first (the tap
is there, the guest is silent) and *started* later, as Nova does: it waits for
the port to become ACTIVE in between.
"""

import contextlib
import subprocess
from pathlib import Path

import msgspec

from buoy.lab import machine, qemu
from buoy.lab.command import ip_batch
from buoy.lab.guestroot import DHCPCD, WHO
from buoy.lab.machine import Machine
from buoy.model.errors import DataplaneError

_SCRIPT = """
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo plugged
exec >&2
read go
echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6
ip link set eth0 up
busybox httpd -p 80 -h /run/www
dropbear -R -B -E -p 22 || echo "no SSH server: is dropbear installed?"
while :; do
  if command -v dhcpcd > /dev/null; then dhcpcd --nobackground --config /run/dhcpcd.conf eth0
  else busybox udhcpc -f -i eth0; fi
  sleep 1
done &
# the guest's first process collects every orphan until the guest is ended from outside
while :; do wait; sleep 1; done
"""


class Plug(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest needs to exist: where its tap is to be, what it is called, and its MAC."""

    name: str
    node: str
    interface: str
    mac: str
    port: str = ""
    addresses: tuple[str, ...] = ()
    qemu: bool = False


class Guest(msgspec.Struct, kw_only=True):
    """A guest as it runs: `process` ends it, `machine` can be entered unless it is a QEMU."""

    plug: Plug
    root: Path
    process: subprocess.Popen[bytes]
    machine: Machine | None = None
    started: bool = False


def plug(wanted: Plug, root: Path, log: Path, node: Machine) -> Guest:
    """Make the guest and its tap; nothing of it speaks yet. Raises `BuoyError`, leaving nothing."""
    if wanted.qemu:
        root.mkdir(parents=True)
        process = qemu.start(qemu.Hardware(wanted.name, wanted.interface, wanted.mac), root, node, log)
        return Guest(plug=wanted, root=root, process=process)
    files = {
        "/run/www/index.html": f"{wanted.name}\n",
        "/run/www/cgi-bin/client": WHO,
        "/run/dhcpcd.conf": DHCPCD,
    }
    machine.prepare(root, wanted.name, f"127.0.0.1 localhost {wanted.name}\n::1 localhost\n", files)
    (root / "run/www/cgi-bin/client").chmod(0o755)
    made = machine.start(wanted.name, root, _SCRIPT, log, own_processes=True)
    try:
        ip_batch(_tap(wanted, made.holder), node.holder)
        ip_batch(["link set eth0 up"], made.holder)
    except DataplaneError:
        made.shell.kill()
        raise
    return Guest(plug=wanted, root=root, process=made.shell, machine=made)


def start(guest: Guest) -> None:
    """Let the guest boot: DHCP, router solicitation, HTTP and SSH servers."""
    if guest.started:
        return
    if guest.machine is None:
        qemu.resume(guest.root)
    else:
        assert guest.process.stdin is not None
        guest.process.stdin.write(b"go\n")
        guest.process.stdin.flush()
    guest.started = True


def unplug(guest: Guest, node: Machine | None) -> None:
    """End the guest and take its tap away, at once: the kernel itself is in no hurry to delete a namespace."""
    if node is not None:
        with contextlib.suppress(DataplaneError):
            ip_batch([f"link delete {guest.plug.interface}"], node.holder)
    guest.process.kill()


def _tap(wanted: Plug, holder: int) -> list[str]:
    return [
        f"link add {wanted.interface} type veth peer name eth0 address {wanted.mac} netns {holder}",
        f"link set {wanted.interface} up",
    ]
