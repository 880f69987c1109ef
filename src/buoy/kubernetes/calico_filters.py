# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPFilter as filters of Buoy: one for export and one for import.

Promises that a rule that is in force matches exactly what Calico's would, and that one which cannot be said narrows
what passes and never widens it: where it rejects, all is rejected that the part of it which can be said covers; where
it accepts, it is left out, and what follows decides. Either is named.

The tricky thing is NotIn and NotEqual: a rule of Buoy names what it matches. As the last of its family such a rule is
two, for what lies inside meets no further rule; anywhere else it is one for each network beside and above the prefix.

Source: projectcalico/calico api/pkg/apis/projectcalico/v3/bgpfilter.go.
"""

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from buoy.kubernetes.foreign import BGPFilter, BGPFilterRule, PrefixLength
from buoy.kubernetes.reading import read_prefix
from buoy.kubernetes.twins import camel
from buoy.model import documents
from buoy.model.address import Prefix, split
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.peer import Action, Filter, FilterRule

_OPERATIONS = "operations"
_IGNORED = ("source", "interface", "peer_type", "communities", "as_path_prefix", "priority", _OPERATIONS)
_EVERYTHING = {"V4": Prefix("0.0.0.0/0"), "V6": Prefix("::/0")}
_ACCEPT = "Accept"
_OUTSIDE = {"NotIn": "In", "NotEqual": "Equal"}
_LONGEST_NAME, _DIGEST = 63, 8


class _Place(NamedTuple):
    """Where a rule stands."""

    field: str
    version: str
    is_last: bool
    """Whether what it does not match passes."""


class Made(NamedTuple):
    """The documents an object gives, and what of it is not in force."""

    documents: Mapping[str, Document]
    notices: tuple[str, ...]


class Combined(NamedTuple):
    """The filters of one peer: their documents, if it needs some of its own, and their names (export, import)."""

    documents: Mapping[str, Document]
    names: tuple[str, str]
    notices: tuple[str, ...] = ()


def fitting(name: str) -> str:
    """Return a name of at most 63 characters: a longer one, as Kubernetes allows, ends in a digest of all of it."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - _DIGEST - 1]}-{hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]}"


def filter_name(name: str, direction: str) -> str:
    """Return the name of a BGPFilter's document for ``export`` or ``import``."""
    return fitting(f"{name}.{direction}")


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
    """Return the filters of a peer that names these; of one that is missing it has the name, so nothing passes."""
    if missing := [name for name in wanted if name not in filters]:
        nothing = "nothing is told to the peer, nor taken from it, until there is"
        notices = [f"spec.filters: there is no BGPFilter {name}: {nothing}" for name in missing]
        return Combined({}, _names(missing[0]), tuple(notices))
    if len(wanted) <= 1:
        return Combined({}, _names(wanted[0]) if wanted else ("", ""))
    notices = []
    made: dict[str, Document] = {}
    for direction in ("export", "import"):
        rules: list[FilterRule] = []
        for name in wanted:
            # what one filter says nothing of is for the next, so only the last may speak of all that is left
            found, told = _rules(filters[name], direction, last=name == wanted[-1])
            rules += found
            notices += [f"{each} of BGPFilter {name}" for each in told]
        document = Filter(name=filter_name(f"peer.{peer}", direction), rules=tuple(rules))
        made[documents.path(document)] = document
    return Combined(made, _names(f"peer.{peer}"), tuple(notices))


def _names(name: str) -> tuple[str, str]:
    return filter_name(name, "export"), filter_name(name, "import")


def _rules(found: BGPFilter, direction: str, *, last: bool = True) -> tuple[list[FilterRule], list[str]]:
    rules: list[FilterRule] = []
    notices: list[str] = []
    for version in _EVERYTHING:
        given = getattr(found.spec, f"{direction}_{version.lower()}") or ()
        for index, rule in enumerate(given):
            place = _Place(f"spec.{direction}{version}[{index}]", version, last and index == len(given) - 1)
            try:
                rules += _said(rule, place)
            except InvalidInput as error:
                narrow, instead = _narrowed(rule, place)
                rules += narrow
                notices.append(f"{error} ({instead})")
    return rules, notices


def _said(rule: BGPFilterRule, place: _Place) -> list[FilterRule]:
    for name in _IGNORED:
        if getattr(rule, name) is not None:
            raise InvalidInput(
                f"{place.field}.{camel(name)}", getattr(rule, name), "match by prefix: no other is honoured"
            )
    try:
        action = Action(rule.action.lower())
    except ValueError:
        raise InvalidInput(f"{place.field}.action", rule.action, "give Accept or Reject") from None
    return list(_matching(rule, action, place))


def _narrowed(rule: BGPFilterRule, place: _Place) -> tuple[list[FilterRule], str]:
    """Return what stands in the place of a rule that cannot be said, and the words for it."""
    # what is to be passed on changed must not be passed on as it is: its change may be what keeps it near
    if rule.action == _ACCEPT and getattr(rule, _OPERATIONS) is None:
        return [], "the rule is left out: what follows it decides"
    try:
        return list(_matching(rule, Action.REJECT, place)), "all that its cidr matches is rejected"
    except InvalidInput:
        all_of_it = FilterRule(action=Action.REJECT, prefix=_EVERYTHING[place.version], low=0)
        return [all_of_it], f"all of IP{place.version.lower()} is rejected"


def _matching(rule: BGPFilterRule, action: Action, place: _Place) -> Iterator[FilterRule]:
    """Yield the rules for what a rule matches by its prefix."""
    prefix = read_prefix(rule.cidr, f"{place.field}.cidr") if rule.cidr else _EVERYTHING[place.version]
    operator = (rule.match_operator or "In") if rule.cidr else "In"
    if operator not in _OUTSIDE:
        yield _inside(action, prefix, operator, rule.prefix_length)
        return
    inside = _inside(Action.ACCEPT, prefix, _OUTSIDE[operator], rule.prefix_length)
    if place.is_last:
        yield inside
        yield _inside(action, _EVERYTHING[place.version], "In", None)
    else:
        yield from _all_but(inside, action)


def _inside(action: Action, prefix: Prefix, operator: str, lengths: PrefixLength | None) -> FilterRule:
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


def _all_but(inside: FilterRule, action: Action) -> Iterator[FilterRule]:
    """Yield rules for all that another one does not match, of its family."""
    network = ipaddress.ip_network(inside.prefix)
    length, longest = network.prefixlen, network.max_prefixlen
    low, high = inside.low or 0, longest if inside.high is None else inside.high
    for above in (network.supernet(new_prefix=each) for each in range(length)):
        yield FilterRule(action=action, prefix=Prefix(str(above)), low=above.prefixlen, high=above.prefixlen)
        for half in above.subnets():
            if not half.overlaps(network):
                yield FilterRule(action=action, prefix=Prefix(str(half)), low=half.prefixlen, high=longest)
    if length < low:
        yield FilterRule(action=action, prefix=inside.prefix, low=length, high=low - 1)
    if high < longest:
        yield FilterRule(action=action, prefix=inside.prefix, low=high + 1, high=longest)
