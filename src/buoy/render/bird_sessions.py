# SPDX-License-Identifier: Apache-2.0
"""BIRD's text for one BGP session and for one filter.

A session's text depends on its own peer and on whether the node reflects, so
that reloading leaves every other session up. Strings come checked
(`planner/peering_rules.py`); whatever BIRD could not quote was refused there.
"""

from collections.abc import Iterable, Iterator

from buoy.model.address import family
from buoy.model.peer import Action, Filter, FilterRule, NextHop
from buoy.planner.peering import Speaking
from buoy.planner.peering_names import symbol
from buoy.planner.peering_rules import length_bounds
from buoy.planner.peering_sessions import Session

EXPORT_NONE = "export none"
"""What stands in a session over which nothing is told."""


def filter_function(document: Filter) -> str:
    """Return a function that tells whether a route passes; the first rule that matches decides."""
    rules = "".join(f"\t{_rule(rule)}\n" for rule in document.rules)
    return f"function {symbol('filter', document.name)}() {{\n{rules}\treturn true;\n}}\n"


def session_block(session: Session, speaking: Speaking) -> str:
    """Return the `protocol bgp` of a session, with a channel for each family it carries."""
    options = "".join(f"\t{line};\n" for line in _options(session, speaking))
    own = _channel(family(session.remote), _steps(session, speaking))
    if session.other is None:
        return f"protocol bgp {session.name} {{\n{options}{own}}}\n"
    # else BIRD takes whatever address of that family the interface happens to have
    next_hop = f"next hop address {session.other}"
    other = _channel(family(session.other), [next_hop, *_steps(session, speaking)])
    return f"protocol bgp {session.name} {{\n{options}{own}{other}}}\n"


def _channel(version: int, steps: Iterable[str]) -> str:
    lines = "".join(f"\t\t{step};\n" for step in steps)
    return f"\tipv{version} {{\n{lines}\t}};\n"


def _rule(rule: FilterRule) -> str:
    low, high = length_bounds(rule)
    verdict = "true" if rule.action is Action.ACCEPT else "false"
    return f"if net ~ [ {rule.prefix}{{{low},{high}}} ] then return {verdict};"


def _options(session: Session, speaking: Speaking) -> Iterator[str]:
    yield f"local {session.local} port {session.local_port} as {session.local_asn}"
    yield f"neighbor {session.remote} port {session.remote_port} as {session.remote_asn}"
    if session.multihop is not None:
        yield f"multihop {session.multihop}"
    if session.ttl_security:
        yield "ttl security on"
        if session.multihop is None:
            # inside an AS BIRD would take 64 hops, and ask for next to nothing
            yield "direct"
    if session.allow_local_as:
        yield f"allow local as {session.allow_local_as}"
    if session.passive:
        yield "passive on"
    if session.password:
        yield f'password "{session.password}"'
    yield f"hold time {session.hold_time}"
    if session.keepalive is not None:
        yield f"keepalive time {session.keepalive}"
    yield f"connect retry time {session.connect_retry}"
    # BIRD waits 5 s before its first attempt and up to 300 s after an error; a restart must not take that long
    yield "connect delay time 1"
    yield f"error wait time 1, {max(1, session.connect_retry)}"
    yield f"graceful restart {'on' if session.graceful_restart else 'off'}"
    if session.graceful_restart:
        # for BIRD's own 120 s the addresses of a node that died would lead to it, where a session's end alone tells
        yield f"graceful restart time {session.graceful_restart_time}"
    if session.bfd is not None:
        yield f"bfd {{ interval {session.bfd.interval} ms; multiplier {session.bfd.multiplier}; }}"
        if session.bfd.graceful:
            yield "bfd graceful"
    if session.client:
        yield "rr client"
        if speaking.cluster_id is not None:
            yield f"rr cluster id {speaking.cluster_id}"


def _steps(session: Session, speaking: Speaking) -> Iterator[str]:
    if session.internal:
        # a reflector that told only its best route would take ECMP away from everybody behind it
        yield "add paths on"
    if session.next_hop is not NextHop.AUTO:
        yield f"next hop {session.next_hop.value}"
    yield f"import filter {{ {' '.join(_import_steps(session, speaking))} }}" if session.hears else "import none"
    yield _export(session) if session.tells else EXPORT_NONE


def _export(session: Session) -> str:
    own = "buoy_export_internal()" if session.internal else f"buoy_export_external({session.local_asn})"
    filtered = f"{symbol('filter', session.export_filter)}() && " if session.export_filter else ""
    return f"export filter {{ if {filtered}{own} then accept; reject; }}"


def _import_steps(session: Session, speaking: Speaking) -> Iterator[str]:
    if session.import_filter:
        yield f"if !{symbol('filter', session.import_filter)}() then reject;"
    # RFC 8326: who is about to leave says so with this community, which an AS border must turn into a preference
    yield "if (65535, 0) ~ bgp_community then bgp_local_pref = 0;"
    if session.internal and speaking.reflects:
        yield "buoy_inner = 1;"
    yield "accept;"
