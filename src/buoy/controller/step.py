# SPDX-License-Identifier: Apache-2.0
"""The steps of a decision: each one write to the API server, in an order that is safe to stop at.

Promises: every step names the version it was decided from, so that it fails rather
than overwrites, and done twice it is a no-op or a conflict. What is claimed is
claimed before a status names it, and out of the status before it is released.
"""

from typing import Any, NamedTuple, TypeAlias

from buoy.controller.subject import Condition
from buoy.model.address import Address
from buoy.model.service_ip import ServiceIP


class Finalize(NamedTuple):
    """Write the object's finalizers."""

    finalizers: tuple[str, ...]


class Take(NamedTuple):
    """Write a claim that has the object among its owners: create it (`version` empty), or replace that version."""

    document: ServiceIP
    version: str
    back: bool = False
    """Whether the store had lost the claim, and the object is to have it back: it must be there for that."""


class Publish(NamedTuple):
    """Write the object's status: its entries (None: leave them), and our condition (None: none)."""

    ingress: tuple[dict[str, Any], ...] | None
    condition: Condition | None


class Release(NamedTuple):
    """Write a claim that no longer has the object, or has it as who had it last."""

    document: ServiceIP
    version: str


class Tell(NamedTuple):
    """Write an Event about the object."""

    warning: bool
    reason: str
    message: str


Step: TypeAlias = Finalize | Take | Publish | Release | Tell


def touched(step: Step) -> Address | None:
    """Return the address whose claim a step writes."""
    return step.document.address if isinstance(step, Take | Release) else None
