# SPDX-License-Identifier: Apache-2.0
"""What becomes of another implementation's objects when Buoy takes its place.

Promises that each object is spoken of. The tricky one is what is kept without a word
of ours, and what only seems to be: so it is said which of three it is.
"""

import enum
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from buoy.kubernetes import own
from buoy.kubernetes.inventory import Inventory
from buoy.kubernetes.objects import Service
from buoy.kubernetes.resources import SERVICES
from buoy.model import documents
from buoy.model.documents import Document
from buoy.store.api_names import ObjectName, Resource


class Verdict(enum.StrEnum):
    """What becomes of something."""

    SAME = "same"
    """It goes on as it is."""
    DIFFERS = "differs"
    """It goes on in another way."""
    NOT_DONE = "not done"
    """Buoy does nothing of the kind."""


class Finding(NamedTuple):
    """What becomes of one object, or of a field of it."""

    verdict: Verdict
    object: str
    note: str


class Migration(NamedTuple):
    """What is said, and the documents that say to Buoy what the objects said to another."""

    findings: tuple[Finding, ...]
    documents: tuple[Document, ...]

    def manifests(self) -> list[dict[str, Any]]:
        """Return the documents as objects to be applied."""
        return [own.encode(documents.path(each), each) for each in self.documents]


def decoded(objects: Inventory, resource: Resource, struct: Any) -> tuple[dict[ObjectName, Any], list[Finding]]:  # noqa: ANN401  a struct
    """Return the objects of a resource that can be read, by name, and of the others why not."""
    found: dict[ObjectName, Any] = {}
    broken: list[Finding] = []
    for name, each in sorted(objects.of(resource).items()):
        try:
            found[name] = msgspec.convert(each, struct)
        except msgspec.ValidationError as error:
            broken.append(Finding(Verdict.NOT_DONE, f"{resource} {name}", f"cannot be read: {error}"))
    return found, broken


def classes(objects: Inventory, ours: Iterable[str]) -> list[Finding]:
    """Say of Services of a load-balancer class that is not of `ours` what would take them up."""
    services, broken = decoded(objects, SERVICES, Service)
    known = frozenset(ours)
    for name, service in services.items():
        named = service.spec.load_balancer_class
        if service.spec.type == "LoadBalancer" and named is not None and named not in known:
            taken = f"buoy controller run --load-balancer-class {named} takes it"
            note = f"is of load-balancer class {named}, which no Service can change; {taken}"
            broken.append(Finding(Verdict.NOT_DONE, f"{SERVICES} {name}", note))
    return broken
