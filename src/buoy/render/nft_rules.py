# SPDX-License-Identifier: Apache-2.0
"""One security group rule as nft text, and as the comment from which it can be read back.

Promises: `read(write(rule)) == rule`; the comment stands on the nft rule, so a
stranger process recognises a group's rules without parsing nft. The tricky
thing: a rule with a remote group needs two nft rules, one for the set of hosts
and one for the set of prefixes; only the first carries the comment's text.
"""

from buoy.model.address import Prefix, family
from buoy.model.errors import InvalidInput
from buoy.model.group import Rule, Side
from buoy.render.nft_names import member_set

_ICMP = {1: "icmp", 58: "icmpv6"}
_WITH_PORTS = (6, 17, 33, 132, 136)
_ANY = "-"


def statements(rule: Rule) -> tuple[str, ...]:
    """Return the nft matches of one rule, each to be followed by `accept`."""
    fixed = _protocol(rule)
    return tuple(" ".join(part for part in (match, fixed) if part) for match in _peers(rule))


def _peers(rule: Rule) -> tuple[str, ...]:
    keyword = "ip" if rule.family == 4 else "ip6"
    field = "saddr" if rule.side is Side.INGRESS else "daddr"
    if rule.group is not None:
        sets = (member_set(rule.group, rule.family, host=host) for host in (True, False))
        return tuple(f"{keyword} {field} @{text}" for text in sets)
    version = f"meta nfproto ipv{rule.family}"
    if rule.prefix is None:
        return (version,)
    if family(rule.prefix) != rule.family:
        raise InvalidInput("prefix", rule.prefix, f"give an IPv{rule.family} prefix, as the rule's family says")
    # nft refuses a match on /0, which matches everything
    return (version if rule.prefix.endswith("/0") else f"{keyword} {field} {rule.prefix}",)


def _protocol(rule: Rule) -> str:
    if rule.protocol is None:
        if rule.first is not None:
            raise InvalidInput("protocol", None, "name the protocol whose ports are meant")
        return ""
    if rule.protocol in _ICMP:
        return _icmp(rule, _ICMP[rule.protocol])
    match = f"meta l4proto {rule.protocol}"
    if rule.first is None:
        return match
    if rule.protocol not in _WITH_PORTS:
        raise InvalidInput("protocol", rule.protocol, "leave the ports out: this protocol has none")
    last = rule.first if rule.last is None else rule.last
    return f"{match} th dport {rule.first}" + (f"-{last}" if last != rule.first else "")


def _icmp(rule: Rule, keyword: str) -> str:
    if rule.first is None:
        return f"meta l4proto {rule.protocol}"
    code = f" {keyword} code {rule.last}" if rule.last is not None else ""
    return f"{keyword} type {rule.first}{code}"


def write(rule: Rule) -> str:
    """Return a rule as the text of a comment: side and family, protocol, first, last, prefix or @group."""
    peer = f"@{rule.group}" if rule.group is not None else rule.prefix
    numbers = (rule.protocol, rule.first, rule.last)
    fields = (_ANY if value is None else str(value) for value in (*numbers, peer))
    text = f"{rule.side.value[0]}{rule.family} {' '.join(fields)}"
    if len(text) > _LONGEST or '"' in text:
        raise InvalidInput("rule", text, f"use group ids that fit in {_LONGEST} characters")
    return text


_LONGEST = 110


def read(text: str) -> Rule | None:
    """Return the rule of a comment, or None if it is none of ours."""
    fields = text.split(" ", 4)
    if len(fields) != 5 or len(fields[0]) != 2 or fields[0][0] not in "ie" or fields[0][1] not in "46":
        return None
    numbers = [None if field == _ANY else int(field) for field in fields[1:4] if field == _ANY or field.isdigit()]
    if len(numbers) != 3:
        return None
    peer = fields[4]
    return Rule(
        side=Side.INGRESS if fields[0][0] == "i" else Side.EGRESS,
        family=int(fields[0][1]),
        protocol=numbers[0],
        first=numbers[1],
        last=numbers[2],
        prefix=Prefix(peer) if peer[0] not in "@-" else None,
        group=peer[1:] if peer[0] == "@" else None,
    )
