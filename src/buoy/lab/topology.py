# SPDX-License-Identifier: Apache-2.0
"""What a lab consists of, as data: nodes, their files, their services.

A `Topology` is everything the lab's first process needs; it is handed over as
one JSON file in the lab's directory. Paths of files are as the node sees them
and lie under /etc, /run or /var/lib, which every node has for itself.
"""

import msgspec

NAME_PATTERN = r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
"""Names of labs, nodes and guests: they become host names, file names and parts of interface names."""


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a service is ready: a TCP port of its node answers, an HTTP path answers 200, or a file exists."""

    port: int = 0
    http: str = ""
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


class Topology(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of a lab: `relays` are the addresses and ports that a port of the host's loopback leads to, by name."""

    kind: str
    name: str
    nodes: tuple[Node, ...]
    switch_address: str
    relays: dict[str, tuple[str, int]] = {}
    environment: dict[str, str] = {}
    """What `lab env` prints and what every command in a machine gets; relays stand as ``{neutron}`` and the like."""


def write(topology: Topology) -> bytes:
    """Return the JSON text of a topology."""
    return msgspec.json.encode(topology)


def read(raw: bytes) -> Topology:
    """Return the topology written as JSON; raise `msgspec.DecodeError` on any other text."""
    return msgspec.json.decode(raw, type=Topology)
