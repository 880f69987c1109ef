# SPDX-License-Identifier: Apache-2.0
"""The lab's own network namespace: one bridge that all machines hang on, and what reaches them from there.

The lab's first process lives here. It reaches every machine over the bridge, so
it can probe services and relay the host's loopback port into the controller;
the listening socket was made in the host's namespace and handed down, which is
all of the host's network that a lab ever holds.
"""

import asyncio
import contextlib
import socket

from buoy.lab.command import ip_batch
from buoy.lab.machine import Machine
from buoy.lab.topology import Node
from buoy.model.address import Address, packed

BRIDGE = "switch"
_CHUNK = 65536


def build(address: str) -> None:
    """Make the bridge, with the lab's own address on it, such as ``192.168.8.254/24``."""
    ip_batch(
        [
            "link set lo up",
            # without snooping: neighbour discovery must not wait for a querier that never comes
            f"link add {BRIDGE} type bridge mcast_snooping 0",
            f"address add {address} dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ]
    )


def disconnect(node: Node) -> None:
    """Take a machine's eth0 away; raise `DataplaneError` if it has none."""
    ip_batch([f"link delete {_port(node)}"])


def connect(node: Node, machine: Machine) -> None:
    """Give a machine its eth0 with its addresses, plugged into the bridge."""
    port = _port(node)
    ip_batch(
        [
            f"link add {port} type veth peer name eth0 address {_mac(node)} netns {machine.holder}",
            f"link set {port} master {BRIDGE} up",
        ]
    )
    ip_batch(
        [
            f"address add {node.address4} dev eth0",
            f"address add {node.address6} dev eth0 nodad",
            "link set eth0 up",
        ],
        machine.holder,
    )


def _port(node: Node) -> str:
    return f"sw-{node.name}"[:15]


def _mac(node: Node) -> str:
    """Return a MAC made of the address: a machine that was off has it again, as others remember it."""
    address = packed(Address(node.address4.partition("/")[0]))
    return ":".join(f"{byte:02x}" for byte in (0x02, 0xB0, *address))


async def answers(address: str, port: int) -> bool:
    """Tell whether a TCP port accepts a connection."""
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def serves(address: str, port: int, path: str) -> bool:
    """Tell whether an HTTP server answers a path with status 200."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            status = await reader.readline()
    except (OSError, TimeoutError):
        return False
    writer.close()
    return b" 200 " in status


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
