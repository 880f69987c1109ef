# SPDX-License-Identifier: Apache-2.0
"""What a change would do, told by those who would do it: the controller and every node, on a copy in memory.

Promises that nothing is written. In Kubernetes the change is made to a copy of the
objects, the controller's own pass runs on it until it rests, and each node's own
planning on what comes of that; in another store there is nothing to allocate.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from buoy.cli.progress import Tell
from buoy.controller.objects import condition_of
from buoy.controller.reading import Holder, Ours, shown
from buoy.controller.rehearsal import READ, Rehearsal
from buoy.kubernetes.changes import INGRESSES, Change, change
from buoy.kubernetes.foreseen import select, selectors
from buoy.kubernetes.inventory import Inventory, Json
from buoy.kubernetes.resources import SERVICES
from buoy.kubernetes.structs import STRUCTS
from buoy.kubernetes.translate import Translation, TranslationSettings
from buoy.model.address import Address
from buoy.model.snapshot import Identity, Snapshot
from buoy.planner.preview import Nodes, Preview
from buoy.store.api_names import ObjectName, Resource


class Standing(NamedTuple):
    """What an object with addresses has, and what is said of it."""

    addresses: tuple[Address, ...]
    is_good: bool
    said: str


class State(NamedTuple):
    """One side of a comparison: what nodes do, what Services have, and what is refused, by whom it is about."""

    preview: Preview
    holders: Mapping[str, Standing]
    refused: Mapping[str, str]


class Asked(NamedTuple):
    """A change: objects to be applied or deleted, and what the cluster's controller and agents were told at start."""

    changes: tuple[Change, ...]
    delete: bool
    ours: Ours
    settings: TranslationSettings
    nodes: frozenset[str]
    """The nodes whose agents live."""


async def foresee(
    objects: Inventory, asked: Asked, now: dt.datetime, tell: Tell = lambda _: None
) -> tuple[State, State]:
    """Return what is, and what would be; `objects` becomes what would be."""
    looking = _Looking(objects, asked)
    tell("planning every node as it is")
    before = looking.state({})
    rehearsal = Rehearsal(objects, asked.ours, lambda: now)
    tell("running the controller's pass as it is")
    await rehearsal.begin()
    remarks = _remarks(rehearsal, objects)
    for number, each in enumerate(asked.changes, 1):
        tell(f"making change {number} of {len(asked.changes)}, and what the controller does after it")
        # one after the other, as kubectl does: the controller acts on the first before it hears of the second
        _make(objects, each, delete=asked.delete)
        await rehearsal.rest()
    tell("planning what differs on every node")
    after = looking.state(dict(rehearsal.broken))
    return before._replace(refused={**before.refused, **remarks}), after._replace(
        refused={**after.refused, **_remarks(rehearsal, objects)}
    )


def _make(objects: Inventory, asked: Change, *, delete: bool) -> None:
    service = [asked.name] if asked.resource == SERVICES else []
    selected = selectors(objects, service)
    change(objects, asked, delete=delete)
    select(objects, {name: by for name, by in selectors(objects, service).items() if by != selected.get(name)})


class _Looking:
    """What follows from objects, looked at twice: the second look costs what differs."""

    def __init__(self, objects: Inventory, asked: Asked) -> None:
        self._objects = objects
        self._living = asked.nodes
        self._translation = Translation(asked.settings)
        self._translation.take_lives(dict.fromkeys(asked.nodes, True))
        self._nodes = Nodes()
        self._heard: dict[Resource, dict[ObjectName, Json]] | None = None

    def state(self, refused: Mapping[str, str]) -> State:
        """Return what nodes do and Services have now; `refused` is told with what is found to be."""
        held = self._translation
        changed = self._hear()
        snapshot = Snapshot(Identity("", 0), held.documents, held.revisions, held.broken)
        seen = self._nodes.look(snapshot, self._living, changed)
        told = {at: "; ".join(why) for at, why in held.notices.items()}
        # of an object that cannot be read both tell, by its name and by its document's
        broken = {at: why for at, why in held.broken.items() if why not in told.values()}
        said = {**refused, **broken, **told}
        said |= {f"node {node}": "; ".join(noes) for node, noes in seen.refused.items() if noes}
        return State(seen, holders(self._objects), said)

    def _hear(self) -> frozenset[str]:
        """Take in what differs since the last time; return the paths of documents that differ."""
        before = self._heard or {}
        self._heard = {resource: dict(self._objects.of(resource)) for resource in STRUCTS}
        paths: set[str] = set()
        for resource, struct in STRUCTS.items():
            known, now = before.get(resource, {}), self._heard[resource]
            # an inventory puts another object in the place of one that it changes
            news = {name: found for name, found in now.items() if known.get(name) is not found}
            changed, broken = _decoded(news, struct)
            gone = dict.fromkeys(known.keys() - now.keys())
            paths |= self._translation.take(resource, {**changed, **gone}, broken).keys()
        return frozenset(paths)


def holders(objects: Inventory) -> dict[str, Standing]:
    """Return what each Service and Ingress has, by ``service namespace/name``."""
    found: dict[str, Standing] = {}
    for resource, word in ((SERVICES, "service"), (INGRESSES, "ingress")):
        for name, holder in _decoded(objects.of(resource), READ[resource])[0].items():
            standing = _standing(holder)
            if standing.addresses or standing.said:
                found[f"{word} {name}"] = standing
    return found


def _standing(holder: Holder) -> Standing:
    condition = condition_of(holder.status)
    return Standing(
        shown(holder),
        condition is None or condition.status,
        f"{condition.reason}: {condition.message}" if condition else "",
    )


def _remarks(rehearsal: Rehearsal, objects: Inventory) -> dict[str, str]:
    """Return what each pool overlaps."""
    names = {name.name for resource in READ if "pool" in resource.plural for name in objects.of(resource)}
    told = {f"pool {name}": "; ".join(rehearsal.remarks(name)) for name in sorted(names)}
    return {pool: said for pool, said in told.items() if said}


def _decoded(
    objects: Mapping[ObjectName, Json],
    struct: Any,  # noqa: ANN401  structs made at run time
) -> tuple[dict[ObjectName, Any], dict[ObjectName, str]]:
    found: dict[ObjectName, Any] = {}
    broken: dict[ObjectName, str] = {}
    for name, each in objects.items():
        try:
            found[name] = msgspec.convert(each, struct)
        except msgspec.ValidationError as error:
            broken[name] = str(error)
    return found, broken
