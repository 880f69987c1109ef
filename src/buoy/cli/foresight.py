# SPDX-License-Identifier: Apache-2.0
"""What a change would do, told by those who would do it: the controller and every node, on a copy in memory.

Promises that nothing is written. In Kubernetes the change is made to a copy of the
objects, the controller's own pass runs on it until it rests, and each node's own
planning on what comes of that; in another store there is nothing to allocate.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from buoy.controller.objects import condition_of
from buoy.controller.reading import Holder, Ours, shown
from buoy.controller.rehearsal import READ, Rehearsal
from buoy.kubernetes.changes import INGRESSES, Change, change
from buoy.kubernetes.foreseen import select, selectors
from buoy.kubernetes.inventory import Inventory
from buoy.kubernetes.resources import SERVICES
from buoy.kubernetes.structs import STRUCTS
from buoy.kubernetes.translate import Translation, TranslationSettings
from buoy.model.address import Address
from buoy.model.snapshot import Identity, Snapshot
from buoy.planner.preview import Preview, preview
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


async def foresee(objects: Inventory, asked: Asked, now: dt.datetime) -> tuple[State, State]:
    """Return what is, and what would be; `objects` becomes what would be."""
    before = _state(objects, asked, {})
    rehearsal = Rehearsal(objects, asked.ours, lambda: now)
    await rehearsal.begin()
    remarks = _remarks(rehearsal, objects)
    for each in asked.changes:
        # one after the other, as kubectl does: the controller acts on the first before it hears of the second
        _make(objects, each, delete=asked.delete)
        await rehearsal.rest()
    after = _state(objects, asked, dict(rehearsal.broken))
    return before._replace(refused={**before.refused, **remarks}), after._replace(
        refused={**after.refused, **_remarks(rehearsal, objects)}
    )


def _make(objects: Inventory, asked: Change, *, delete: bool) -> None:
    service = [asked.name] if asked.resource == SERVICES else []
    selected = selectors(objects, service)
    change(objects, asked, delete=delete)
    select(objects, {name: by for name, by in selectors(objects, service).items() if by != selected.get(name)})


def translated(
    objects: Inventory, settings: TranslationSettings, nodes: Collection[str]
) -> tuple[Snapshot, Translation]:
    """Return the documents of a cluster's objects, and what they were translated by."""
    translation = Translation(settings)
    for resource, struct in STRUCTS.items():
        found, broken = _decoded(objects, resource, struct)
        translation.take(resource, found, broken)
    translation.take_lives(dict.fromkeys(nodes, True))
    made = Snapshot(Identity("", 0), translation.documents, translation.revisions, translation.broken)
    return made, translation


def _state(objects: Inventory, asked: Asked, refused: Mapping[str, str]) -> State:
    snapshot, translation = translated(objects, asked.settings, asked.nodes)
    seen = preview(snapshot, asked.nodes)
    told = {at: "; ".join(why) for at, why in translation.notices.items()}
    # of an object that cannot be read both tell, by its name and by its document's
    broken = {at: why for at, why in snapshot.broken.items() if why not in told.values()}
    said = {**refused, **broken, **told}
    said |= {f"node {node}": "; ".join(noes) for node, noes in seen.refused.items() if noes}
    return State(seen, holders(objects), said)


def holders(objects: Inventory) -> dict[str, Standing]:
    """Return what each Service and Ingress has, by ``service namespace/name``."""
    found: dict[str, Standing] = {}
    for resource, word in ((SERVICES, "service"), (INGRESSES, "ingress")):
        for name, holder in _decoded(objects, resource, READ[resource])[0].items():
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
    objects: Inventory,
    resource: Resource,
    struct: Any,  # noqa: ANN401  structs made at run time
) -> tuple[dict[ObjectName, Any], dict[ObjectName, str]]:
    found: dict[ObjectName, Any] = {}
    broken: dict[ObjectName, str] = {}
    for name, each in objects.of(resource).items():
        try:
            found[name] = msgspec.convert(each, struct)
        except msgspec.ValidationError as error:
            broken[name] = str(error)
    return found, broken
