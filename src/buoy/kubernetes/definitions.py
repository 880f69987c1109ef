# SPDX-License-Identifier: Apache-2.0
"""How Buoy's own kinds look in `kubectl`: short names, columns, and rules about an object's name."""

from typing import NamedTuple


class Column(NamedTuple):
    """One column of `kubectl get`; `wide` ones only with ``-o wide``."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


class Look(NamedTuple):
    """What a kind's CRD has besides its schema."""

    singular: str
    short: tuple[str, ...]
    columns: tuple[Column, ...]
    status: bool = False
    """Whether its objects have a status of their own, written apart."""
    rule: tuple[str, str] | None = None
    """A CEL rule about the whole object, and what to do."""


AGE = Column("Age", ".metadata.creationTimestamp", "date")
IN_FORCE = Column("In force", ".status.conditions[?(@.type=='buoy.dev/InForce')].status")
MESSAGE = Column("Message", ".status.conditions[?(@.type=='buoy.dev/InForce')].message", wide=True)
"""What `controller/notices.py` says of an object."""

_NAME = "(t.startsWith('-') ? '0' : '') + t + (t.endsWith('-') ? '0' : '')"
_CLAIM_NAME = (
    f"[self.spec.address.replace(':', '-')].all(t, self.metadata.name == {_NAME})",
    "name it after its address, with dashes for colons: 192.0.2.7 or 2001-db8--7",
)
_STATUS_NAME = (
    f"[self.spec.address.replace(':', '-')].all(t, self.metadata.name == {_NAME} + '.' + self.spec.node)",
    "name it after its address and its node: 192.0.2.7.node-1",
)

LOOKS: dict[str, Look] = {
    "Pool": Look(
        "pool",
        ("bpool",),
        (
            Column("Addresses", ".status.addresses"),
            Column("Used", ".status.used", "integer"),
            Column("Free", ".status.free", "integer"),
            Column("Waiting", ".status.waiting", "integer"),
            Column("Message", ".status.message"),
            AGE,
        ),
        status=True,
    ),
    "ServiceIP": Look(
        "serviceip",
        ("sip",),
        (
            Column("Pool", ".spec.pool"),
            Column("Namespace", ".spec.owners[0].namespace"),
            Column("Owner", ".spec.owners[0].name"),
            Column("Kind", ".spec.owners[0].kind", wide=True),
            Column("Mode", ".spec.mode", wide=True),
            Column("Released", ".spec.released", "date"),
            AGE,
        ),
        status=True,
        rule=_CLAIM_NAME,
    ),
    "Peer": Look(
        "peer",
        (),
        (
            Column("Address", ".spec.address"),
            Column("ASN", ".spec.asn", "integer"),
            Column("Nodes", ".spec.nodes"),
            IN_FORCE,
            MESSAGE,
            AGE,
        ),
        status=True,
    ),
    "Filter": Look("filter", (), (IN_FORCE, MESSAGE, AGE), status=True),
    "BGPSettings": Look(
        "bgpsettings",
        (),
        (
            Column("ASN", ".spec.asn", "integer"),
            Column("Mesh", ".spec.mesh", "boolean"),
            IN_FORCE,
            MESSAGE,
            AGE,
        ),
        status=True,
        rule=("self.metadata.name == 'default'", "name it default: a cluster has one BGPSettings"),
    ),
    "NodeStatus": Look(
        "nodestatus",
        (),
        (
            Column("Version", ".spec.version"),
            Column("Addresses", ".spec.addresses", wide=True),
            Column("Draining", ".spec.draining", "boolean"),
            Column("Sessions", ".spec.sessions", wide=True),
            Column("Held", ".spec.held"),
            Column("Problems", ".spec.problems"),
            Column("Started", ".spec.started", "date"),
        ),
    ),
    "Fence": Look("fence", (), (Column("Reason", ".spec.reason"), AGE)),
    "AddressStatus": Look(
        "addressstatus",
        (),
        (
            Column("Address", ".spec.address"),
            Column("Node", ".spec.node"),
            Column("State", ".spec.state"),
            Column("Announced", ".spec.announced", "boolean"),
            Column("Reason", ".spec.reason"),
        ),
        rule=_STATUS_NAME,
    ),
    "Witness": Look("witness", (), (Column("Revision", ".spec.revision", "integer"),)),
}
"""By kind."""
