# SPDX-License-Identifier: Apache-2.0
"""Which documents a changed row of Neutron's database touches: SQL, and nothing else.

Promises: `paths` names every document that depends on a subject as the database
is seen by this connection, so asking before and after a change names the old
and the new ones. Too many is allowed: the drainer writes only what differs.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeAlias, TypeVar

import sqlalchemy as sa
from neutron.db.models.address_group import AddressAssociation
from neutron.db.models.allowed_address_pair import AllowedAddressPair
from neutron.db.models.l3 import FloatingIP, RouterPort
from neutron.db.models.port_forwarding import PortForwarding
from neutron.db.models.securitygroup import SecurityGroupPortBinding
from neutron.db.models_v2 import IPAllocation, Network, Port, Subnet
from neutron.plugins.ml2.models import PortBinding

from buoy.model.address import Prefix, family, parse_address, split
from buoy.neutron.translate import as_prefix, readable_prefix

T = TypeVar("T")
Ids: TypeAlias = Collection[str]
Subjects: TypeAlias = Mapping[str, Ids]
"""Kind of subject, a key of `_BY_KIND`, → ids."""

CHUNK = 200
"""Ids in one query, where they may stand four times: SQLite takes 999 parameters at least."""

_MARK = "?"
"""Begins a row that names a subject: no path of the store does."""

_port = Port.__table__
_binding = PortBinding.__table__
_allocation = IPAllocation.__table__
_pair = AllowedAddressPair.__table__
_group_port = SecurityGroupPortBinding.__table__
_fip = FloatingIP.__table__
_forwarding = PortForwarding.__table__
_router_port = RouterPort.__table__
_subnet = Subnet.__table__
_network = Network.__table__
_address = AddressAssociation.__table__


def paths(connection: sa.Connection, subjects: Subjects) -> set[str]:
    """Return the paths of all documents that depend on these subjects now."""
    found: set[str] = set()
    for kind, ids in subjects.items():
        for chunk in chunks(ids):
            found.update(_BY_KIND[kind](connection, chunk))
    return found


def names(subjects: Subjects) -> set[str]:
    """Return the subjects as rows of the outbox, to be expanded after the commit."""
    return {f"{_MARK}{kind}/{one}" for kind, ids in subjects.items() for one in ids}


def expand(connection: sa.Connection, rows: Iterable[str]) -> list[str]:
    """Return the paths that rows of the outbox name, each subject replaced by what depends on it now."""
    ordered: dict[str, None] = {}
    for row in rows:
        if row.startswith(_MARK):
            kind, _, one = row.removeprefix(_MARK).partition("/")
            ordered |= dict.fromkeys(sorted(paths(connection, {kind: [one]})))
        else:
            ordered[row] = None
    return list(ordered)


def chunks(ids: Iterable[T]) -> Iterable[list[T]]:
    """Return ids in lists as long as one query takes."""
    ordered = list(ids)
    return (ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK))


def _of_ports(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    yield from _workloads(connection, _binding.c.port_id.in_(ids))
    yield from _of_rivals(connection, ids)
    groups = sa.select(_group_port.c.security_group_id, _group_port.c.port_id).where(_group_port.c.port_id.in_(ids))
    member_of = connection.execute(groups).all()
    if member_of:
        texts = sa.union(
            sa.select(_allocation.c.port_id, _allocation.c.ip_address).where(_allocation.c.port_id.in_(ids)),
            sa.select(_pair.c.port_id, _pair.c.ip_address).where(_pair.c.port_id.in_(ids)),
        )
        found = connection.execute(texts)
        held = [(owner, prefix) for owner, text in found if (prefix := readable_prefix(text))]
        yield from (f"members/{group}/{prefix}" for group, port in member_of for owner, prefix in held if owner == port)
    forwarded = sa.select(_forwarding.c.floatingip_id).where(_forwarding.c.internal_neutron_port_id.in_(ids))
    where = sa.or_(_fip.c.fixed_port_id.in_(ids), _fip.c.floating_port_id.in_(ids), _fip.c.id.in_(forwarded))
    yield from _claims(connection, where)
    routers = sa.select(_router_port.c.router_id).where(_router_port.c.port_id.in_(ids))
    yield from _of_routers(connection, [row.router_id for row in connection.execute(routers)])


def _of_rivals(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    """Yield the workloads with an allowed address pair that is a fixed IP of these ports: their documents name it."""
    fixed = sa.select(_allocation.c.network_id, _allocation.c.ip_address).where(_allocation.c.port_id.in_(ids))
    owned = {(row.network_id, as_prefix(row.ip_address)) for row in connection.execute(fixed)}
    for some in chunks(owned):
        pairs = (
            sa.select(_port.c.network_id, _pair.c.port_id, _pair.c.ip_address)
            .join(_port, _port.c.id == _pair.c.port_id)
            .where(_port.c.network_id.in_({network for network, _ in some}), _may_be({prefix for _, prefix in some}))
        )
        found = connection.execute(pairs)
        rivals = {row.port_id for row in found if (row.network_id, readable_prefix(row.ip_address)) in owned}
        for chunk in chunks(rivals):
            yield from _workloads(connection, _binding.c.port_id.in_(chunk))


def _may_be(hosts: Collection[Prefix]) -> sa.ColumnElement[bool]:
    """Return the condition for pairs that may be one of these: a network of VIPs has thousands of others."""
    spellings = [text for host in hosts for text in (host, split(host)[0])]
    # pairs keep what the user typed, and an IPv6 address has too many spellings for SQL
    any_ipv6 = [_pair.c.ip_address.contains(":")] if any(family(host) == 6 for host in hosts) else []
    return sa.or_(_pair.c.ip_address.in_(spellings), *any_ipv6)


def _of_network_ports(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    ports = sa.select(_port.c.id).where(_port.c.network_id.in_(ids))
    return _workloads(connection, _binding.c.port_id.in_(ports))


def _workloads(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Iterable[str]:
    hosts = sa.select(_binding.c.host, _binding.c.port_id).where(where, _binding.c.host != "")
    return (f"workloads/{row.host}/{row.port_id}" for row in connection.execute(hosts))


def _of_floating_ips(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    """With siblings: which of them is used for going out depends on all of them."""
    ports = sa.select(_fip.c.fixed_port_id).where(_fip.c.id.in_(ids), _fip.c.fixed_port_id.is_not(None))
    return _claims(connection, sa.or_(_fip.c.id.in_(ids), _fip.c.fixed_port_id.in_(ports)))


def _of_routers(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    if not ids:
        return ()
    found: set[str] = set()
    of_router = connection.execute(sa.select(_fip.c.id).where(_fip.c.router_id.in_(ids))).scalars().all()
    for chunk in chunks(of_router):
        found.update(_of_floating_ips(connection, chunk))
    return found


def _of_subnets(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    yield from (f"subnets/{one}" for one in ids)
    yield from (f"pools/{one}" for one in ids)
    ports = sa.select(_allocation.c.port_id).where(_allocation.c.subnet_id.in_(ids))
    yield from _claims(connection, sa.or_(_fip.c.floating_port_id.in_(ports), _fip.c.fixed_port_id.in_(ports)))


def _of_networks(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    yield from (f"networks/{one}" for one in ids)
    inside = connection.execute(sa.select(_subnet.c.id).where(_subnet.c.network_id.in_(ids))).scalars().all()
    yield from (f"subnets/{one}" for one in inside)
    yield from (f"pools/{one}" for one in inside)
    yield from _claims(connection, _fip.c.floating_network_id.in_(ids))


def _of_groups(connection: sa.Connection, ids: Ids) -> Iterable[str]:  # noqa: ARG001
    return (f"groups/{one}" for one in ids)


def _of_address_groups(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    rows = connection.execute(sa.select(_address).where(_address.c.address_group_id.in_(ids)))
    return (f"members/{row.address_group_id}/{as_prefix(row.address)}" for row in rows)


def _of_tagged(connection: sa.Connection, ids: Ids) -> Iterable[str]:
    """Only what can carry a direction; the ids are standard attributes."""
    for table, of_kind in ((_fip, _of_floating_ips), (_subnet, _of_subnets), (_network, _of_networks)):
        rows = connection.execute(sa.select(table.c.id).where(table.c.standard_attr_id.in_(ids)))
        tagged = rows.scalars().all()
        if tagged:
            yield from of_kind(connection, tagged)


def _claims(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Iterable[str]:
    rows = connection.execute(sa.select(_fip.c.floating_ip_address).where(where))
    return [f"service-ips/{parse_address(row.floating_ip_address)}" for row in rows]


_BY_KIND: Mapping[str, Callable[[sa.Connection, Ids], Iterable[str]]] = {
    "port": _of_ports,
    "network-ports": _of_network_ports,
    "fip": _of_floating_ips,
    "router": _of_routers,
    "subnet": _of_subnets,
    "network": _of_networks,
    "group": _of_groups,
    "address-group": _of_address_groups,
    "tag": _of_tagged,
}
