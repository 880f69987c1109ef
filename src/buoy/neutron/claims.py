# SPDX-License-Identifier: Apache-2.0
"""Read floating IPs with all that a claim is made of: ports, forwardings, directions, siblings, routers.

Promises: as `rows.py`, a fixed number of queries. The router that owns a
subnet's default route is the one that has the subnet's gateway address.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import sqlalchemy as sa
from neutron.db.models.l3 import FloatingIP, RouterPort
from neutron.db.models.port_forwarding import PortForwarding
from neutron.db.models_v2 import IPAllocation, Network, Subnet
from neutron_lib.db.standard_attr import StandardAttribute

from buoy.neutron.affected import chunks
from buoy.neutron.rows import Rows, read_bindings, read_tags

FixedIPKey: TypeAlias = tuple[str, str]
"""Port id and fixed address."""

_fip = FloatingIP.__table__
_forwarding = PortForwarding.__table__
_allocation = IPAllocation.__table__
_router_port = RouterPort.__table__
_subnet = Subnet.__table__
_network = Network.__table__
_attribute = StandardAttribute.__table__


def read_claims(connection: sa.Connection, addresses: Collection[str]) -> tuple[Rows, dict[str, list[dict[str, Any]]]]:
    """Return the floating IPs that have these addresses, by address, and the siblings of each, itself included."""
    asked = _floating_ips(connection, _fip.c.floating_ip_address.in_(addresses))
    ports = {fip["fixed_port_id"] for fip in asked if fip["fixed_port_id"]}
    related = _floating_ips(connection, _fip.c.fixed_port_id.in_(ports)) if ports else []
    gateways = _gateway_routers(connection, ports)
    by_fixed: dict[FixedIPKey, list[dict[str, Any]]] = defaultdict(list)
    for fip in related:
        fip["gateway_router_id"] = gateways.get(_key(fip))
        by_fixed[_key(fip)].append(fip)
    _attach_endpoints(connection, asked)
    claims: Rows = {}
    for fip in asked:
        # two external networks may overlap; the older claim holds the address
        claims.setdefault(fip["floating_ip_address"], fip)
    return claims, {address: by_fixed.get(_key(fip), []) for address, fip in claims.items()}


def read_floating_ips(connection: sa.Connection, ids: Collection[str]) -> list[dict[str, Any]]:
    """Return floating IPs by id, with their own tags and those of their pool."""
    return [fip for chunk in chunks(ids) for fip in _floating_ips(connection, _fip.c.id.in_(chunk))]


def _key(fip: Mapping[str, Any]) -> FixedIPKey:
    return fip["fixed_port_id"], fip["fixed_ip_address"]


def _floating_ips(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    """Return floating IPs, the oldest first, with their own tags and those of their pool."""
    query = (
        sa.select(
            _fip,
            _attribute.c.revision_number,
            _allocation.c.subnet_id,
            _subnet.c.standard_attr_id.label("subnet_attr"),
            _network.c.standard_attr_id.label("network_attr"),
        )
        .join(_attribute, _attribute.c.id == _fip.c.standard_attr_id)
        .join(_network, _network.c.id == _fip.c.floating_network_id)
        .outerjoin(
            _allocation,
            sa.and_(
                _allocation.c.port_id == _fip.c.floating_port_id,
                _allocation.c.ip_address == _fip.c.floating_ip_address,
            ),
        )
        .outerjoin(_subnet, _subnet.c.id == _allocation.c.subnet_id)
        .where(where)
        .order_by(_fip.c.standard_attr_id)
    )
    found = [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001
    sources = ("standard_attr_id", "subnet_attr", "network_attr")
    tags = read_tags(connection, {fip[source] for fip in found for source in sources if fip[source] is not None})
    for fip in found:
        fip["tags"], fip["subnet_tags"], fip["network_tags"] = (tags[fip[source]] for source in sources)
    return found


def _gateway_routers(connection: sa.Connection, ports: Collection[str]) -> dict[FixedIPKey, str]:
    """Return for each fixed IP of these ports the router that has its subnet's gateway address."""
    own, at_gateway = _allocation.alias("own"), _allocation.alias("at_gateway")
    query = (
        sa.select(own.c.port_id, own.c.ip_address, _router_port.c.router_id)
        .join(_subnet, _subnet.c.id == own.c.subnet_id)
        .join(
            at_gateway,
            sa.and_(at_gateway.c.subnet_id == _subnet.c.id, at_gateway.c.ip_address == _subnet.c.gateway_ip),
        )
        .join(_router_port, _router_port.c.port_id == at_gateway.c.port_id)
        .where(own.c.port_id.in_(ports))
    )
    return {(row.port_id, row.ip_address): row.router_id for row in connection.execute(query)}


def _attach_endpoints(connection: sa.Connection, fips: list[dict[str, Any]]) -> None:
    order = (_forwarding.c.protocol, _forwarding.c.external_port_start)
    query = sa.select(_forwarding).where(_forwarding.c.floatingip_id.in_([fip["id"] for fip in fips])).order_by(*order)
    forwardings = [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001
    ids = {fip["fixed_port_id"] for fip in fips if fip["fixed_port_id"]}
    ids |= {row["internal_neutron_port_id"] for row in forwardings}
    bindings = {one: row for chunk in chunks(ids) for one, row in read_bindings(connection, chunk).items()}
    by_fip: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in forwardings:
        row["port"] = bindings[row["internal_neutron_port_id"]]
        by_fip[row["floatingip_id"]].append(row)
    for fip in fips:
        fip["port"] = bindings.get(fip["fixed_port_id"])
        fip["port_forwardings"] = by_fip[fip["id"]]
