# SPDX-License-Identifier: Apache-2.0
"""The lab's own network namespace: a bridge that the machines hang on, and what reaches them from there.

The lab's first process lives here. It reaches every machine over the bridge, so
it can probe services and relay the host's loopback port into the controller;
the listening socket was made in the host's namespace and handed down, which is
all of the host's network that a lab ever holds.
"""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from buoy.lab.command import ip_batch
from buoy.lab.machine import Machine
from buoy.lab.topology import Node, Topology
from buoy.model.address import Address, packed

BRIDGE = "switch"
_CHUNK = 65536


def build(topology: Topology) -> None:
    """Make a bridge for the switch, with the lab's own address on it, and one for each other segment."""
    segments = {port.segment for node in topology.nodes for port in _ports(node)} | {BRIDGE}
    # without snooping: neighbour discovery must not wait for a querier that never comes
    bridges = [f"link add {each} type bridge mcast_snooping 0" for each in sorted(segments)]
    up = [f"link set {each} up" for each in sorted(segments)]
    ip_batch(["link set lo up", *bridges, f"address add {topology.switch_address} dev {BRIDGE}", *up])


def disconnect(node: Node) -> None:
    """Take a machine's ports away; raise `DataplaneError` if it has none."""
    ip_batch([f"link delete {port.name}" for port in _ports(node)])


def silence(node: Node) -> None:
    """Let the switch drop all that a machine sends and is sent, which the machine itself cannot see."""
    ip_batch([f"link set {port.name} nomaster" for port in _ports(node)])


def restore(node: Node) -> None:
    """Undo `silence`."""
    ip_batch([f"link set {port.name} master {port.segment}" for port in _ports(node)])


def connect(node: Node, machine: Machine) -> None:
    """Give a machine its ports with their addresses, plugged into the bridges, and set its network up."""
    outside, inside = [], []
    for port in _ports(node):
        outside += [
            f"link add {port.name} type veth peer name {port.inside} address {port.mac} netns {machine.holder}",
            f"link set {port.name} master {port.segment} up",
        ]
        inside += [
            f"address add {port.address4} dev {port.inside}",
            f"address add {port.address6} dev {port.inside} nodad",
            f"link set {port.inside} up",
        ]
    ip_batch(outside)
    ip_batch([*inside, *node.network], machine.holder)


class _Port(NamedTuple):
    name: str
    inside: str
    segment: str
    address4: str
    address6: str

    @property
    def mac(self) -> str:
        """Made of the address: a machine that was off has it again, as others remember it."""
        address = packed(Address(self.address4.partition("/")[0]))
        return ":".join(f"{byte:02x}" for byte in (0x02, 0xB0, *address))


def _ports(node: Node) -> Iterator[_Port]:
    yield _Port(f"sw-{node.name}"[:15], "eth0", node.segment or BRIDGE, node.address4, node.address6)
    for number, each in enumerate(node.uplinks, start=1):
        name = f"sw{number}-{node.name}"[:15]
        yield _Port(name, f"eth{number}", each.segment, each.address4, each.address6)


async def answers(address: str, port: int) -> bool:
    """Tell whether a TCP port accepts a connection."""
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def serves(address: str, port: int, path: str, *, tls: bool = False) -> bool:
    """Tell whether an HTTP server answers a path with status 200; who it is is not asked."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(address, port, ssl=_anybody() if tls else None)
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            status = await reader.readline()
    except (OSError, TimeoutError):
        return False
    writer.close()
    return b" 200 " in status


@functools.cache
def _anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def relay(listener: socket.socket, address: str, port: int) -> "asyncio.Server":
    """Pass every connection on `listener` to a port of a machine."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(address, port)
        except OSError:
            writer.transport.abort()  # a reset, as from a host without a listener
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        far_writer.close()
        writer.close()

    return await asyncio.start_server(serve, sock=listener)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()
