# SPDX-License-Identifier: Apache-2.0
"""`buoy status`: the cloud in one screen, for a person and for a script."""

import datetime as dt
from typing import Annotated, Any

import typer

from buoy.cli import status_addresses, status_losses, status_services, status_writers
from buoy.cli.context import Output, OutputOption, show, with_store
from buoy.cli.reading import listing
from buoy.cli.status_line import Line, Note
from buoy.model.node import Node
from buoy.model.peer import Peer
from buoy.model.proxied import Eligibility
from buoy.model.snapshot import Snapshot
from buoy.model.workload import Workload
from buoy.store.store import Store

MetricsOption = Annotated[
    bool, typer.Option("--metrics", help="Print what is known of Neutron as Prometheus reads it, and end with 0.")
]

_UNIT = "on {0}: systemctl status buoy-agent"
_POD = "kubectl get pods -n buoy-system -o wide --field-selector spec.nodeName={0}"
_BIRD = "no BGP session is known, and there are peers: is BIRD running there?"
_LEFT = "no node of the cluster, so it attracts no traffic for Services: restart its kubelet, or remove its agent"

app = typer.Typer(rich_markup_mode=None)


@app.command()
def status(*, output: OutputOption = Output.TABLE, metrics: MetricsOption = False) -> None:
    """Print Neutron, nodes, addresses by state and what is wrong; end with 1 if anything is."""
    snapshot, services = with_store(_look)
    if metrics:
        print(status_writers.metrics(snapshot), end="")
        return
    writers = status_writers.lines(snapshot, dt.datetime.now(dt.UTC))
    before = [_line(line) for line in (*writers, *services)]
    after = [_line(line) for line in (*status_losses.lines(snapshot), *status_addresses.lines(snapshot))]
    rows = [*before, *_nodes(snapshot), *after, *_broken(snapshot)]
    show(rows, output, ["what", "value", "ok", "note"])
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


async def _look(store: Store) -> tuple[Snapshot, list[Line]]:
    return await listing(store), await status_services.look(store)


def _line(line: Line) -> dict[str, Any]:
    row = _row(*line)
    return {**row, "ok": True} if isinstance(line, Note) else row


def _row(what: str, value: object, note: str = "") -> dict[str, Any]:
    return {"what": what, "value": str(value), "ok": not note, "note": note}


def _nodes(snapshot: Snapshot) -> list[dict[str, Any]]:
    alive = {node.name: node for node in snapshot.documents.values() if isinstance(node, Node)}
    used = {document.node for document in snapshot.documents.values() if isinstance(document, Workload)}
    cluster = {document.node: document for document in snapshot.documents.values() if isinstance(document, Eligibility)}
    members = {name for name, said in cluster.items() if not said.excluded}
    rows = [
        _row(f"node {name}", "no agent", _POD.format(name) if name in members else _UNIT.format(name))
        for name in sorted((used | members) - set(alive))
    ]
    for name, node in sorted(alive.items()):
        up = sum(session.established for session in node.sessions)
        silent = [session.trouble for session in node.sessions if not session.established]
        notes = [f"removals held: {node.held}"] if node.held else []
        notes += [_LEFT] if cluster and name not in cluster else []
        notes += [_BIRD] if not node.sessions and _has_peers(name, snapshot) else []
        notes += [f"not established: {', '.join(silent)}"] if silent else []
        notes += [f"not in force: {problem}" for problem in node.problems]
        value = f"{up}/{len(node.sessions)} sessions" + (", draining" if node.draining else "")
        rows.append(_row(f"node {name}", value, "; ".join(notes)))
    return rows


def _has_peers(node: str, snapshot: Snapshot) -> bool:
    """Tell whether a node is to speak with a peer."""
    peers = (document for document in snapshot.documents.values() if isinstance(document, Peer))
    return any(not peer.nodes or node in peer.nodes for peer in peers)


def _broken(snapshot: Snapshot) -> list[dict[str, Any]]:
    return [_row(f"document {path}", "unreadable", error) for path, error in sorted(snapshot.broken.items())]
