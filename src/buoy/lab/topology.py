# SPDX-License-Identifier: Apache-2.0
"""What a lab consists of, as data: nodes, their files, their services.

A `Topology` is everything the lab's first process needs; it is handed over as
one JSON file in the lab's directory. Paths of files are as the node sees them
and lie under /etc, /run or /var/lib, which every node has for itself.
"""

from collections.abc import Collection

import msgspec
from msgspec.structs import replace

from buoy.model.errors import InvalidInput

NAME_PATTERN = r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
"""Names of labs, nodes and guests: they become host names, file names and parts of interface names."""


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a service is ready: a TCP port of its node answers, an HTTP path answers 200, or a file exists."""

    port: int = 0
    http: str = ""
    tls: bool = False
    file: str = ""


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process that is kept running.

    `after` names services as ``node/service`` that must be ready first, `needs`
    files of the node that must exist first. `optional` services do not keep the
    lab from being ready, `quick` ones end by themselves and are then ready.
    """

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    ready: Probe | None = None
    environment: dict[str, str] = {}
    optional: bool = False
    quick: bool = False


class Uplink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One more Ethernet port of a machine, on a segment of its own beside the lab's switch."""

    segment: str
    address4: str
    address6: str


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine: one network, mount and UTS namespace with eth0 on the lab's switch."""

    name: str
    address4: str
    address6: str
    files: dict[str, str] = {}
    services: tuple[Service, ...] = ()
    guests: bool = False
    """Whether guests may be booted here."""
    boot: tuple[str, ...] = ()
    """Command that runs to its end before the guests whenever the node is switched on again."""
    segment: str = ""
    """What eth0 hangs on; empty for the switch."""
    uplinks: tuple[Uplink, ...] = ()
    """eth1 and so on."""
    network: tuple[str, ...] = ()
    """Lines for ``ip -batch`` once its ports are there, at every boot."""


class Topology(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of a lab: `relays` are the addresses and ports that a port of the host's loopback leads to, by name."""

    kind: str
    name: str
    nodes: tuple[Node, ...]
    switch_address: str
    relays: dict[str, tuple[str, int]] = {}
    environment: dict[str, str] = {}
    """What `lab env` prints; relays stand as ``{neutron}`` and the like."""
    inside: dict[str, str] = {}
    """What every command in a machine, but not in a guest, gets."""
    client_path: tuple[str, ...] = ()
    """Directories of this lab's own clients."""
    client_files: dict[str, str] = {}
    """Files of the lab's directory that `lab env` names, with relays as in `environment`."""


def leave_out(nodes: Collection[Node], without: Collection[str]) -> tuple[Node, ...]:
    """Return the nodes without some services: ``bird`` for those of all nodes, ``compute-1/bird`` for one.

    Raises `InvalidInput` for a service there is not.
    """
    keys = {f"{node.name}/{service.name}" for node in nodes for service in node.services}
    names = {key.partition("/")[2] for key in keys}
    for each in without:
        if each not in keys | names:
            raise InvalidInput(
                "--without", each, f"give one of {', '.join(sorted(names))}, or one node's: NODE/SERVICE"
            )
    return tuple(_without(node, {key for key in keys if {key, key.partition("/")[2]} & {*without}}) for node in nodes)


def _without(node: Node, keys: Collection[str]) -> Node:
    kept = (
        replace(service, after=tuple(key for key in service.after if key not in keys))
        for service in node.services
        if f"{node.name}/{service.name}" not in keys
    )
    return replace(node, services=tuple(kept))


def write(topology: Topology) -> bytes:
    """Return the JSON text of a topology."""
    return msgspec.json.encode(topology)


def read(raw: bytes) -> Topology:
    """Return the topology written as JSON; raise `msgspec.DecodeError` on any other text."""
    return msgspec.json.decode(raw, type=Topology)
