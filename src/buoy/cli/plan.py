# SPDX-License-Identifier: Apache-2.0
"""`buoy plan -f`: what a change would do, line by line.

Exit codes: 0 nothing would change · 1 something would · 5 more than 30 % of the routes would go.
"""

import contextlib
import datetime as dt
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from buoy.cli.context import Output, show, store_settings, with_store
from buoy.cli.foresight import Asked, Standing, State, foresee
from buoy.cli.progress import Tell, progress
from buoy.cli.reading import listing
from buoy.controller.reading import Ours
from buoy.controller.rehearsal import READ
from buoy.kubernetes import changes
from buoy.kubernetes.foreseen import PODS
from buoy.kubernetes.inventory import read_all
from buoy.kubernetes.opening import CLUSTER_IPS
from buoy.kubernetes.source import KubernetesStore
from buoy.kubernetes.structs import STRUCTS
from buoy.kubernetes.translate import TranslationSettings
from buoy.model.address import Address, split
from buoy.model.node import Node
from buoy.model.snapshot import Snapshot
from buoy.planner.peering_sessions import Session
from buoy.planner.preview import Told, differences, gone, preview
from buoy.store import yaml_documents
from buoy.store.api_lease import LEASES
from buoy.store.store import Store

MOST = 0.3
"""Which part of all routes may go without a word of warning."""


class Line(NamedTuple):
    """One thing that would be different; `before` and `after` are None on the side where it is not."""

    what: str
    change: str
    subject: str
    node: str = ""
    before: object = None
    after: object = None
    note: str = ""


def plan_change(file: Path, ours: Ours, output: Output, *, delete: bool) -> int:
    """Print what a file would change if it were applied, or its objects deleted; return the exit code."""
    chosen = store_settings()

    async def ask(store: Store) -> tuple[State, State]:
        if isinstance(store, KubernetesStore):
            with progress("reading the cluster's objects") as tell, _uncollected():
                return await _of_cluster(store, (file, delete), ours, tell)
        return _of_documents(await listing(store), file, delete=delete)

    before, after = with_store(ask, chosen)
    rows = [line._asdict() for line in lines(before, after)]
    share = gone(before.preview.routes, after.preview.routes)
    if rows or output is not Output.TABLE:
        show(rows, output, list(Line._fields))
    else:
        print("nothing would change")
    if share > MOST:
        print(f"buoy: {share:.0%} of the routes would go", file=sys.stderr)
        return 5
    return 1 if rows else 0


def lines(before: State, after: State) -> Iterator[Line]:
    """Yield what differs: routes, then Services, sessions, and what is refused."""
    for route, was, would in differences(before.preview.routes, after.preview.routes):
        yield Line("route", _word(was, would), route.prefix, route.node, _told(was), _told(would))
    for name in sorted(before.holders.keys() | after.holders.keys()):
        yield from _holder(name, before.holders.get(name), after.holders.get(name))
    for node, name in sorted(before.preview.sessions.keys() | after.preview.sessions.keys()):
        had, has = (state.preview.sessions.get((node, name)) for state in (before, after))
        if had != has:
            yield Line("session", _word(had, has), name, node, _spoken(had), _spoken(has))
    for address, why in sorted(after.preview.withheld.items()):
        if address not in before.preview.withheld and _is_missed(address, before, after):
            yield Line("refusal", "appears", address, note=f"{why}; {why.remedy}")
    for subject in sorted(before.refused.keys() | after.refused.keys()):
        was_said, would_say = before.refused.get(subject, ""), after.refused.get(subject, "")
        if was_said != would_say:
            yield Line("refusal", _word(was_said or None, would_say or None), subject, note=would_say or was_said)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage: there is next to none, and among the objects of 5,000 Services that is most of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _of_cluster(store: KubernetesStore, wish: tuple[Path, bool], ours: Ours, tell: Tell) -> tuple[State, State]:
    file, delete = wish
    read = changes.load(file, store.api.settings.namespace)
    for passed in read.passed:
        print(f"buoy: {passed}: of a kind that Buoy does not read", file=sys.stderr)
    living = (await listing(store, "nodes/")).documents.values()
    resources = [each for each in dict.fromkeys((*STRUCTS, *READ, PODS)) if each != LEASES]
    asked = Asked(
        changes=read.changes,
        delete=delete,
        ours=ours,
        settings=TranslationSettings(cluster_ips=os.environ.get(CLUSTER_IPS, "")),
        nodes=frozenset(node.name for node in living if isinstance(node, Node)),
    )
    return await foresee(await read_all(store.api, resources), asked, dt.datetime.now(dt.UTC), tell)


def _of_documents(snapshot: Snapshot, file: Path, *, delete: bool) -> tuple[State, State]:
    wanted = yaml_documents.load(file)
    kept = {path: document for path, document in snapshot.documents.items() if path not in wanted}
    changed = msgspec.structs.replace(snapshot, documents=kept if delete else {**kept, **wanted})
    nodes = [each.name for each in snapshot.documents.values() if isinstance(each, Node)]
    before, after = (preview(each, nodes) for each in (snapshot, changed))
    sides = [
        {f"node {node}": "; ".join(noes) for node, noes in each.refused.items() if noes} for each in (before, after)
    ]
    return State(before, {}, sides[0]), State(after, {}, sides[1])


def _holder(name: str, before: Standing | None, after: Standing | None) -> Iterator[Line]:
    had, has = before.addresses if before else (), after.addresses if after else ()
    said = after.said if after else ""
    if had == has and said == (before.said if before else ""):
        return
    lost, got = set(had) - set(has), set(has) - set(had)
    word = "keeps" if has else "waits"
    if lost or got:
        word = "moves" if lost and got else "loses" if lost else "gets"
    kind, _, subject = name.partition(" ")
    yield Line(kind, word, subject, before=list(had), after=list(has), note=said)


def _is_missed(address: Address, before: State, after: State) -> bool:
    """Tell whether somebody expects a route to an address: who has it, or who was reached by it."""
    if before.holders or after.holders:
        return any(address in standing.addresses for standing in after.holders.values())
    return any(split(route.prefix)[0] == address for route in before.preview.routes)


def _word(before: object, after: object) -> str:
    if before is None:
        return "appears"
    return "goes" if after is None else "changes"


def _told(told: Told | None) -> str | None:
    if told is None:
        return None
    tagged = f" with {', '.join(told.communities)}" if told.communities else ""
    return f"{told.preference.name.lower()} to {', '.join(told.sessions)}{tagged}"


def _spoken(session: Session | None) -> str | None:
    if session is None:
        return None
    filters: Mapping[str, str] = {"export": session.export_filter, "import": session.import_filter}
    named = "".join(f" {way} {name}" for way, name in filters.items() if name)
    return f"{session.remote} AS {session.remote_asn}{named}"
