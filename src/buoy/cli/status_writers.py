# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of Neutron: whether it was heard of lately, and what of its database waits for the store.

Promises nothing for a store that no Neutron writes to. The tricky thing: a dead
writer says nothing, so its last word stays in the store, and its age is measured
by the clock of who asks.
"""

import datetime as dt
from collections.abc import Callable, Iterator

from buoy.cli.status_line import Line
from buoy.model.pool import Pool, Registry
from buoy.model.snapshot import Snapshot
from buoy.model.writer import NEUTRON, Writer

_MISSED = 3
"""Heartbeats that may fail to come."""

_SHORTEST = 10.0
"""Seconds without one that mean nothing, however short the interval."""

_REMEDY = "changes there do not arrive; systemctl status neutron-server; its log says if etcd does not answer it"

_METRICS: dict[str, tuple[str, Callable[[Writer], float]]] = {
    "buoy_outbox_rows": ("Changes in Neutron's database that wait for the store.", lambda one: one.waiting),
    "buoy_outbox_oldest_seconds": ("Seconds the oldest of them had waited.", lambda one: one.oldest),
    "buoy_writer_heartbeat_timestamp_seconds": ("When Neutron said so.", lambda one: one.beaten.timestamp()),
}


def lines(snapshot: Snapshot, now: dt.datetime) -> Iterator[Line]:
    """Yield a line for each writer, and one if there should be Neutron's and is not; `now` has a time zone."""
    writers = _writers(snapshot)
    if not writers and _is_neutrons(snapshot):
        yield NEUTRON, "no heartbeat", f"never heard of: {_REMEDY}"
    for writer in writers:
        value, note = _judge(writer, now)
        yield writer.name, value, note


def metrics(snapshot: Snapshot) -> str:
    """Return the same as numbers, in Prometheus' text format."""
    text = ""
    for name, (meaning, value) in _METRICS.items():
        samples = [f'{name}{{writer="{writer.name}"}} {value(writer)}\n' for writer in _writers(snapshot)]
        text += f"# HELP {name} {meaning}\n# TYPE {name} gauge\n{''.join(samples)}"
    return text


def gauges() -> Iterator[tuple[str, str]]:
    """Yield name and meaning of each number."""
    return ((name, meaning) for name, (meaning, _) in _METRICS.items())


def _judge(writer: Writer, now: dt.datetime) -> tuple[str, str]:
    waits = f"{writer.waiting} changes wait"
    if (now - writer.beaten).total_seconds() > max(_MISSED * writer.interval, _SHORTEST):
        since = writer.beaten.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"no heartbeat since {since}", f"by this host's clock: {_REMEDY}"
    if writer.oldest > writer.patience:
        note = "they should take a second; the log of neutron-server says what holds them up"
        return f"{waits}, the oldest for {writer.oldest:.0f} s", note
    return waits, ""


def _writers(snapshot: Snapshot) -> list[Writer]:
    found = (document for document in snapshot.documents.values() if isinstance(document, Writer))
    return sorted(found, key=lambda writer: writer.name)


def _is_neutrons(snapshot: Snapshot) -> bool:
    pools = (document for document in snapshot.documents.values() if isinstance(document, Pool))
    return any(pool.registry is Registry.NEUTRON for pool in pools)
