# SPDX-License-Identifier: Apache-2.0
"""Read Neutron's tables into dicts in the API's words, in bulk.

Promises: a fixed number of queries however many resources are asked for, all on
the caller's connection, so that one transaction sees one state.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

import sqlalchemy as sa
from neutron.db.extra_dhcp_opt.models import ExtraDhcpOpt
from neutron.db.models.allowed_address_pair import AllowedAddressPair
from neutron.db.models.dns import NetworkDNSDomain, PortDNS
from neutron.db.models.external_net import ExternalNetwork
from neutron.db.models.securitygroup import SecurityGroup, SecurityGroupPortBinding, SecurityGroupRule
from neutron.db.models.segment import NetworkSegment
from neutron.db.models.tag import Tag
from neutron.db.models_v2 import DNSNameServer, IPAllocation, Network, Port, Subnet, SubnetRoute
from neutron.db.port_security.models import PortSecurityBinding
from neutron.plugins.ml2.models import PortBinding, PortBindingLevel
from neutron_lib.db.standard_attr import StandardAttribute

from buoy.model.address import Prefix, is_host, split
from buoy.neutron.affected import chunks
from buoy.neutron.translate import as_prefix, readable_prefix

Ids: TypeAlias = Collection[str]
Rows: TypeAlias = dict[str, dict[str, Any]]
"""Dicts by id."""

_port = Port.__table__
_binding = PortBinding.__table__
_level = PortBindingLevel.__table__
_security = PortSecurityBinding.__table__
_port_dns = PortDNS.__table__
_allocation = IPAllocation.__table__
_network = Network.__table__
_external = ExternalNetwork.__table__
_segment = NetworkSegment.__table__
_network_dns = NetworkDNSDomain.__table__
_subnet = Subnet.__table__
_group = SecurityGroup.__table__
_attribute = StandardAttribute.__table__
_tag = Tag.__table__

_ACTIVE = "ACTIVE"


def read_bindings(connection: sa.Connection, ids: Ids) -> Rows:
    """Return id, host, vif_type and driver of ports, the last three empty while they are unbound."""
    query = (
        sa.select(_port.c.id, _binding.c.host, _binding.c.vif_type, _level.c.driver, _level.c.level)
        .outerjoin(_binding, sa.and_(_binding.c.port_id == _port.c.id, _binding.c.status == _ACTIVE))
        .outerjoin(_level, sa.and_(_level.c.port_id == _port.c.id, _level.c.host == _binding.c.host))
        .where(_port.c.id.in_(ids))
        .order_by(_level.c.level)
    )
    # the last level is the one next to the host
    return {
        row.id: {"id": row.id, "host": row.host or "", "vif_type": row.vif_type or "", "driver": row.driver or ""}
        for row in connection.execute(query)
    }


def read_ports(connection: sa.Connection, ids: Ids) -> Rows:
    """Return ports with all that a workload is made of."""
    ports = read_bindings(connection, ids)
    for row in connection.execute(_port_query(ids)):
        ports[row.id] |= row._mapping  # noqa: SLF001
        ports[row.id]["port_security_enabled"] = row.port_security_enabled is not False
    fixed = _by_port(connection, _allocation, ids)
    pairs = _by_port(connection, AllowedAddressPair.__table__, ids)
    options = _by_port(connection, ExtraDhcpOpt.__table__, ids)
    groups = _by_port(connection, SecurityGroupPortBinding.__table__, ids)
    _attach_owners(connection, ports, pairs)
    for one, port in ports.items():
        port["fixed_ips"] = fixed[one]
        port["allowed_address_pairs"] = pairs[one]
        port["extra_dhcp_opts"] = options[one]
        port["security_groups"] = [row["security_group_id"] for row in groups[one]]
    return ports


def _attach_owners(connection: sa.Connection, ports: Rows, pairs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Give each pair, as `owner`, the binding of the port of the same network whose fixed IP it is, or None."""
    prefixes = {readable_prefix(row["ip_address"]) for rows in pairs.values() for row in rows}
    networks = {ports[one]["network_id"] for one in pairs}
    owners: dict[tuple[str, Prefix | None], str] = {}
    for chunk in chunks(split(prefix)[0] for prefix in prefixes if prefix and is_host(prefix)):
        where = (_allocation.c.network_id.in_(networks), _allocation.c.ip_address.in_(chunk))
        for row in connection.execute(sa.select(_allocation).where(*where, _allocation.c.port_id.is_not(None))):
            owners[row.network_id, as_prefix(row.ip_address)] = row.port_id
    bindings = {
        one: row for chunk in chunks(set(owners.values())) for one, row in read_bindings(connection, chunk).items()
    }
    for one, asked in pairs.items():
        for pair in asked:
            pair["owner"] = bindings.get(
                owners.get((ports[one]["network_id"], readable_prefix(pair["ip_address"])), "")
            )


def _port_query(ids: Ids) -> sa.Select[Any]:
    return (
        sa.select(
            _port.c.id,
            _port.c.name,
            _port.c.network_id,
            _port.c.project_id,
            _port.c.mac_address,
            _port.c.admin_state_up,
            _network.c.admin_state_up.label("network_admin_state_up"),
            _attribute.c.revision_number,
            _security.c.port_security_enabled,
            _port_dns.c.dns_name,
        )
        .join(_network, _network.c.id == _port.c.network_id)
        .join(_attribute, _attribute.c.id == _port.c.standard_attr_id)
        .outerjoin(_security, _security.c.port_id == _port.c.id)
        .outerjoin(_port_dns, _port_dns.c.port_id == _port.c.id)
        .where(_port.c.id.in_(ids))
    )


def _by_port(connection: sa.Connection, table: sa.Table, ids: Ids) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(sa.select(table).where(table.c.port_id.in_(ids))):
        found[row.port_id].append(dict(row._mapping))  # noqa: SLF001
    return found


def read_networks(connection: sa.Connection, ids: Ids, carried: Collection[str]) -> Rows:
    """Return networks; `carried` tells whether one of their segments has a type that Buoy binds."""
    query = (
        sa.select(
            _network.c.id,
            _network.c.name,
            _network.c.mtu,
            _network.c.standard_attr_id,
            _external.c.network_id.label("external"),
            _network_dns.c.dns_domain,
        )
        .outerjoin(_external, _external.c.network_id == _network.c.id)
        .outerjoin(_network_dns, _network_dns.c.network_id == _network.c.id)
        .where(_network.c.id.in_(ids))
    )
    ours = sa.select(_segment.c.network_id).where(_segment.c.network_id.in_(ids), _segment.c.network_type.in_(carried))
    bound = set(connection.execute(ours).scalars())
    networks = {row.id: dict(row._mapping) for row in connection.execute(query)}  # noqa: SLF001
    tags = read_tags(connection, [network["standard_attr_id"] for network in networks.values()])
    for one, network in networks.items():
        network["router:external"] = network["external"] is not None
        network["carried"] = one in bound
        network["tags"] = tags[network["standard_attr_id"]]
    return networks


def read_subnets(connection: sa.Connection, ids: Ids, carried: Collection[str]) -> Rows:
    """Return subnets with what of their network concerns them."""
    subnets = {
        row.id: dict(row._mapping)  # noqa: SLF001
        for row in connection.execute(sa.select(_subnet).where(_subnet.c.id.in_(ids)))
    }
    networks = read_networks(connection, {subnet["network_id"] for subnet in subnets.values()}, carried)
    servers = _by_subnet(connection, DNSNameServer.__table__, ids)
    routes = _by_subnet(connection, SubnetRoute.__table__, ids)
    tags = read_tags(connection, [subnet["standard_attr_id"] for subnet in subnets.values()])
    for one, subnet in subnets.items():
        network = networks[subnet["network_id"]]
        subnet |= {key: network[key] for key in ("router:external", "carried")}
        subnet["network_tags"] = network["tags"]
        subnet["tags"] = tags[subnet["standard_attr_id"]]
        subnet["dns_nameservers"] = [row["address"] for row in sorted(servers[one], key=lambda row: row["order"])]
        subnet["host_routes"] = routes[one]
    return subnets


def _by_subnet(connection: sa.Connection, table: sa.Table, ids: Ids) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(sa.select(table).where(table.c.subnet_id.in_(ids))):
        found[row.subnet_id].append(dict(row._mapping))  # noqa: SLF001
    return found


def read_groups(connection: sa.Connection, ids: Ids) -> Rows:
    """Return security groups with their rules."""
    groups: Rows = {
        row.id: {"id": row.id, "name": row.name, "security_group_rules": []}
        for row in connection.execute(sa.select(_group.c.id, _group.c.name).where(_group.c.id.in_(ids)))
    }
    rule = SecurityGroupRule.__table__
    for row in connection.execute(sa.select(rule).where(rule.c.security_group_id.in_(list(groups)))):
        groups[row.security_group_id]["security_group_rules"].append(dict(row._mapping))  # noqa: SLF001
    return groups


def read_tags(connection: sa.Connection, attributes: Iterable[int]) -> dict[int, list[str]]:
    """Return the tags of resources by their standard attribute."""
    found: dict[int, list[str]] = defaultdict(list)
    for chunk in chunks(attributes):
        for row in connection.execute(sa.select(_tag).where(_tag.c.standard_attr_id.in_(chunk))):
            found[row.standard_attr_id].append(row.tag)
    return found
