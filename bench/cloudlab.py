# SPDX-License-Identifier: Apache-2.0
"""A lab for benches: many ports and service IPs loaded in bulk at its store, and clocks inside its machines.

Promises that the lab is taken down however the block ends. The load is labelled as such
wherever it is reported: it did not go through Neutron, which would take an hour for it.
"""

import asyncio
import contextlib
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bench import crowd
from bench.report import short
from buoy.lab import openstack
from buoy.lab.lab import Lab
from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.status import AddressStatus, State
from buoy.store.opening import open_store
from buoy.store.settings import StoreSettings
from buoy.store.store import MAX_WRITES, Store, Write

T = TypeVar("T")
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_LOAD_SECONDS = 300.0


@contextlib.contextmanager
def lab(room: str, nodes: int, without: Sequence[str] = ()) -> Iterator[Lab]:
    """Bring up a lab of our own and take it down."""
    made = Lab(f"bench-{room}-{os.getpid()}")
    try:
        yield made.up(nodes, without)
    finally:
        made.down()


def open_lab_store(made: Lab) -> Store:
    """Return the lab's store as others write to it."""
    return open_store(StoreSettings(endpoints=(made.env()["BUOY_ETCD"],)))


def process_of(made: Lab, machine: str) -> int:
    """Return a process in a machine's namespaces."""
    words = made.command(machine, ["true"])
    return next(int(word.partition("=")[2]) for word in words if word.startswith("--target="))


def thread_inside(process: int, body: Callable[[], None]) -> threading.Thread:
    """Start a thread in the network namespace of a process; it ends with ours."""

    def enter() -> None:
        with Path(f"/proc/{process}/ns/net").open() as there:
            if _LIBC.setns(there.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        body()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    return thread


def inside(process: int, function: Callable[[], T]) -> T:
    """Call a function in the network namespace of a process."""
    found: list[T] = []
    thread_inside(process, lambda: found.append(function())).join()
    return found[0]


def plug(made: Lab, node: str, ports: range) -> None:
    """Make the taps of ports on a node, with nobody behind them."""
    names = map(crowd.tap, ports)
    lines = (f"link add {name} type veth peer name g{name[3:]}\nlink set {name} up\n" for name in names)
    made.exec(node, "ip", "-batch", "-", text="".join(lines))


async def write(store: Store, said: Sequence[Document]) -> None:
    """Write documents in as many transactions as they take."""
    for start in range(0, len(said), MAX_WRITES):
        await store.write([Write(documents.path(each), each) for each in said[start : start + MAX_WRITES]])


async def load(store: Store, node: str, said: Sequence[Document], count: int) -> float:
    """Load documents in bulk; return the seconds until the node has so many active service IPs more."""
    began = time.perf_counter()
    await write(store, said)
    watch = store.watch((f"status/{node}/address/",))
    async for batch in watch:
        active = sum(_is_active(each) for path, each in batch.snapshot.documents.items() if "/172." in path)
        if active >= count:
            break
        if time.perf_counter() - began > _LOAD_SECONDS:
            raise TimeoutError(f"{active} of {count} service IPs active after {_LOAD_SECONDS:g} s")
    await watch.aclose()  # type: ignore[attr-defined]
    took = time.perf_counter() - began
    print(f"loaded {len(said):,} documents in bulk at the store: all active after {short(took)} s", flush=True)
    return took


def fill(made: Lab, node: str, count: int) -> None:
    """Plug the ports of so many service IPs and load them."""

    async def body() -> None:
        store = open_lab_store(made)
        await load(store, node, list(crowd.documents(count, node)), count)
        await store.close()

    plug(made, node, range(crowd.ports(count)))
    asyncio.run(body())


def _is_active(document: Document | None) -> bool:
    return isinstance(document, AddressStatus) and document.state is State.ACTIVE


def agent_process(made: Lab, node: str) -> int:
    """Return the process of a node's agent."""
    [service] = [each for each in made.services() if (each["node"], each["service"]) == (node, "agent")]
    # the lab tells process ids of its own namespace; /proc of ours knows them by another number
    holder = process_of(made, node)
    lines = subprocess.run(["pgrep", "-f", "buoy.cli.main agent run"], capture_output=True, text=True, check=False)
    same = Path(f"/proc/{holder}/ns/net").readlink()
    for word in lines.stdout.split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{word}/ns/net").readlink() == same:
                return int(word)
    raise LookupError(f"no agent on {node}: {service}")


def cpu_of(process: int) -> float:
    """Return the CPU seconds a process has used, all its threads, to the nanosecond."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory_of(process: int) -> float:
    """Return the MiB of memory a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


ACCESS, CONTROLLER = openstack.ACCESS, openstack.CONTROLLER
