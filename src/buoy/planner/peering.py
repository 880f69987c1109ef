# SPDX-License-Identifier: Apache-2.0
"""With whom one node speaks BGP: peers, filters, settings and nodes in, fully resolved sessions out.

Promises: a session's name depends on the peer's or node's name alone, so a change
of one peer leaves the text of every other as it was. A peer that cannot work here is
refused alone, and takes nobody's place; over a session whose filter is missing nothing
passes. Of those that would speak with one neighbour a Peer is in force before a session
by reflectors, that before a fallback, and that before the mesh. The one
tricky thing: a node's document goes with its agent's lease, but its BGP session must
not, or a dead agent would cut off a living host; so nodes once known stay known
(`remembered`) until an operator fences them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from buoy.model.address import Address
from buoy.model.errors import InvalidInput
from buoy.model.node import Fence, Node
from buoy.model.peer import BGPSettings, Filter, Peer, Tagged
from buoy.model.snapshot import Snapshot
from buoy.planner.peering_addresses import router_id
from buoy.planner.peering_rules import check_filter, check_settings, missing_filters
from buoy.planner.peering_sessions import LocalNode, PeeringWish, Session, node_sessions, peer_session

PATHS = ("peers/", "filters/", "settings/bgp", "nodes/", "fences/")
"""Where the documents stand of which a node's sessions are made."""

Sessions: TypeAlias = dict[tuple[Address, int], Session]
"""By the neighbour's address and port, of whom each has one."""


class Speaking(msgspec.Struct, frozen=True, kw_only=True):
    """All of a node's BGP. `reflects` tells whether it passes on what it hears inside the AS (RFC 4456)."""

    router_id: Address
    cluster_id: Address | None = None
    reflects: bool = False
    sessions: tuple[Session, ...] = ()
    filters: tuple[Filter, ...] = ()
    tagged: tuple[Tagged, ...] = ()
    known: Mapping[str, tuple[Address, ...]] = {}
    refused: tuple[InvalidInput, ...] = ()


def said(snapshot: Snapshot) -> BGPSettings:
    """Return the settings that a snapshot has, the usual ones if it has none."""
    settings = snapshot.documents.get("settings/bgp")
    return settings if isinstance(settings, BGPSettings) else BGPSettings()


def wish(
    snapshot: Snapshot,
    remembered: Mapping[str, tuple[Address, ...]],
    password: Callable[[str], str] | None = None,
    settings: BGPSettings | None = None,
) -> PeeringWish:
    """Gather what a snapshot says of BGP; nodes known before stay known unless they are fenced.

    `password` reads one that stands in a file, "" if there is none; see `PeeringWish.passwords`. `settings` are in
    force in the place of those that the snapshot has.
    """
    documents = snapshot.documents.values()
    fenced = {document.node for document in documents if isinstance(document, Fence)}
    living = {document.name: document.addresses for document in documents if isinstance(document, Node)}
    settings = settings or said(snapshot)
    peers = tuple(document for document in documents if isinstance(document, Peer))
    named = {settings.password_from, *(each.password_from for each in peers)}
    return PeeringWish(
        settings=settings,
        peers=peers,
        filters=tuple(document for document in documents if isinstance(document, Filter)),
        nodes={name: at for name, at in {**remembered, **living}.items() if name not in fenced},
        passwords=None if password is None else {name: password(name) for name in sorted(named) if name},
    )


def speaking(local: LocalNode, wanted: PeeringWish) -> Speaking:
    """Resolve every session of this node; raise `InvalidInput` only for settings no session could work with."""
    check_settings(wanted.settings)
    filters, refused = _usable_filters(wanted.filters)
    between, missing = node_sessions(local, wanted)
    sessions: Sessions = {}
    refused += _add_peers(sessions, [each for each in wanted.peers if not each.fallback], (local, wanted), filters)
    if wanted.settings.reflectors:
        _add(sessions, between)
    spoken = frozenset(sessions)
    others = [each for each in wanted.peers if each.fallback and (each.address, each.port) not in spoken]
    refused += _add_peers(sessions, others, (local, wanted), filters)
    _add(sessions, between)
    ordered = tuple(sorted(sessions.values(), key=lambda each: each.name))
    used = {name for session in ordered for name in (session.export_filter, session.import_filter)}
    return Speaking(
        router_id=router_id(local.name, local.addresses),
        cluster_id=wanted.settings.cluster_id,
        reflects=local.name in wanted.settings.reflectors or any(session.client for session in ordered),
        sessions=ordered,
        filters=tuple(filters[name] for name in sorted(filters) if name in used),
        tagged=wanted.settings.communities,
        known=_known(local, wanted),
        refused=(*refused, *missing),
    )


def _known(local: LocalNode, wanted: PeeringWish) -> dict[str, tuple[Address, ...]]:
    if not (wanted.settings.mesh or wanted.settings.reflectors):
        return {}
    return {name: wanted.nodes[name] for name in sorted(wanted.nodes) if name != local.name}


def _usable_filters(filters: Iterable[Filter]) -> tuple[dict[str, Filter], list[InvalidInput]]:
    usable: dict[str, Filter] = {}
    refused: list[InvalidInput] = []
    for each in filters:
        try:
            check_filter(each)
            usable[each.name] = each
        except InvalidInput as error:
            refused.append(error)
    return usable, refused


def _add_peers(
    sessions: Sessions, peers: Iterable[Peer], at: tuple[LocalNode, PeeringWish], filters: Mapping[str, Filter]
) -> Iterator[InvalidInput]:
    """Add the session of each peer that is for this node, and yield why some are not; of several the first by name."""
    local, wanted = at
    for peer in sorted(peers, key=lambda each: each.name):
        if (peer.nodes and local.name not in peer.nodes) or peer.address in local.addresses:
            continue
        try:
            session = peer_session(local, wanted, peer, filters)
        except InvalidInput as error:
            yield error
            continue
        first = sessions.setdefault((session.remote, session.remote_port), session)
        if first is session:
            yield from missing_filters(peer, filters)
        else:
            remedy = f"{first.name} speaks with {session.remote} already: delete one of the two"
            yield InvalidInput(f"peers/{peer.name}.address", peer.address, remedy)


def _add(sessions: Sessions, between: Iterable[Session]) -> None:
    for session in between:
        sessions.setdefault((session.remote, session.remote_port), session)
