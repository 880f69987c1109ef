# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPFilter as filters of Buoy: one for export and one for import.

Promises that a rule that is in force matches exactly what Calico's would. The tricky
thing is NotIn and NotEqual: a rule of Buoy names what it matches, so one for all that
lies outside of a prefix is said only as the last of its family, where what lies inside
meets no further rule. A rule that cannot be said is left out and named.

Source: projectcalico/calico api/pkg/apis/projectcalico/v3/bgpfilter.go.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from buoy.kubernetes.foreign import BGPFilter, BGPFilterRule, PrefixLength
from buoy.kubernetes.reading import read_prefix
from buoy.model import documents
from buoy.model.address import Prefix, split
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.peer import Action, Filter, FilterRule

_IGNORED = ("source", "interface", "peer_type", "communities", "as_path_prefix", "priority", "operations")
_EVERYTHING = {"V4": Prefix("0.0.0.0/0"), "V6": Prefix("::/0")}
_LONGEST = {"V4": 32, "V6": 128}
_OUTSIDE = {"NotIn": "In", "NotEqual": "Equal"}


class Made(NamedTuple):
    """The documents an object gives, and what of it is not in force."""

    documents: Mapping[str, Document]
    notices: tuple[str, ...]


class Combined(NamedTuple):
    """The filters of one peer: their documents, if it needs some of its own, and their names (export, import)."""

    documents: Mapping[str, Document]
    names: tuple[str, str]
    notices: tuple[str, ...] = ()


def filter_name(name: str, direction: str) -> str:
    """Return the name of a BGPFilter's document for ``export`` or ``import``."""
    return f"{name}.{direction}"


def translate_filter(found: BGPFilter) -> Made:
    """Return the two filters of a BGPFilter."""
    made: dict[str, Document] = {}
    notices: list[str] = []
    for direction in ("export", "import"):
        rules, told = _rules(found, direction)
        document = Filter(name=filter_name(found.metadata.name, direction), rules=tuple(rules))
        made[documents.path(document)] = document
        notices += told
    return Made(made, tuple(notices))


def combined_filter(peer: str, wanted: Sequence[str], filters: Mapping[str, BGPFilter]) -> Combined:
    """Return the filters of a peer that names these."""
    notices = [f"spec.filters: there is no BGPFilter {name}" for name in wanted if name not in filters]
    present = [name for name in wanted if name in filters]
    if len(present) <= 1:
        names = ("", "") if not present else (filter_name(present[0], "export"), filter_name(present[0], "import"))
        return Combined({}, names, tuple(notices))
    made: dict[str, Document] = {}
    for direction in ("export", "import"):
        rules: list[FilterRule] = []
        for name in present:
            # what one filter says nothing of is for the next, so only the last may speak of all that is left
            found, told = _rules(filters[name], direction, last=name == present[-1])
            rules += found
            notices += [f"{each} of BGPFilter {name}" for each in told]
        document = Filter(name=filter_name(f"peer.{peer}", direction), rules=tuple(rules))
        made[documents.path(document)] = document
    return Combined(
        made, (filter_name(f"peer.{peer}", "export"), filter_name(f"peer.{peer}", "import")), tuple(notices)
    )


def _rules(found: BGPFilter, direction: str, *, last: bool = True) -> tuple[list[FilterRule], list[str]]:
    rules: list[FilterRule] = []
    notices: list[str] = []
    for version in _EVERYTHING:
        given = getattr(found.spec, f"{direction}_{version.lower()}") or ()
        for index, rule in enumerate(given):
            field = f"spec.{direction}{version}[{index}]"
            try:
                rules += _rule(rule, version, field, last=last and index == len(given) - 1)
            except InvalidInput as error:
                notices.append(f"{error} (the rule is left out)")
    return rules, notices


def _rule(rule: BGPFilterRule, version: str, field: str, *, last: bool) -> Iterator[FilterRule]:
    for name in _IGNORED:
        if getattr(rule, name) is not None:
            raise InvalidInput(f"{field}.{name}", getattr(rule, name), "match by prefix: no other is honoured")
    try:
        action = Action(rule.action.lower())
    except ValueError:
        raise InvalidInput(f"{field}.action", rule.action, "give Accept or Reject") from None
    prefix = read_prefix(rule.cidr, f"{field}.cidr") if rule.cidr else _EVERYTHING[version]
    operator = rule.match_operator or "In"
    if operator in _OUTSIDE:
        if not last:
            raise InvalidInput(f"{field}.matchOperator", operator, "make it the last rule, or say which prefixes match")
        yield _matching(Action.ACCEPT, prefix, _OUTSIDE[operator], None)
        yield _matching(action, _EVERYTHING[version], "In", rule.prefix_length)
    else:
        yield _matching(action, prefix, operator, rule.prefix_length)


def _matching(action: Action, prefix: Prefix, operator: str, lengths: PrefixLength | None) -> FilterRule:
    length, longest = split(prefix)[1], 128 if ":" in prefix else 32
    if operator == "Equal":
        return FilterRule(action=action, prefix=prefix, low=length, high=length)
    if operator != "In":
        raise InvalidInput("matchOperator", operator, "give Equal, NotEqual, In or NotIn")
    low = max(length, lengths.min) if lengths is not None and lengths.min is not None else length
    high = min(longest, lengths.max) if lengths is not None and lengths.max is not None else longest
    if low > high:
        raise InvalidInput("prefixLength", f"{low} to {high}", f"give lengths from {length} to {longest}")
    return FilterRule(action=action, prefix=prefix, low=low, high=high)
