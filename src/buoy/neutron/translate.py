# SPDX-License-Identifier: Apache-2.0
"""Translate Neutron's resources into documents. Pure: dicts in the API's words in, documents out.

Promises: only what Buoy itself bound becomes a workload; a floating IP always
becomes a claim, also while it leads nowhere, so that `why` can say so. The
tricky thing is `default_egress`: of several floating IPs of one fixed IP one
alone is used for connections going out (`outgoing`).
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from buoy.model.address import Address, Prefix, family, packed, parse_address, parse_mac
from buoy.model.group import Member, SecurityGroup
from buoy.model.network import HostRoute, Ipv6Mode, Network, Subnet
from buoy.model.pool import Direction, Pool, Registry
from buoy.model.service_ip import Endpoint, Mode, PortMapping, ServiceIP
from buoy.model.workload import AddressPair, DhcpOption, FixedIP, Workload
from buoy.neutron.rules import translate_rule

Row: TypeAlias = Mapping[str, Any]

DRIVER = "buoy"
"""Our name in `mechanism_drivers` and in a port's binding levels."""

VIF_TYPE = "tap"
DIRECTION_TAG = "buoy:direction="
"""Prefix of the tag that gives a floating IP, or its pool's subnet or network, a direction."""

_INTERFACE_LENGTH = 14


def interface_name(port: str) -> str:
    """Return the name Nova gives the tap of a port: an interface name has at most 15 characters."""
    return f"tap{port}"[:_INTERFACE_LENGTH]


def is_ours(port: Row) -> bool:
    """Tell whether Buoy bound this port to a host."""
    return bool(port["host"]) and port["vif_type"] == VIF_TYPE and port["driver"] == DRIVER


def translate_port(port: Row) -> Workload | None:
    """Return the workload of a port that Buoy bound, None for every other port."""
    if not is_ours(port):
        return None
    return Workload(
        id=port["id"],
        node=port["host"],
        interface=interface_name(port["id"]),
        mac=parse_mac(port["mac_address"]),
        network=port["network_id"],
        project=port["project_id"] or "",
        name=port["name"] or "",
        hostname=port.get("dns_name") or "",
        fixed_ips=tuple(sorted((_fixed_ip(row) for row in port["fixed_ips"]), key=lambda ip: packed(ip.address))),
        groups=tuple(sorted(port["security_groups"])),
        port_security=port["port_security_enabled"],
        pairs=tuple(sorted((_pair(row, port) for row in port["allowed_address_pairs"]), key=_pair_order)),
        dhcp_options=tuple(sorted((_option(row) for row in port["extra_dhcp_opts"]), key=_option_order)),
        admin_up=port["admin_state_up"] and port["network_admin_state_up"],
        revision=port["revision_number"] or 0,
    )


def member_prefixes(port: Row) -> set[Prefix]:
    """Return what a port adds to each of its groups: its fixed IPs and its allowed address pairs."""
    texts = [row["ip_address"] for row in (*port["fixed_ips"], *port["allowed_address_pairs"])]
    return {as_prefix(text) for text in texts}


def translate_member(group: str, prefix: Prefix) -> Member:
    """Return the membership document of one prefix."""
    return Member(group=group, prefix=prefix)


def as_prefix(text: str) -> Prefix:
    """Return the canonical prefix of an address, a network or a network with host bits, all of which Neutron keeps."""
    return Prefix(str(ipaddress.ip_network(text, strict=False)))


def readable_prefix(text: str) -> Prefix | None:
    """Return the same, or None for what an older Neutron took and nobody can read: it must hinder only its own port."""
    try:
        return as_prefix(text)
    except ValueError:
        return None


def translate_group(group: Row) -> SecurityGroup:
    """Return a security group with its rules in a stable order."""
    rules = {translate_rule(row) for row in group["security_group_rules"]}
    return SecurityGroup(id=group["id"], name=group["name"] or "", rules=tuple(sorted(rules, key=repr)))


def translate_network(network: Row) -> Network:
    """Return a network; its MTU is in bytes."""
    return Network(
        id=network["id"],
        name=network["name"] or "",
        mtu=network["mtu"],
        external=network["router:external"],
        dns_domain=(network.get("dns_domain") or "").rstrip("."),
    )


def translate_subnet(subnet: Row) -> Subnet:
    """Return a subnet; `internal` if Buoy carries its network and it is not external."""
    routes = ((as_prefix(row["destination"]), parse_address(row["nexthop"])) for row in subnet["host_routes"])
    return Subnet(
        id=subnet["id"],
        network=subnet["network_id"],
        prefix=as_prefix(subnet["cidr"]),
        gateway=parse_address(subnet["gateway_ip"]) if subnet["gateway_ip"] else None,
        dns_servers=_dns_servers(subnet["dns_nameservers"]),
        host_routes=tuple(HostRoute(prefix=prefix, via=via) for prefix, via in sorted(routes)),
        dhcp=subnet["enable_dhcp"],
        ra_mode=Ipv6Mode(subnet["ipv6_ra_mode"]) if subnet["ipv6_ra_mode"] else None,
        address_mode=Ipv6Mode(subnet["ipv6_address_mode"]) if subnet["ipv6_address_mode"] else None,
        internal=subnet["carried"] and not subnet["router:external"],
    )


def _dns_servers(texts: Sequence[str]) -> tuple[Address, ...]:
    """Neutron's API takes one address of zeros for "tell guests of no server at all"."""
    servers = tuple(parse_address(text) for text in texts)
    return () if len(servers) == 1 and not any(packed(servers[0])) else servers


def translate_pool(subnet: Row) -> Pool | None:
    """Return the pool of an external subnet, None for any other."""
    if not subnet["router:external"]:
        return None
    return Pool(
        name=subnet["id"],
        prefixes=(as_prefix(subnet["cidr"]),),
        registry=Registry.NEUTRON,
        direction=direction(subnet["tags"], subnet["network_tags"]),
        description=subnet["name"] or "",
    )


def direction(*tags: Iterable[str]) -> Direction:
    """Return the first direction found in lists of tags, the most special list first; `both` if none says."""
    for words in tags:
        for word in sorted(words):
            if word.startswith(DIRECTION_TAG):
                return Direction(word.removeprefix(DIRECTION_TAG))
    return Direction.BOTH


def translate_floating_ip(fip: Row, siblings: Sequence[Row]) -> ServiceIP:
    """Return the claim of a floating IP; `siblings` are all floating IPs of its fixed IP, itself included."""
    own = direction(fip["tags"], fip["subnet_tags"], fip["network_tags"])
    chosen = outgoing(siblings)
    return ServiceIP(
        address=parse_address(fip["floating_ip_address"]),
        mode=Mode.TRANSLATED,
        id=fip["id"],
        pool=fip["subnet_id"] or "",
        project=fip["project_id"] or "",
        direction=own,
        endpoints=tuple(_endpoints(fip)),
        default_egress=chosen is None or chosen == fip["id"],
        revision=fip["revision_number"] or 0,
    )


def outgoing(siblings: Sequence[Row]) -> str | None:
    """Return the id of the floating IP that connections from a shared fixed IP leave with.

    Of those that serve outgoing connections: the one whose router owns the subnet's
    default route, else the lowest address. None if none serves them.
    """
    able = [f for f in siblings if direction(f["tags"], f["subnet_tags"], f["network_tags"]) is not Direction.INGRESS]
    preferred = [f for f in able if f["router_id"] and f["router_id"] == f["gateway_router_id"]] or able
    lowest = min(preferred, key=lambda f: packed(Address(f["floating_ip_address"])), default=None)
    return None if lowest is None else str(lowest["id"])


def _endpoints(fip: Row) -> Iterable[Endpoint]:
    if fip["port"] is not None:
        yield _endpoint(fip["port"], fip["fixed_ip_address"])
    for forwarding in fip["port_forwardings"]:
        for mapping in _mappings(forwarding):
            yield _endpoint(forwarding["port"], forwarding["internal_ip_address"], mapping)


def _endpoint(port: Row, target: str, mapping: PortMapping | None = None) -> Endpoint:
    ours = is_ours(port)
    return Endpoint(
        workload=port["id"],
        target=parse_address(target),
        node=port["host"] if ours else "",
        driver="" if ours else port["driver"] or "",
        mapping=mapping,
    )


def _mappings(forwarding: Row) -> Iterable[PortMapping]:
    """N external ports go to N internal ones, or each to the same one (Neutron's 1-N)."""
    first, last = forwarding["external_port_start"], forwarding["external_port_end"]
    target, target_last = forwarding["internal_port_start"], forwarding["internal_port_end"]
    if last - first == target_last - target:
        yield PortMapping(protocol=forwarding["protocol"], first=first, last=last, target_first=target)
        return
    for port in range(first, last + 1):
        yield PortMapping(protocol=forwarding["protocol"], first=port, last=port, target_first=target)


def _fixed_ip(row: Row) -> FixedIP:
    return FixedIP(address=parse_address(row["ip_address"]), subnet=row["subnet_id"])


def _pair(row: Row, port: Row) -> AddressPair:
    return AddressPair(
        prefix=as_prefix(row["ip_address"]),
        mac=parse_mac(row["mac_address"] or port["mac_address"]),
        owner=_owner(row.get("owner"), port),
    )


def _owner(owner: Row | None, port: Row) -> str:
    """Return the other port that a pair's address is routed to; a VIP's own port, bound nowhere, leaves it to pairs."""
    return owner["id"] if owner is not None and owner["id"] != port["id"] and is_ours(owner) else ""


def _pair_order(pair: AddressPair) -> tuple[int, str, str]:
    return family(pair.prefix), pair.prefix, pair.mac


def _option(row: Row) -> DhcpOption:
    return DhcpOption(name=row["opt_name"], value=row["opt_value"], version=row["ip_version"])


def _option_order(option: DhcpOption) -> tuple[int, str]:
    return option.version, option.name
