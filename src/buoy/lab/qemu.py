# SPDX-License-Identifier: Apache-2.0
"""Guests that are real machines: QEMU with a kernel of its own, on a real tap of the node.

QEMU starts paused, so that its tap is there while the port is not ACTIVE yet, as
with Nova. The guest's root is an initramfs of the host's own programs: busybox,
dhcpcd, dropbear. It is on its own after that; look at its console log. Always
emulated: a nested KVM may be there and hang, and this guest boots in seconds without.
"""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from buoy.lab.command import into, ip_batch, run
from buoy.lab.control import LabError
from buoy.lab.guestroot import DHCPCD, WHO
from buoy.lab.machine import Machine

_DRIVERS = ("virtio_pci", "virtio_net")
_PROGRAMS = ("busybox", "dhcpcd", "dropbear")
_TAP_SECONDS = 20.0
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /etc/dropbear /home/cirros /var/lib/dhcpcd /usr/sbin
/bin/busybox --install -s /bin
export PATH=/bin HOME=/home/cirros
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /var/run; mount -t devpts devpts /dev/pts
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
for module in $(cat /modules/order); do insmod /modules/$module; done
hostname {name}
ip link set lo up; ip link set eth0 up
httpd -p 80 -h /www
dropbear -R -B -E -p 22
dhcpcd --nobackground --config /etc/dhcpcd.conf --script /bin/true eth0 &
# what the guest has is told on its console, the only thing seen from outside
while :; do
  now=$(ip -o address show dev eth0 scope global | grep -v tentative | awk '{{print $4}}' | tr '\\n' ' ')
  [ "$now" = "$before" ] || echo "addresses: $now"
  before=$now
  sleep 0.2
done
"""
_PASSWORDS = "root::0:0:root:/:/bin/sh\ncirros::0:0:Buoy lab:/home/cirros:/bin/sh\n"


class Hardware(NamedTuple):
    """What tells one such guest from another: its name, its tap on the node, its MAC."""

    name: str
    interface: str
    mac: str


def start(guest: Hardware, root: Path, node: Machine, console: Path) -> "subprocess.Popen[bytes]":
    """Start a paused guest and return its QEMU once the tap is up; raise `LabError` if it cannot be."""
    kernel = _kernel()
    _fill(root / "initramfs", guest.name, kernel.name.removeprefix("vmlinuz-"))
    command = [
        "qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-m", "256", "-accel", "tcg",
        "-kernel", str(kernel), "-initrd", str(_pack(root)), "-append", "console=ttyS0 quiet rdinit=/init panic=-1",
        "-netdev", f"tap,id=net,ifname={guest.interface},script=no,downscript=no",
        "-device", f"virtio-net-pci,netdev=net,mac={guest.mac},romfile=",
        "-serial", f"file:{console}", "-monitor", f"unix:{root}/monitor,server=on,wait=off",
    ]  # fmt: skip
    with console.open("ab") as log:
        started = subprocess.Popen(
            [*into(node.holder, "net", "uts", "ipc"), *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
        )  # fmt: skip
    _await_tap(started, node, guest.interface, console)
    ip_batch([f"link set {guest.interface} up"], node.holder)
    return started


def resume(root: Path) -> None:
    """Let a paused guest run."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(root / "monitor"))
        monitor.sendall(b"cont\n")
        # QEMU reads the command only while somebody listens to its echo
        monitor.settimeout(5)
        while b"cont" not in monitor.recv(4096):
            pass


def _await_tap(started: "subprocess.Popen[bytes]", node: Machine, interface: str, console: Path) -> None:
    deadline = time.monotonic() + _TAP_SECONDS
    seen = [*into(node.holder, "net"), "ip", "link", "show", interface]
    while subprocess.run(seen, capture_output=True, check=False).returncode:
        if started.poll() is not None or time.monotonic() > deadline:
            started.kill()
            raise LabError(f"QEMU did not make {interface}: {console.read_text(errors='replace')[-1000:]}")
        time.sleep(0.02)


def _kernel() -> Path:
    kernels = sorted(kernel for kernel in Path("/boot").glob("vmlinuz-*") if (_modules(kernel)).is_dir())
    if not kernels or shutil.which("qemu-system-x86_64") is None:
        raise LabError("--qemu needs QEMU and a kernel: apt-get install qemu-system-x86 linux-image-cloud-amd64")
    return kernels[-1]


def _modules(kernel: Path) -> Path:
    return Path("/lib/modules") / kernel.name.removeprefix("vmlinuz-")


def _fill(tree: Path, name: str, release: str) -> None:
    for directory in ("bin", "modules", "www/cgi-bin", "etc"):
        (tree / directory).mkdir(parents=True)
    for program in _PROGRAMS:
        _copy_program(tree, program)
    for path, text, mode in (
        ("init", _INIT.format(name=name), 0o755), ("bin/sudo", '#!/bin/sh\nexec "$@"\n', 0o755),
        ("www/index.html", f"{name}\n", 0o644), ("www/cgi-bin/client", WHO, 0o755),
        ("etc/passwd", _PASSWORDS, 0o644), ("etc/group", "root:x:0:\n", 0o644), ("etc/shells", "/bin/sh\n", 0o644),
        ("etc/dhcpcd.conf", DHCPCD, 0o644), ("modules/order", _copy_modules(tree, release), 0o644),
    ):  # fmt: skip
        (tree / path).write_text(text)
        (tree / path).chmod(mode)


def _copy_program(tree: Path, program: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise LabError(f"{program} not found")
    shutil.copy(found, tree / "bin" / program)
    for library in re.findall(r"(/\S+)\s+\(0x", run(["ldd", found])):
        target = tree / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)


def _copy_modules(tree: Path, release: str) -> str:
    """Copy the drivers with all they depend on; return their names in the order of loading."""
    place = Path("/lib/modules") / release
    needs = dict(line.split(":") for line in (place / "modules.dep").read_text().splitlines())
    order: list[str] = []
    for driver in _DRIVERS:
        [module] = [path for path in needs if Path(path).name.split(".")[0] == driver]
        # modules.dep names what must be loaded first last
        order += [path for path in (*reversed(needs[module].split()), module) if path not in order]
    for path in order:
        shutil.copy(place / path, tree / "modules")
    return "\n".join(Path(path).name for path in order)


def _pack(root: Path) -> Path:
    archive = root / "initrd"
    run(["sh", "-c", f"cd {root}/initramfs && find . | busybox cpio -o -H newc > {archive} 2>/dev/null"])
    shutil.rmtree(root / "initramfs")
    return archive
