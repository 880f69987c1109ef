# SPDX-License-Identifier: Apache-2.0
"""Documents that more than one object may stand for: Buoy's own, Calico's and MetalLB's of one name.

Promises that the choice depends on the objects alone: Buoy's own document is in force
before a foreign one, of foreign ones the first by kind, namespace and name. Those
that are not in force are told in `shadowed`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from buoy.model.documents import Document
from buoy.store.api_names import ObjectName


class Source(NamedTuple):
    """The object a document comes from; the least is in force."""

    rank: int
    """0 for Buoy's own."""
    resource: str
    namespace: str
    name: str

    @property
    def object(self) -> ObjectName:
        """The object's name."""
        return ObjectName(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.resource}/{self.namespace}/{self.name}" if self.namespace else f"{self.resource}/{self.name}"


class Layers:
    """Documents by path and source."""

    def __init__(self) -> None:
        self._by_path: dict[str, dict[Source, Document]] = {}
        self._by_source: dict[Source, frozenset[str]] = {}

    def put(self, source: Source, found: Mapping[str, Document]) -> frozenset[str]:
        """Take all documents of a source, none if it is gone; return the paths that may have changed."""
        before, after = self._by_source.pop(source, frozenset()), frozenset(found)
        for path in before - after:
            del self._by_path[path][source]
            if not self._by_path[path]:
                del self._by_path[path]
        for path, document in found.items():
            self._by_path.setdefault(path, {})[source] = document
        if after:
            self._by_source[source] = after
        return before | after

    def document(self, path: str) -> Document | None:
        """Return the document in force at a path."""
        source = self.source(path)
        return None if source is None else self._by_path[path][source]

    def source(self, path: str) -> Source | None:
        """Return the object whose document is in force at a path."""
        return min(self._by_path.get(path, ()), default=None)

    def beneath(self, prefix: str) -> Iterator[str]:
        """Yield the paths with a document that begin so."""
        return (path for path in self._by_path if path.startswith(prefix))

    @property
    def shadowed(self) -> dict[str, tuple[str, ...]]:
        """Say of each object that is not in force, which one is."""
        told: dict[str, tuple[str, ...]] = {}
        for path, sources in self._by_path.items():
            first, *rest = sorted(sources)
            for source in rest:
                told[str(source)] = (*told.get(str(source), ()), f"{path} is that of {first}: give one another name")
        return told
