# SPDX-License-Identifier: Apache-2.0
"""What no node can work with of Buoy's own peers, filters and settings, though the API server has let it in. Pure.

Promises the judgement of `planner/peering.py`, so that a condition says what nodes do; what depends on a node, such
as a password that is not there, stands in that node's status alone. Fields are named as the object has them.
"""

from collections.abc import Collection, Container, Iterator, Mapping

from buoy.kubernetes.twins import camel
from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.planner.peering_rules import check_client, check_filter, check_peer, check_settings, missing_filters
from buoy.planner.rivals import rivals


def unworkable(own: Collection[Document], known: Mapping[str, Document]) -> dict[str, tuple[str, ...]]:
    """Return what is wrong with those of Buoy's own documents of which something is, by path; `known` has all."""
    found = known.get("settings/bgp")
    settings = found if isinstance(found, BGPSettings) else BGPSettings()
    filters = {
        each.name for each in known.values() if isinstance(each, Filter) and not any(_impossible(each, settings))
    }
    told: dict[str, tuple[str, ...]] = {}
    for document in own:
        at = documents.path(document)
        if said := tuple(_worded(at, error) for error in _wrong(document, settings, filters)):
            told[at] = said
    able = [each for each in own if isinstance(each, Peer) and not any(_impossible(each, settings))]
    for name, other in rivals(able).items():
        at = f"peers/{name}"
        told[at] = (*told.get(at, ()), speaks_already(other))
    return told


def speaks_already(other: Peer) -> str:
    """Return what a peer is told whose neighbour another one has."""
    return f"{other.name} speaks with {other.address} already, and comes first by name: delete one of the two"


def _wrong(document: Document, settings: BGPSettings, filters: Container[str]) -> Iterator[InvalidInput]:
    yield from _impossible(document, settings)
    if isinstance(document, Peer):
        yield from missing_filters(document, filters)


def _impossible(document: Document, settings: BGPSettings) -> Iterator[InvalidInput]:
    try:
        if isinstance(document, Peer):
            check_peer(document)
            check_client(settings, document)
        elif isinstance(document, Filter):
            check_filter(document)
        elif isinstance(document, BGPSettings):
            check_settings(document)
    except InvalidInput as error:
        yield error


def _worded(at: str, error: InvalidInput) -> str:
    field = camel(error.field.removeprefix(at))
    said = str(InvalidInput("metadata.name" if field == ".name" else f"spec{field}", error.value, error.remedy))
    return f"{said}; until then nodes keep the settings they have" if at.startswith("settings/") else said
