# SPDX-License-Identifier: Apache-2.0
"""One agent in memory: a node that forwards packets, a BIRD that says what the test wants, documents by path."""

from collections.abc import Collection, Mapping
from pathlib import Path

from buoy.agent.announcements import Announcements
from buoy.agent.caution import Caution
from buoy.agent.kept import Kept
from buoy.agent.node import Agent, Parts
from buoy.agent.reports import Reports
from buoy.agent.speaking import BirdConfiguration
from buoy.agent.witness import witness_path
from buoy.dataplane.fake import Fake
from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.node import PeerSession
from buoy.model.nodestate import Key, Table
from buoy.model.reason import Withhold
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import AddressStatus, WorkloadStatus
from buoy.planner.desired import Desired
from buoy.planner.peering_sessions import LocalNode
from buoy.planner.wishes import Here
from buoy.runtime.telemetry import Telemetry
from buoy.store.memory import MemoryStore
from tests.unit.planner.cloud import HERE

ROUTER = PeerSession(name="peer_tor", address=Address("192.0.2.254"), asn=64511, state="Established", exported=1000)


class Bird:
    """Tells whatever is announced, but for what is in `no`."""

    inside: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.no: dict[Prefix, Withhold] = {}
        self.up: tuple[PeerSession, ...] = (ROUTER,)
        self.configured: list[str] = []

    def sessions(self) -> tuple[PeerSession, ...]:
        return self.up

    def exported(self, prefixes: Collection[Prefix]) -> Mapping[Prefix, Withhold | None]:
        return {prefix: self.no.get(prefix) for prefix in prefixes}

    def configure(self, text: str) -> None:
        self.configured.append(text)

    def text(self) -> str:
        return self.configured[-1] if self.configured else ""


class Story:
    """What happens to one agent; `now` is its clock of BIRD's answers."""

    def __init__(self, directory: Path, store: str = "cluster") -> None:
        self.directory = directory
        self.host = Fake()
        self.bird = Bird()
        self.now = 100.0
        self.documents: dict[str, Document] = {}
        self.revision = 10
        self.store = store
        self.witness = 0
        """The store revision of this node's witness."""
        self.start()

    def start(self) -> None:
        """Begin a new agent on the same host, as after a kill."""
        local = LocalNode(name=HERE, addresses=(Address("192.0.2.250"),))
        parts = Parts(
            self.host,
            Announcements(self.bird, HERE, lambda: self.now),
            BirdConfiguration(self.bird, local),  # type: ignore[arg-type]  # a BIRD without a process
            Caution(Kept(str(self.directory / "store.json"), stride=1)),
        )
        here = Here(HERE, lambda *_: None)
        self.telemetry = Telemetry()
        self.agent = Agent(Desired(here), parts, Reports(MemoryStore()), self.telemetry)
        self.agent.audit.interval = 1e9

    def listed(self, *wanted: Document) -> None:
        """Let the store be listed anew with these documents, and run a pass."""
        self.documents = {documents.path(document): document for document in wanted}
        self._tell(None)

    def changed(self, *wanted: Document, gone: Collection[Document] = (), listed: bool = False) -> None:
        """Let documents change in the store, and run a pass; `listed`: a new listing shows the difference."""
        self.revision += 1
        paths = {documents.path(document): document for document in wanted}
        left = {documents.path(document) for document in gone}
        self.documents = {**{path: old for path, old in self.documents.items() if path not in left}, **paths}
        self._tell(frozenset(paths) | left, listed=listed)

    def _tell(self, paths: frozenset[str] | None, *, listed: bool = False) -> None:
        identity = Identity(self.store, self.revision)
        revisions = {**dict.fromkeys(self.documents, self.revision), witness_path(HERE): self.witness}
        snapshot = Snapshot(identity, self.documents, revisions, {})
        self.agent.take(Batch(snapshot, paths, listed))
        self.look()

    def look(self, seconds: float = 0.0) -> float | None:
        """Let time go by and run a pass."""
        self.now += seconds
        return self.agent.run_pass()

    def address(self, address: Address) -> AddressStatus | None:
        """Return what the agent says of an address."""
        status = self.agent.reports.known(f"status/{HERE}/address/{address}")
        assert status is None or isinstance(status, AddressStatus)
        return status

    def workload(self, workload: str = "port1") -> WorkloadStatus | None:
        """Return what the agent says of a workload."""
        status = self.agent.reports.known(f"status/{HERE}/workload/{workload}")
        assert status is None or isinstance(status, WorkloadStatus)
        return status

    def holds(self, table: Table, *name: str) -> bool:
        """Tell whether the host has an entry."""
        key = Key(table, name)
        return key in self.host.observe({key})

    def count(self, metric: str, **labels: str) -> float:
        """Return a metric's value, 0 if it was never touched."""
        return self.telemetry.registry.get_sample_value(metric, labels) or 0.0
