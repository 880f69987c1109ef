# SPDX-License-Identifier: Apache-2.0
"""The service IP: a claim on an address that outlives what it points at."""

import enum
from typing import NamedTuple

import msgspec

from buoy.model.address import Address
from buoy.model.pool import Direction
from buoy.model.proxied import Backing
from buoy.model.writer import Moment


class Mode(enum.StrEnum):
    """How packets to a service IP reach its endpoint."""

    TRANSLATED = "translated"
    ROUTED = "routed"
    PROXIED = "proxied"


class PortMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Ports `first`..`last` of the service IP go to as many ports of the endpoint from `target_first` on."""

    protocol: str
    """One of ``sctp``, ``tcp`` and ``udp``."""
    first: int
    """The lowest port of the service IP."""
    last: int
    """The highest one."""
    target_first: int
    """The endpoint's port for the lowest one."""


class Attachment(enum.StrEnum):
    """How a workload is reached on its node: by a tap of Buoy's, or as the node reaches it, by others' routes."""

    TAP = "tap"
    HOST = "host"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a service IP leads: a workload on a node, at one of its fixed IPs; `mapping` None means all ports.

    `node` is empty while the workload is not bound by Buoy; then `driver` names
    who bound it, or is empty if nobody did. What is attached to the host has no
    document of its own, and neither routes nor policy of ours: it is translated only.
    """

    workload: str
    """Its port in Neutron, or its pod as namespace/name."""
    target: Address
    """Its fixed IP."""
    node: str = ""
    """Where it is."""
    driver: str = ""
    """Who bound it, if that was somebody else."""
    mapping: PortMapping | None = None
    """Which ports lead to it; none: all."""
    attached: Attachment = Attachment.TAP
    """By what it is reached on its node."""


class Identity(NamedTuple):
    """An object by its name, in whichever of its lives."""

    cluster: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" + (f" of {self.cluster}" if self.cluster else "")


class Owner(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The object an address was given to; `uid` is that of its present life, another one has the same name later.

    `kind` is ``Service``, ``Ingress``, ``Pod`` or what owns pods, such as ``StatefulSet``; `cluster` names the
    cluster where several draw from one pool. What it takes of an address that it lets others share stands with it,
    so that whoever else writes the claim sees it there.
    """

    kind: str
    """Such as ``Service``."""
    namespace: str
    """Where it is."""
    name: str
    """What it is called."""
    uid: str = ""
    """Of its present life."""
    cluster: str = ""
    """Where it is, if several clusters draw from one pool."""
    ports: tuple[str, ...] = ()
    """Such as ``tcp/443``: nobody it shares the address with may have them."""
    backends: str = ""
    """With traffic policy Local, which pods it leads to; empty with policy Cluster."""
    declared: bool = False
    """Of what is translated: whether the object asks for it, and gives it back when it does no more; else it was given
    by hand, and only a hand takes it back."""

    @property
    def identity(self) -> "Identity":
        """What stays the same from one life to the next."""
        return Identity(self.cluster, self.kind, self.namespace, self.name)


class ServiceIP(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A claim, keyed by its address.

    `default_egress` is false where another service IP of the same fixed IP
    belongs to the router that owns the default route. `backings` are the Services
    of a proxied one, in the order of their names.
    """

    schema: int = 1
    address: Address
    """What is claimed; the object is named after it."""
    mode: Mode = Mode.TRANSLATED
    """Translated for pods and VMs, proxied for Services."""
    id: str = ""
    """Neutron's, of a floating IP."""
    pool: str = ""
    """Where the address is from."""
    project: str = ""
    """Neutron's, of a floating IP."""
    direction: Direction = Direction.BOTH
    """Which connections it serves."""
    endpoints: tuple[Endpoint, ...] = ()
    """Where it leads, as was found out."""
    default_egress: bool = True
    """Whether its workload leaves by it where it has several."""
    revision: int = 0
    """Counts the changes of its association."""
    backings: tuple[Backing, ...] = ()
    owners: tuple[Owner, ...] = ()
    """Who has the address, several if they share it; whoever had it last, once it is released."""
    sharing: str = ""
    """The key by which others may share the address; empty: nobody may."""
    released: Moment | None = None
    """Since when nobody has it; only its former owner gets it back before the pool's hold-down is over."""
    lost: bool = False
    """Whether a store that was set back had lost it: it is its owner's, there or not, until a person says otherwise."""
    mappings: tuple[PortMapping, ...] = ()
    """Which ports of its owner it leads to (none given: all); the endpoints follow from that wherever the owner is."""
