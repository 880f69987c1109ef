# SPDX-License-Identifier: Apache-2.0
"""The store in etcd: one key per document, transactions that compare revisions.

Promises the contract of `store.py` on every etcd 3.4 or later. The tricky thing is
a write that is not answered in time: it may have happened, and only reading tells.
"""

from collections.abc import AsyncIterator, Sequence

from buoy.model import documents
from buoy.model.errors import Conflict, InvalidInput
from buoy.model.snapshot import Batch
from buoy.store.etcd_channel import Connection
from buoy.store.etcd_lease import EtcdLeases
from buoy.store.etcd_watch import Watcher
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.settings import StoreSettings
from buoy.store.store import Leases, Reporter, Stored, Write, check_writes, covering


class EtcdStore:
    """Documents under `settings.prefix` of one etcd cluster; connects when first used."""

    def __init__(self, settings: StoreSettings, reporter: Reporter = lambda _: None) -> None:
        self._connection = Connection(settings)
        self._prefix = settings.prefix
        self._reporter = reporter
        self.leases: Leases = EtcdLeases(self._connection)

    async def read(self, path: str) -> Stored:
        """See `Store.read`."""
        page = await self._connection.call("KV/Range", pb.RangeRequest(key=self._key(path)), pb.RangeResponse)
        if not page.kvs:
            return Stored(None, 0)
        return Stored(documents.decode(path, page.kvs[0].value), page.kvs[0].mod_revision)

    async def write(self, writes: Sequence[Write], lease: int | None = None) -> int:
        """See `Store.write`."""
        check_writes(writes)
        compared = [write for write in writes if write.expected is not None]
        request = pb.TxnRequest(
            compare=[
                pb.Compare(target=pb.Compare.MOD, key=self._key(write.path), mod_revision=write.expected or 0)
                for write in compared
            ],
            success=[self._operation(write, lease or 0) for write in writes],
            failure=[
                pb.RequestOp(request_range=pb.RangeRequest(key=self._key(write.path), keys_only=True))
                for write in compared
            ],
        )
        try:
            answer = await self._connection.call("KV/Txn", request, pb.TxnResponse)
        except InvalidInput as error:
            paths = ", ".join(write.path for write in writes)
            raise InvalidInput(error.field, error.value, f"{error.remedy}; it was about {paths}") from error
        if not answer.succeeded:
            raise Conflict(_difference(compared, answer))
        return answer.header.revision

    def watch(self, prefixes: Sequence[str]) -> AsyncIterator[Batch]:
        """See `Store.watch`."""
        return Watcher(self._connection, self._prefix, covering(prefixes), self._reporter).batches()

    async def close(self) -> None:
        """See `Store.close`."""
        await self._connection.close()

    def _key(self, path: str) -> bytes:
        return (self._prefix + path).encode()

    def _operation(self, write: Write, lease: int) -> pb.RequestOp:
        key = self._key(write.path)
        if write.document is None:
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))
        return pb.RequestOp(request_put=pb.PutRequest(key=key, value=documents.encode(write.document), lease=lease))


def _difference(compared: Sequence[Write], answer: pb.TxnResponse) -> str:
    differences = []
    for write, response in zip(compared, answer.responses, strict=True):
        held = response.response_range.kvs
        revision = held[0].mod_revision if held else 0
        if revision != write.expected:
            differences.append(f"{write.path}: expected revision {write.expected}, is {revision}")
    return "; ".join(differences)
