# SPDX-License-Identifier: Apache-2.0
"""Complete listings from etcd, in pages of one pinned revision.

Promises: what is returned stood in the store at one instant. The tricky thing is a
compaction while pages are read; then nothing is returned and the caller lists again.
"""

from collections.abc import Sequence

import msgspec

from buoy.model.errors import StoreUnavailable
from buoy.store.etcd_channel import Connection
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.view import Event

PAGE = 2000
"""Keys in one reply: bounds memory on both sides, and costs no more than one large reply."""


class Position(msgspec.Struct, frozen=True):
    """How far a cluster has come: its id, the revision of its content and the term of its leader."""

    cluster: int
    revision: int
    term: int


def position(header: pb.ResponseHeader) -> Position:
    """Return what the header of any answer says of its cluster."""
    return Position(header.cluster_id, header.revision, header.raft_term)


async def stood(connection: Connection, key: bytes, at: int) -> int:
    """Return by which revision a key was last written at revision `at`, 0 if it was not there; raise if compacted."""
    request = pb.RangeRequest(key=key, revision=at, keys_only=True)
    page = await connection.call("KV/Range", request, pb.RangeResponse)
    return page.kvs[0].mod_revision if page.kvs else 0


def range_end(key: bytes) -> bytes:
    """Return the end of the range of all keys that begin with `key`."""
    return key[:-1] + bytes([key[-1] + 1])


def event(prefix: str, kv: pb.KeyValue, *, deleted: bool = False) -> Event:
    """Return a key and its value as an event; the path is relative to `prefix`."""
    # a broken client may have written a key that is no text
    path = kv.key.decode(errors="backslashreplace").removeprefix(prefix)
    return Event(path, None if deleted else kv.value, kv.mod_revision)


async def probe(connection: Connection, prefix: str) -> Position:
    """Return where the cluster is now, confirmed by its majority; raise like `Connection.call`."""
    request = pb.RangeRequest(key=prefix.encode(), limit=1, keys_only=True)
    return position((await connection.call("KV/Range", request, pb.RangeResponse)).header)


async def listing(connection: Connection, prefix: str, wanted: Sequence[str]) -> tuple[Position, list[Event]]:
    """Return everything under the wanted prefixes, and where the cluster was; raise like `Connection.call`."""
    at: Position | None = None
    events: list[Event] = []
    for relative in wanted:
        key = (prefix + relative).encode()
        end = range_end(key)
        more = True
        while more:
            request = pb.RangeRequest(key=key, range_end=end, limit=PAGE, revision=at.revision if at else 0)
            page = await connection.call("KV/Range", request, pb.RangeResponse)
            at = at or position(page.header)
            if page.header.cluster_id != at.cluster:
                raise StoreUnavailable(f"{connection.endpoint} is of another cluster than the endpoint before it")
            events += [event(prefix, kv) for kv in page.kvs]
            more = page.more
            key = page.kvs[-1].key + b"\0" if more else key
    if at is None:
        return await probe(connection, prefix), events
    return at, events
