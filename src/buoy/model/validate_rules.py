# SPDX-License-Identifier: Apache-2.0
"""What no type can say of one struct: ranges, families, and fields that exclude each other."""

from collections.abc import Callable
from typing import Any

from buoy.model.address import Address, family, packed, split
from buoy.model.errors import InvalidInput
from buoy.model.group import Rule
from buoy.model.network import Network, Subnet
from buoy.model.peer import Bfd, BGPSettings, FilterRule, Peer
from buoy.model.pool import Expression, Operator, Pool, Range, Registry
from buoy.model.service_ip import Endpoint, PortMapping, ServiceIP
from buoy.model.workload import FixedIP

_PORTS = 65535
_ASN = 2**32 - 1
_YEAR = 31_536_000
_PROTOCOLS = ("sctp", "tcp", "udp")


def _within(field: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise InvalidInput(field, value, f"give a number from {low} to {high}")


def _unicast(field: str, address: Address) -> None:
    """Refuse what can be nobody's: unspecified, loopback, link-local and multicast addresses."""
    raw = packed(address)
    special = raw[0] in {0, 127} or raw[0] >= 224 or raw[:2] == b"\xa9\xfe"
    if len(raw) == 16:
        special = raw[0] in {0, 255} or (raw[0] == 254 and raw[1] & 0xC0 == 0x80)
    if special:
        raise InvalidInput(field, address, "give a unicast address that can be routed")


def _fixed_ip(value: FixedIP) -> None:
    _unicast(".address", value.address)


def _endpoint(value: Endpoint) -> None:
    _unicast(".target", value.target)


def _service_ip(value: ServiceIP) -> None:
    _unicast(".address", value.address)
    mappings = [endpoint.mapping for endpoint in value.endpoints]
    mapped = [mapping for mapping in mappings if mapping is not None]
    if mapped and len(mapped) < len(mappings):
        raise InvalidInput(".endpoints", "mapped and unmapped", "map every endpoint or none")
    for field, kind in ((".endpoints", mapped), (".mappings", value.mappings)):
        ports = sum(mapping.last - mapping.first + 1 for mapping in kind)
        if ports > _PORTS:
            raise InvalidInput(field, f"{ports} ports", f"map at most {_PORTS} ports of one service IP")
    for index, endpoint in enumerate(value.endpoints):
        if family(endpoint.target) != family(value.address):
            raise InvalidInput(f".endpoints[{index}].target", endpoint.target, f"give the family of {value.address}")


def _port_mapping(value: PortMapping) -> None:
    if value.protocol not in _PROTOCOLS:
        raise InvalidInput(".protocol", value.protocol, f"give one of {', '.join(_PROTOCOLS)}")
    _within(".first", value.first, 1, _PORTS)
    _within(".last", value.last, value.first, _PORTS)
    _within(".target_first", value.target_first, 1, _PORTS - (value.last - value.first))


def _rule(value: Rule) -> None:
    if value.family not in {4, 6}:
        raise InvalidInput(".family", value.family, "give 4 or 6")
    _within(".protocol", value.protocol, 0, 255)
    _within(".first", value.first, 0, _PORTS)
    _within(".last", value.last, 0, _PORTS)
    if value.prefix is not None and value.group is not None:
        raise InvalidInput(".group", value.group, "give a prefix or a group, not both")
    if value.prefix is not None and family(value.prefix) != value.family:
        raise InvalidInput(".prefix", value.prefix, f"give a prefix of family {value.family}")


def _network(value: Network) -> None:
    _within(".mtu", value.mtu, 68, _PORTS)


def _subnet(value: Subnet) -> None:
    if value.gateway is not None and family(value.gateway) != family(value.prefix):
        raise InvalidInput(".gateway", value.gateway, f"give the family of {value.prefix}")


def _peer(value: Peer) -> None:
    _within(".asn", value.asn, 1, _ASN)
    _within(".local_asn", value.local_asn, 1, _ASN)
    _within(".port", value.port, 1, _PORTS)
    _within(".hold_time", value.hold_time, 0, _PORTS)
    _within(".multihop", value.multihop, 1, 255)
    _within(".allow_local_as", value.allow_local_as, 0, 255)
    if not value.password.isprintable() or '"' in value.password:
        raise InvalidInput(".password", "…", 'use printable characters without "')
    _one_password(value)


def _one_password(value: Peer | BGPSettings) -> None:
    if value.password and value.password_from:
        raise InvalidInput(".password_from", value.password_from, "give password or password_from, not both")


def _bfd(value: Bfd) -> None:
    _within(".interval", value.interval, 10, 60_000)
    _within(".multiplier", value.multiplier, 1, 255)


def _settings(value: BGPSettings) -> None:
    _within(".asn", value.asn, 1, _ASN)
    _within(".listen_port", value.listen_port, 1, _PORTS)
    _one_password(value)


def _filter_rule(value: FilterRule) -> None:
    shortest = split(value.prefix)[1]
    longest = 128 if family(value.prefix) == 6 else 32
    _within(".low", value.low, shortest, longest)
    _within(".high", value.high, value.low if value.low is not None else shortest, longest)


def _pool(value: Pool) -> None:
    if value.registry is Registry.STORE:
        for index, prefix in enumerate(value.prefixes):
            _unicast(f".prefixes[{index}]", split(prefix)[0])
    for field in ("hold_down", "remember"):
        seconds = getattr(value, field)
        if not 0 <= seconds <= _YEAR:
            raise InvalidInput(f".{field}", seconds, f"give seconds from 0 to {_YEAR}, which is a year")
    if value.quota is not None and value.quota < 0:
        raise InvalidInput(".quota", value.quota, "give a number from 0 on, or leave it out: any number of addresses")
    for index, namespace in enumerate(value.namespaces):
        if not namespace:
            raise InvalidInput(f".namespaces[{index}]", namespace, "give the name of a namespace, or leave it out")


def _range(value: Range) -> None:
    _unicast(".first", value.first)
    _unicast(".last", value.last)
    if family(value.first) != family(value.last):
        raise InvalidInput(".last", value.last, f"give the family of {value.first}")
    if packed(value.last) < packed(value.first):
        raise InvalidInput(".last", value.last, f"give {value.first} or a higher address")


def _expression(value: Expression) -> None:
    if not value.key:
        raise InvalidInput(".key", value.key, "give the key of a label")
    if value.operator in {Operator.IN, Operator.NOT_IN}:
        if not value.values:
            raise InvalidInput(".values", "", f"give at least one value: the operator is {value.operator.value}")
    elif value.values:
        remedy = f"leave the values out: the operator is {value.operator.value}"
        raise InvalidInput(".values", ", ".join(value.values), remedy)


RULES: dict[type, Callable[[Any], None]] = {
    FixedIP: _fixed_ip,
    Endpoint: _endpoint,
    ServiceIP: _service_ip,
    PortMapping: _port_mapping,
    Rule: _rule,
    Network: _network,
    Subnet: _subnet,
    Peer: _peer,
    Bfd: _bfd,
    BGPSettings: _settings,
    FilterRule: _filter_rule,
    Pool: _pool,
    Range: _range,
    Expression: _expression,
}
"""The rule of each struct that has one: raises `InvalidInput` naming the field, as seen from the struct."""
