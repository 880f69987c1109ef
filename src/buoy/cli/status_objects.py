# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of pools, peers, filters and settings that are not, or not wholly, in force.

Promises to say what the controller said of them, in their conditions and statuses. A pool that is full or draining
is as somebody wanted it: who waits for it is told elsewhere. A field that this version does not honour is noted:
nobody can put that right, and a script must see what is wrong besides.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from buoy.cli.status_line import Line, Note
from buoy.controller.notices import CONDITION, IGNORES
from buoy.controller.observe import POOLS
from buoy.controller.pool_status import DRAINING, FULL
from buoy.kubernetes.inventory import calico_version
from buoy.kubernetes.objects import Metadata
from buoy.kubernetes.resources import ADDRESS_POOLS, BGP_CONFIGURATIONS, BGP_FILTERS, BGP_PEERS, CALICO, kind_at
from buoy.model.errors import InvalidInput
from buoy.store.api_client import ApiServer
from buoy.store.api_names import Resource, Selection

_OPTIONAL = Selection(optional=True)
_PEERS, _FILTERS = (kind_at(f"{kind}/NAME").resource for kind in ("peers", "filters"))
_AS_WANTED = frozenset({"", DRAINING, FULL})


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    conditions: tuple[dict[str, Any], ...] | None = None


class Judged(msgspec.Struct, frozen=True):
    """An object with what was said of it."""

    metadata: Metadata
    status: _Status = _Status()


async def look(api: ApiServer) -> list[Line]:
    """Ask an API server; raise `StoreUnavailable`."""
    asked = (POOLS, ADDRESS_POOLS, BGP_CONFIGURATIONS, BGP_PEERS, BGP_FILTERS, _PEERS, _FILTERS)
    try:
        calico = await calico_version(api)
        found = await asyncio.gather(*(_list(api, resource, calico) for resource in asked))
    except InvalidInput as error:
        return [("pools, peers", "not seen", str(error))]
    return list(lines(dict(zip(asked, found, strict=True))))


async def _list(api: ApiServer, resource: Resource, calico: str) -> tuple[Judged, ...]:
    at = resource._replace(version=calico) if resource.group == CALICO else resource
    return await api.list(at, Judged, _OPTIONAL)


def lines(found: Mapping[Resource, tuple[Judged, ...]]) -> Iterator[Line]:
    """Yield a line for each object that is not as its writer may believe."""
    for resource, objects in found.items():
        for each in sorted(objects, key=lambda one: one.metadata.name):
            said = [part for part in each.status.message.split("; ") if part not in _AS_WANTED]
            ours = [one for one in each.status.conditions or () if one.get("type") == CONDITION]
            told = [one for one in ours if one.get("status") != "True"]
            note = "; ".join((*said, *(str(one.get("message", "")) for one in told)))
            line = f"{resource.plural.removesuffix('s')} {each.metadata.name}", "not wholly in force", note
            if said or any(one.get("reason") != IGNORES for one in told):
                yield line
            elif told:
                yield Note(*line)
