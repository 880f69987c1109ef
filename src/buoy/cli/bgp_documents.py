# SPDX-License-Identifier: Apache-2.0
"""Reading, checking and writing peers, filters and BGP settings in the store.

Promises: what is written was checked together with all that stands in the store, as
a whole, before the first byte goes out; what was wrong there before hinders nobody;
and nothing written meanwhile is overwritten, for each write names the revision it was
decided from.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from buoy.cli.reading import listing
from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.errors import Conflict, InvalidInput
from buoy.model.node import Node
from buoy.model.peer import Bfd, BGPSettings, Filter, Peer
from buoy.model.snapshot import Snapshot
from buoy.planner.peering_names import symbol
from buoy.planner.peering_rules import HIDDEN, check_filter, check_peer, check_settings, clashes
from buoy.store.store import Store, Write

_PREFIXES = ("peers/", "filters/", "settings/")


async def put(store: Store, document: Document, *, new: bool, dry_run: bool) -> str:
    """Write one document, which must not (`new`) or must exist; return what was done."""
    snapshot = await listing(store, *_PREFIXES)
    at = documents.path(document)
    exists = at in snapshot.documents
    if new and exists:
        raise Conflict(f"{at} exists: change it with `set`, or delete it first")
    if not new and not exists and not isinstance(document, BGPSettings):
        raise missing(at)
    return (await _write(store, snapshot, {at: document}, dry_run=dry_run))[0]


async def put_all(store: Store, wanted: Mapping[str, Document], *, dry_run: bool) -> list[str]:
    """Write documents, by path, in one transaction; return what was done with each."""
    return await _write(store, await listing(store, *_PREFIXES, *wanted), wanted, dry_run=dry_run)


async def remove(store: Store, at: str, *, dry_run: bool) -> str:
    """Delete one document; raise `Conflict` if it is not there, or is a filter some peer uses."""
    snapshot = await listing(store, *_PREFIXES)
    if at not in snapshot.documents and at not in snapshot.broken:
        raise missing(at)
    if at not in snapshot.revisions and at not in snapshot.broken:
        raise Conflict(f"{at} comes from an object of another kind, such as Calico's: delete that with kubectl")
    users = _users(snapshot, at)
    if users:
        raise Conflict(f"{at} is used by {', '.join(users)}: take it from there first")
    if not dry_run:
        await store.write([Write(at, None, snapshot.revisions.get(at))])
    return f"{at} {'would be ' if dry_run else ''}deleted"


async def read(store: Store, at: str) -> Document:
    """Return one document as it is in force, whatever it comes from; raise `Conflict` if there is none."""
    found = (await listing(store, at)).documents.get(at)
    if found is None:
        raise missing(at)
    return found


async def peer_rows(store: Store, name: str = "") -> list[dict[str, Any]]:
    """Return every peer (or one) with its sessions as the living nodes report them; passwords are hidden."""
    snapshot = await listing(store, "peers/", "nodes/")
    nodes = [each for each in snapshot.documents.values() if isinstance(each, Node)]
    peers = [each for each in snapshot.documents.values() if isinstance(each, Peer) and name in ("", each.name)]
    if name and not peers:
        raise missing(f"peers/{name}")
    return [_peer_row(peer, nodes) for peer in sorted(peers, key=lambda each: each.name)]


def plain(document: Document, *, reveal: bool = False) -> dict[str, Any]:
    """Return all fields of a document; a password only if it is to be revealed."""
    fields: dict[str, Any] = {name: _plain(getattr(document, name)) for name in document.__struct_fields__}
    if fields.get("password") and not reveal:
        fields["password"] = HIDDEN
    return fields


def _plain(value: object) -> object:
    if isinstance(value, Bfd):
        return {field: getattr(value, field) for field in value.__struct_fields__}
    return list(value) if isinstance(value, tuple) else value


def missing(at: str) -> Conflict:
    """Return the error for a document that is not there."""
    kind = at.partition("/")[0].removesuffix("s")
    return Conflict(f"{at} does not exist: `buoy {kind} list` shows what does")


def _peer_row(peer: Peer, nodes: Sequence[Node]) -> dict[str, Any]:
    own = symbol("peer", peer.name)
    found = [(node.name, each) for node in nodes for each in node.sessions if each.name == own]
    up = sum(session.established for _, session in found)
    sessions = [{"node": node, **msgspec.to_builtins(session)} for node, session in found]
    return {**plain(peer), "established": f"{up}/{len(found)}", "sessions": sessions}


async def _write(store: Store, snapshot: Snapshot, wanted: Mapping[str, Document], *, dry_run: bool) -> list[str]:
    _check(snapshot.documents, wanted)
    changed = {at: each for at, each in wanted.items() if snapshot.documents.get(at) != each}
    if changed and not dry_run:
        await store.write([Write(at, each, snapshot.revisions.get(at, 0)) for at, each in changed.items()])
    return [_said(at, snapshot, at in changed, dry_run) for at in sorted(wanted)]


def _said(at: str, snapshot: Snapshot, differs: bool, dry_run: bool) -> str:
    if not differs:
        return f"{at} unchanged"
    return f"{at} {'would be ' if dry_run else ''}{'changed' if at in snapshot.documents else 'created'}"


def _check(before: Mapping[str, Document], written: Mapping[str, Document]) -> None:
    """Raise `InvalidInput` for what is wrong in what is written, or becomes wrong elsewhere by it."""
    for document in written.values():
        match document:
            case Peer():
                check_peer(document)
            case Filter():
                check_filter(document)
            case BGPSettings():
                check_settings(document)
    untouched = (each for at, each in before.items() if at not in written)
    known = {clash.field for clash in _clashes(before, untouched)}
    after = {**before, **written}
    for clash in _clashes(after, after.values()):
        if clash.field not in known:
            raise clash


def _clashes(everything: Mapping[str, Document], asked: Iterable[Document]) -> Iterator[InvalidInput]:
    settings = everything.get("settings/bgp", BGPSettings())
    if not isinstance(settings, BGPSettings):
        raise InvalidInput("settings/bgp", type(settings).__name__, "only BGPSettings stand there")
    filters = (each for each in everything.values() if isinstance(each, Filter))
    return clashes(settings, (each for each in asked if isinstance(each, Peer)), filters)


def _users(snapshot: Snapshot, at: str) -> list[str]:
    kind, _, name = at.partition("/")
    if kind != "filters":
        return []
    peers = (each for each in snapshot.documents.values() if isinstance(each, Peer))
    return sorted(f"peers/{peer.name}" for peer in peers if name in (peer.export_filter, peer.import_filter))
