# SPDX-License-Identifier: Apache-2.0
"""Who may talk to a workload: its guard, and the combination, groups and members behind it.

Promises that policy is wanted as soon as the document is there, before the tap is,
so that a guest never sees a moment without. A combination is the sorted set of
groups some ports have in common; it has one chain, whoever and how many use it.
"""

import hashlib
from collections.abc import Iterable

from buoy.model.address import Address, Mac, Prefix, host_prefix, unpacked
from buoy.model.group import Member, SecurityGroup
from buoy.model.nodestate import Combination, Entry, GroupMember, GroupRules, Key, PortGuard, Table
from buoy.model.workload import Workload
from buoy.planner.contest import Bid, Subject
from buoy.planner.index import NOTHING, Reader, Wish

_COMBINATION = "combination/"
_GROUPS = "groups/"
_LINK_LOCAL = bytes.fromhex("fe80000000000000")


def guard(workload: Workload) -> tuple[PortGuard, frozenset[Subject]]:
    """Return the guard of a workload's interface, and the combination it needs.

    A port that is administratively down keeps its guard with no group, which lets nothing pass.
    """
    if workload.admin_up and not workload.port_security:
        return PortGuard(None, ()), frozenset()
    groups = tuple(sorted(set(workload.groups))) if workload.admin_up else ()
    return PortGuard(combination_id(groups), _sources(workload)), frozenset({_COMBINATION + ",".join(groups)})


def combination_id(groups: Iterable[str]) -> str:
    """Return the name of a combination: short enough for a chain's name, however many groups there are."""
    joined = ",".join(sorted(groups))
    return hashlib.sha256(joined.encode()).hexdigest()[:16] if joined else "none"


def link_local(mac: Mac) -> Address:
    """Return the IPv6 link-local address of a MAC (RFC 4291, appendix A)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    return unpacked(_LINK_LOCAL + bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:])


def _sources(workload: Workload) -> tuple[tuple[Mac, Prefix], ...]:
    own = {(workload.mac, host_prefix(fixed.address)) for fixed in workload.fixed_ips}
    pairs = {(pair.mac, pair.prefix) for pair in workload.pairs}
    macs = {workload.mac, *(pair.mac for pair in workload.pairs)}
    return tuple(sorted(own | pairs | {(mac, host_prefix(link_local(mac))) for mac in macs}))


def combination_wish(subject: Subject, reader: Reader) -> Wish:
    """Return the chain of a combination; it needs the chains of its groups."""
    del reader
    groups = tuple(group for group in subject.removeprefix(_COMBINATION).split(",") if group)
    entries = {Key(Table.COMBINATION, (combination_id(groups),)): _only(Combination(groups))}
    return Wish(entries, frozenset(_GROUPS + group for group in groups))


def group_wish(subject: Subject, reader: Reader) -> Wish:
    """Return the chains of a group; it needs the members of the groups its rules name.

    A group whose document is not there (yet) allows nothing, but has its chains, for others jump to them.
    """
    group = reader.document(subject, SecurityGroup)
    rules = group.rules if group else ()
    entries = {Key(Table.GROUP, (subject.removeprefix(_GROUPS),)): _only(GroupRules(rules))}
    return Wish(entries, frozenset(membership(rule.group) for rule in rules if rule.group))


def member_wish(subject: Subject, reader: Reader) -> Wish:
    """Return one element of a group's set."""
    member = reader.document(subject, Member)
    if member is None:
        return NOTHING
    return Wish({Key(Table.MEMBER, (member.group, member.prefix)): _only(GroupMember())})


def membership(group: str) -> Subject:
    """Return the subject that is needed while the members of a group are."""
    return f"membership/{group}"


def _only(entry: Entry) -> Bid[Entry]:
    return Bid((0,), entry)
