# SPDX-License-Identifier: Apache-2.0
"""Routers in network namespaces on one switch, each with a real BIRD under the configuration Buoy renders."""

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from buoy.dataplane.bird import BirdSpeaker
from buoy.model.address import Address
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.planner.peering import speaking
from buoy.planner.peering_sessions import LocalNode, PeeringWish
from buoy.render.bird import bird_conf

_numbers = itertools.count(1)


def until(holds: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Wait for something to hold; tell whether it came to."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def sh(command: str) -> str:
    """Run a command; fail with what it printed."""
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Router:
    """One namespace with 192.168.8.N and fd00:8::N, and a BIRD."""

    def __init__(self, name: str, number: int, switch: str, directory: Path) -> None:
        self.name = name
        self.namespace = f"bbird-{os.getpid()}-{next(_numbers)}"
        self.addresses: tuple[Address, ...] = (Address(f"192.168.8.{number}"), Address(f"fd00:8::{number:x}"))
        self.directory = directory / name
        self.directory.mkdir()
        self.config, self.socket = self.directory / "bird.conf", self.directory / "bird.ctl"
        self.speaker = BirdSpeaker(str(self.config), str(self.socket), name)
        self.wanted = PeeringWish()
        self._bird: subprocess.Popen[bytes] | None = None
        self._monitors: list[subprocess.Popen[bytes]] = []
        sh(f"ip netns add {self.namespace}")
        self.ip("link set lo up")
        sh(f"ip -n {switch} link add p{number} type veth peer name eth0 netns {self.namespace}")
        sh(f"ip -n {switch} link set p{number} master br0 up")
        self.ip(f"addr add {self.addresses[0]}/24 dev eth0")
        self.ip(f"addr add {self.addresses[1]}/64 dev eth0 nodad")
        self.ip("link set eth0 up")

    def ip(self, command: str) -> str:
        return sh(f"ip -n {self.namespace} {command}")

    def conf(self) -> str:
        local = LocalNode(name=self.name, addresses=self.addresses, log=str(self.directory / "bird.log"))
        return bird_conf(speaking(local, self.wanted), local)

    def want(self, **changes: object) -> None:
        self.wanted = msgspec.structs.replace(self.wanted, **changes)

    def start(self) -> None:
        """Start BIRD as a supervisor would, on the file the agent wrote."""
        if not self.config.exists():
            self.config.write_text(self.conf())
        command = f"ip netns exec {self.namespace} bird -f -R -c {self.config} -s {self.socket}"
        output = (self.directory / "out").open("ab")
        self._bird = subprocess.Popen(command.split(), stdout=output, stderr=output)
        assert until(lambda: self.birdc("show status") != ""), "BIRD did not start"

    def stop_bird(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self._bird is not None
        self._bird.send_signal(number)
        self._bird.wait()
        self.socket.unlink(missing_ok=True)

    def bird_ended(self) -> None:
        assert self._bird is not None
        self._bird.wait(timeout=10)

    def birdc(self, command: str) -> str:
        done = subprocess.run(
            ["birdc", "-r" if command.startswith("show") else "-v", "-s", str(self.socket), *command.split()],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else ""

    def tap(self, name: str) -> None:
        self.ip(f"link add {name} type veth peer name g{name}")
        self.ip(f"link set g{name} up")
        self.ip(f"link set {name} up")

    def announce(self, prefix: str, tap: str, metric: int = 100) -> None:
        self.ip(f"route add {prefix} dev {tap} proto 205 metric {metric} table 2053")

    def withdraw(self, prefix: str, metric: int = 100) -> None:
        self.ip(f"route del {prefix} proto 205 metric {metric} table 2053")

    def route(self, prefix: str) -> str:
        version = "-6" if ":" in prefix else "-4"
        return " ".join(self.ip(f"{version} route show {prefix}").split())

    def sees(self, prefix: str, text: str) -> bool:
        return until(lambda: text in self.route(prefix))

    def lost(self, prefix: str) -> bool:
        return until(lambda: self.route(prefix) == "")

    def hush(self) -> None:
        """Drop everything that comes in."""
        rules = self.directory / "hush.nft"
        rules.write_text("table inet hush { chain in { type filter hook input priority 0; policy drop; }; }")
        sh(f"ip netns exec {self.namespace} nft -f {rules}")

    def events(self, prefix: str) -> "Events":
        return Events(self, prefix)

    def close(self) -> None:
        if self._bird is not None and self._bird.poll() is None:
            self._bird.kill()
            self._bird.wait()
        subprocess.run(["ip", "netns", "del", self.namespace], check=False)


class Events:
    """The kernel's notifications about one prefix, counted from when this is made."""

    def __init__(self, router: Router, prefix: str) -> None:
        self._prefix = prefix.removesuffix("/32").removesuffix("/128")
        self._file = router.directory / f"events{next(_numbers)}"
        with self._file.open("wb") as output:
            command = f"ip -n {router.namespace} monitor route"
            self._process = subprocess.Popen(["stdbuf", "-oL", *command.split()], stdout=output)
        self._router = router
        mark = f"blackhole 203.0.113.{next(_numbers) % 250}"
        # the monitor listens once it has seen a route of ours come
        assert until(lambda: self._mark(mark)), "ip monitor did not start"

    def _mark(self, mark: str) -> bool:
        self._router.ip(f"route replace {mark}")
        self._router.ip(f"route del {mark}")
        return "203.0.113." in self._file.read_text()

    def stop(self) -> list[str]:
        """Return the events so far, oldest first."""
        time.sleep(0.1)
        self._process.terminate()
        self._process.wait()
        return [line.strip() for line in self._file.read_text().splitlines() if self._prefix in line.split()[:2]]


class Cloud:
    """A switch and the routers on it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.switch = f"bbird-{os.getpid()}-sw{next(_numbers)}"
        self.routers: list[Router] = []
        sh(f"ip netns add {self.switch}")
        sh(f"ip -n {self.switch} link add br0 type bridge")
        sh(f"ip -n {self.switch} link set br0 up")

    def add(self, name: str, number: int) -> Router:
        router = Router(name, number, self.switch, self._directory)
        self.routers.append(router)
        return router

    def start(self, *peers: Peer, settings: BGPSettings | None = None, filters: tuple[Filter, ...] = ()) -> None:
        """Configure and start every router; each knows of all, and keeps settings it already has."""
        nodes = {router.name: router.addresses for router in self.routers}
        for router in self.routers:
            if router.wanted.settings == BGPSettings():
                router.want(settings=settings or BGPSettings())
            router.want(peers=peers, filters=filters, nodes=nodes)
            router.start()

    def established(self) -> bool:
        """Wait for every session of every router."""
        return until(lambda: all(self._up(router) for router in self.routers))

    @staticmethod
    def _up(router: Router) -> bool:
        sessions = router.speaker.sessions()
        return bool(sessions) and all(session.state == "Established" for session in sessions)

    def close(self) -> None:
        for router in self.routers:
            router.close()
        subprocess.run(["ip", "netns", "del", self.switch], check=False)
