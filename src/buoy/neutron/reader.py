# SPDX-License-Identifier: Apache-2.0
"""Read what Neutron's database says should stand under paths of the store.

Promises: for a path it returns the document, or None if nothing should stand
there; for a row it cannot translate it returns the `InvalidInput`, so that one
odd row hinders no other. All of one call is seen by one transaction.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import sqlalchemy as sa
from neutron.db.models.address_group import AddressAssociation, AddressGroup
from neutron.db.models.allowed_address_pair import AllowedAddressPair
from neutron.db.models.l3 import FloatingIP
from neutron.db.models.securitygroup import SecurityGroup, SecurityGroupPortBinding
from neutron.db.models_v2 import IPAllocation, Network, Port, Subnet

from buoy.model.address import Prefix, is_host, parse_address, split
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.neutron import affected, rows, translate
from buoy.neutron.claims import read_claims
from buoy.neutron.connection import reading

Wanted: TypeAlias = dict[str, Document | InvalidInput | None]

KINDS = ("networks", "subnets", "pools", "workloads", "service-ips", "groups", "members")
"""The kinds of documents written from Neutron."""

_member_of = SecurityGroupPortBinding.__table__
_allocation = IPAllocation.__table__
_pair = AllowedAddressPair.__table__
_association = AddressAssociation.__table__


class Reader:
    """Reads documents; `carried` are the types of networks whose ports Buoy binds."""

    def __init__(self, carried: Collection[str]) -> None:
        self._carried = tuple(carried)

    def read(self, paths: Collection[str]) -> Wanted:
        """Return what should stand under each path, in a transaction of its own that sees all that is committed."""
        with reading() as connection:
            return self._read(connection, paths)

    def read_all(self) -> Wanted:
        """Return everything that should stand in the store, in one transaction."""
        with reading() as connection:
            wanted = self._read(connection, affected.paths(connection, _everything(connection)))
        return {path: document for path, document in wanted.items() if document is not None}

    def _read(self, connection: sa.Connection, paths: Collection[str]) -> Wanted:
        by_kind: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for path in paths:
            kind, *names = path.split("/", 2)
            by_kind[kind].append(tuple(names))
        wanted: Wanted = dict.fromkeys(paths)
        for kind, all_names in by_kind.items():
            for chunk in affected.chunks(all_names):
                wanted.update(self._of_kind(kind)(connection, chunk))
        return wanted

    def _of_kind(self, kind: str) -> Callable[[sa.Connection, list[tuple[str, ...]]], Wanted]:
        return {
            "networks": self._networks,
            "subnets": self._subnets,
            "pools": self._pools,
            "workloads": _workloads,
            "service-ips": _claims,
            "groups": _groups,
            "members": _members,
        }[kind]

    def _networks(self, connection: sa.Connection, names: list[tuple[str, ...]]) -> Wanted:
        found = rows.read_networks(connection, [name[0] for name in names], self._carried)
        return {f"networks/{one}": _try(translate.translate_network, row) for one, row in found.items()}

    def _subnets(self, connection: sa.Connection, names: list[tuple[str, ...]]) -> Wanted:
        found = rows.read_subnets(connection, [name[0] for name in names], self._carried)
        return {f"subnets/{one}": _try(translate.translate_subnet, row) for one, row in found.items()}

    def _pools(self, connection: sa.Connection, names: list[tuple[str, ...]]) -> Wanted:
        found = rows.read_subnets(connection, [name[0] for name in names], self._carried)
        return {f"pools/{one}": _try(translate.translate_pool, row) for one, row in found.items()}


def _workloads(connection: sa.Connection, names: list[tuple[str, ...]]) -> Wanted:
    found = rows.read_ports(connection, [port for _, port in names])
    wanted: Wanted = {}
    for node, port in names:
        row = found.get(port)
        if row is not None and row["host"] == node:
            wanted[f"workloads/{node}/{port}"] = _try(translate.translate_port, row)
    return wanted


def _claims(connection: sa.Connection, names: list[tuple[str, ...]]) -> Wanted:
    found, siblings = read_claims(connection, [name[0] for name in names])
    return {
        f"service-ips/{parse_address(address)}": _try(translate.translate_floating_ip, row, siblings[address])
        for address, row in found.items()
    }


def _groups(connection: sa.Connection, names: list[tuple[str, ...]]) -> Wanted:
    found = rows.read_groups(connection, [name[0] for name in names])
    return {f"groups/{one}": _try(translate.translate_group, row) for one, row in found.items()}


def _members(connection: sa.Connection, names: list[tuple[str, ...]]) -> Wanted:
    """A membership holds as long as any port of the group, or the address group itself, has the prefix."""
    groups = sorted({group for group, _ in names})
    prefixes = {Prefix(prefix) for _, prefix in names}
    hosts = [split(prefix)[0] for prefix in prefixes if is_host(prefix)]
    joined = _member_of.c.security_group_id.label("owner")
    fixed = (
        sa.select(joined, _allocation.c.ip_address.label("text"))
        .join(_allocation, _allocation.c.port_id == _member_of.c.port_id)
        .where(_member_of.c.security_group_id.in_(groups), _allocation.c.ip_address.in_(hosts))
    )
    # pairs and address groups keep what the user typed, so text cannot be compared in SQL
    pairs = (
        sa.select(joined, _pair.c.ip_address.label("text"))
        .join(_pair, _pair.c.port_id == _member_of.c.port_id)
        .where(_member_of.c.security_group_id.in_(groups))
    )
    listed = sa.select(_association.c.address_group_id.label("owner"), _association.c.address.label("text")).where(
        _association.c.address_group_id.in_(groups)
    )
    found = connection.execute(sa.union(fixed, pairs, listed))
    held = {(row.owner, translate.readable_prefix(row.text)) for row in found}
    return {
        f"members/{group}/{prefix}": translate.translate_member(group, Prefix(prefix))
        for group, prefix in names
        if (group, Prefix(prefix)) in held
    }


def _try(translator: Callable[..., Document | None], *arguments: object) -> Document | InvalidInput | None:
    try:
        return translator(*arguments)
    except InvalidInput as error:
        return error
    except ValueError as error:
        return InvalidInput(translator.__name__, str(error), "correct the resource in Neutron")


def _everything(connection: sa.Connection) -> Mapping[str, Collection[str]]:
    def ids(model: Any) -> list[str]:
        return list(connection.execute(sa.select(model.__table__.c.id)).scalars())

    return {
        "network": ids(Network),
        "subnet": ids(Subnet),
        "port": ids(Port),
        "fip": ids(FloatingIP),
        "group": ids(SecurityGroup),
        "address-group": ids(AddressGroup),
    }
