# SPDX-License-Identifier: Apache-2.0
"""A document of the right shape may still say what cannot be: refused here, with the field, value and remedy.

Promises that every address, prefix and MAC in a document that passes is canonical,
so that equal things are equal texts, and that every name which becomes part of a
path, a chain or an interface is harmless there. Checks are found once per struct
from its type hints; a document costs a few microseconds.
"""

import re
from collections.abc import Callable, Iterable
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from buoy.model.address import (
    Address,
    Mac,
    Prefix,
    is_host,
    packed,
    parse_address,
    parse_mac,
    parse_prefix,
    split,
    unpacked,
)
from buoy.model.community import parse_community
from buoy.model.errors import InvalidInput
from buoy.model.group import Member, Rule, SecurityGroup
from buoy.model.network import Network, Subnet
from buoy.model.node import Fence, Node
from buoy.model.peer import BGPSettings, Filter, Peer, Tagged
from buoy.model.pool import Pool
from buoy.model.proxied import Backing, Eligibility
from buoy.model.service_ip import Endpoint
from buoy.model.status import AddressStatus, Witness, WorkloadStatus
from buoy.model.validate_rules import RULES
from buoy.model.workload import FixedIP, Workload
from buoy.model.writer import Writer

Check = Callable[[Any], None]
"""Raises `InvalidInput` if a value cannot be; its field is relative to the value, so a good one builds no text."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,127}")
_NAME_OR_EMPTY = re.compile(rf"({_NAME.pattern})?")
_WORKLOAD = re.compile(rf"{_NAME.pattern}|[a-z0-9][a-z0-9-]{{0,62}}/[a-z0-9][a-z0-9.-]{{0,252}}")
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]{0,252}/){0,1}[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}|")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


def _address(value: str) -> None:
    try:
        canonical: str = unpacked(packed(Address(value)))
    except (OSError, ValueError):
        canonical = ""
    if canonical != value:
        # What inet_pton refuses is refused here with the right words.
        raise InvalidInput("", value, f"write {parse_address(value, '')}")


def _prefix(value: str) -> None:
    if is_host(Prefix(value)):
        _address(split(Prefix(value))[0])
    elif (canonical := parse_prefix(value, "")) != value:
        raise InvalidInput("", value, f"write {canonical}")


def _mac(value: str) -> None:
    if (canonical := parse_mac(value, "")) != value:
        raise InvalidInput("", value, f"write {canonical}")


def _matching(pattern: re.Pattern[str], remedy: str) -> Check:
    def check(value: str) -> None:
        if not pattern.fullmatch(value):
            raise InvalidInput("", value[:160], remedy)

    return check


def _each(check: Check) -> Check:
    def check_all(values: Iterable[object]) -> None:
        for index, value in enumerate(values):
            try:
                check(value)
            except InvalidInput as error:
                raise InvalidInput(f"[{index}]{error.field}", error.value, error.remedy) from error

    return check_all


def _given(check: Check) -> Check:
    def check_given(value: object) -> None:
        if value is not None:
            check(value)

    return check_given


_name = _matching(_NAME, "use up to 128 letters, digits and _ . : @ -, beginning with a letter, digit or _")
_name_or_empty = _matching(_NAME_OR_EMPTY, "use letters, digits and _ . : @ -, or leave it empty")
_workload = _matching(_WORKLOAD, "give the name of a port, or namespace/name of a pod")
_group = _matching(_GROUP, "use 1 to 64 letters, digits, _ and -")
_secret = _matching(_SECRET, "name a file such as bgp-secrets/tor, relative to the agents' passwords")
_interface = _matching(_INTERFACE, "use 1 to 15 letters, digits and _ . -, beginning with a letter, digit or _")


def _community(value: str) -> None:
    parse_community(value, "")


_TYPES: dict[object, Check] = {Address: _address, Prefix: _prefix, Mac: _mac}

_NAMES: dict[type, dict[str, Check]] = {
    Workload: {"id": _name, "node": _name, "interface": _interface, "network": _name, "groups": _each(_group)},
    FixedIP: {"subnet": _name},
    Endpoint: {"workload": _workload, "node": _name_or_empty},
    SecurityGroup: {"id": _group},
    Member: {"group": _group},
    Rule: {"group": _given(_group)},
    Network: {"id": _name},
    Subnet: {"id": _name, "network": _name},
    Pool: {"name": _name},
    Node: {"name": _name},
    Fence: {"node": _name},
    Writer: {"name": _name},
    Peer: {
        "name": _name,
        "nodes": _each(_name),
        "export_filter": _name_or_empty,
        "import_filter": _name_or_empty,
        "password_from": _secret,
    },
    BGPSettings: {"password_from": _secret},
    Filter: {"name": _name},
    Tagged: {"communities": _each(_community)},
    AddressStatus: {"node": _name},
    WorkloadStatus: {"node": _name, "workload": _name},
    Witness: {"node": _name},
    Eligibility: {"node": _name},
    Backing: {"ready": _each(_name), "draining": _each(_name)},
}


def check(at: str, document: msgspec.Struct) -> None:
    """Raise `InvalidInput` for the first field of a document that cannot be; `at` is its path."""
    try:
        _of_struct(type(document))(document)
    except InvalidInput as error:
        raise InvalidInput(at + error.field, error.value, error.remedy) from error


_checks: dict[type, Check] = {}


def _of_struct(struct: type) -> Check:
    if struct not in _checks:
        hints = get_type_hints(struct)
        names = _NAMES.get(struct, {})
        fields = [(name, names.get(name) or _of_type(hint)) for name, hint in hints.items()]
        _checks[struct] = _struct_check([(name, found) for name, found in fields if found], RULES.get(struct))
    return _checks[struct]


def _struct_check(fields: list[tuple[str, Check]], rule: Check | None) -> Check:
    def check_struct(value: object) -> None:
        for name, check_field in fields:
            try:
                check_field(getattr(value, name))
            except InvalidInput as error:
                raise InvalidInput(f".{name}{error.field}", error.value, error.remedy) from error
        if rule:
            rule(value)

    return check_struct


def _of_type(hint: object) -> Check | None:
    """Return the check of a field's type, None if every value of the type may be."""
    if hint in _TYPES:
        return _TYPES[hint]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _of_struct(hint)
    if get_origin(hint) in (Union, UnionType):
        inner = _of_type(next(part for part in get_args(hint) if part is not NoneType))
        return _given(inner) if inner else None
    if get_origin(hint) is tuple:
        inner = _of_type(get_args(hint)[0])
        return _each(inner) if inner else None
    return None
