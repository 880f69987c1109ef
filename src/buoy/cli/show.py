# SPDX-License-Identifier: Apache-2.0
"""`buoy show`: what the store holds, one kind at a time."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import typer

from buoy.cli.context import Output, OutputOption, show, with_store
from buoy.cli.reading import listing
from buoy.model.documents import Document
from buoy.model.group import SecurityGroup
from buoy.model.network import Subnet
from buoy.model.peer import Filter, Peer
from buoy.model.pool import Pool
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.model.status import AddressStatus, State
from buoy.model.workload import Workload
from buoy.planner.peering_rules import HIDDEN
from buoy.planner.placement import serving
from buoy.planner.unserved import unserved

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

NodeOption = Annotated[str, typer.Option("--node", help="Only what concerns this node.")]
Row = dict[str, Any]


def _rows(prefixes: tuple[str, ...], row: Callable[[Document, Snapshot], Row | None]) -> list[Row]:
    snapshot = with_store(lambda store: listing(store, *prefixes))
    found = (row(document, snapshot) for _, document in sorted(snapshot.documents.items()))
    return [line for line in found if line is not None]


def _plain(kind: type) -> Callable[[Document, Snapshot], Row | None]:
    return lambda document, _: _whole(document) if isinstance(document, kind) else None


def _whole(document: Document) -> Row:
    """Return all fields of a document, those with their default too; a password is nobody's to read."""
    plain: Row = {name: msgspec.to_builtins(value) for name, value in msgspec.structs.asdict(document).items()}
    return {**plain, "password": HIDDEN} if plain.get("password") else plain


def _status_of(address: str, node: str, snapshot: Snapshot) -> AddressStatus | None:
    status = snapshot.documents.get(f"status/{node}/address/{address}")
    return status if isinstance(status, AddressStatus) else None


@app.command()
def addresses(output: OutputOption = Output.TABLE, node: NodeOption = "") -> None:
    """Every address Buoy serves: service IPs and the workloads' own, with what their node observed."""
    snapshot = with_store(lambda store: listing(store, "status/", "service-ips/", "settings/", "eligibility/"))
    found = (document for _, document in sorted(snapshot.documents.items()) if isinstance(document, AddressStatus))
    rows = [_address_row(status, snapshot) for status in found if node in {"", status.node}]
    if not node:
        rows += [
            {"address": claim.address, "mode": claim.mode, "state": "down", "reason": withheld.reason}
            for claim, withheld in unserved(snapshot)
        ]
    show(rows, output, ["address", "mode", "target", "node", "state", "announced", "reason"])


def _address_row(status: AddressStatus, snapshot: Snapshot) -> Row:
    claim = snapshot.documents.get(f"service-ips/{status.address}")
    endpoints = claim.endpoints if isinstance(claim, ServiceIP) else ()
    return {
        "address": status.address,
        "mode": claim.mode if isinstance(claim, ServiceIP) else "routed",
        "target": [endpoint.target for endpoint in endpoints] or _services(claim),
        "node": status.node,
        "state": status.state,
        "programmed": status.programmed,
        "announced": status.announced,
        "reason": status.reason,
        "revision": status.revision,
    }


def _services(claim: Document | None) -> list[str]:
    return [backing.service for backing in claim.backings] if isinstance(claim, ServiceIP) else []


@app.command("service-ips")
def service_ips(output: OutputOption = Output.TABLE) -> None:
    """Claims on addresses, bound or not."""

    def row(document: Document, snapshot: Snapshot) -> Row | None:
        if not isinstance(document, ServiceIP):
            return None
        plain = _whole(document)
        nodes = sorted(filter(None, serving(document)))
        seen = filter(None, (_status_of(document.address, node, snapshot) for node in nodes))
        states = {status.state for status in seen} or {State.DOWN}
        return {
            **plain,
            "targets": [end.target for end in document.endpoints] or _services(document),
            "nodes": nodes,
            "state": State.ACTIVE if State.ACTIVE in states else min(states),
        }

    columns = ["address", "mode", "targets", "nodes", "direction", "state"]
    show(_rows(("service-ips/", "status/"), row), output, columns)


@app.command()
def workloads(output: OutputOption = Output.TABLE, node: NodeOption = "") -> None:
    """Ports of VMs as their nodes serve them."""

    def row(document: Document, _: Snapshot) -> Row | None:
        if not isinstance(document, Workload):
            return None
        plain = _whole(document)
        return {**plain, "fixed_ips": [fixed.address for fixed in document.fixed_ips]}

    columns = ["id", "node", "interface", "mac", "fixed_ips", "port_security"]
    show(_rows((f"workloads/{node}/" if node else "workloads/",), row), output, columns)


_SIMPLE: Mapping[str, tuple[type, str, list[str], str]] = {
    "pools": (Pool, "pools/", ["name", "prefixes", "registry", "direction"], "Pools and who keeps their books."),
    "subnets": (Subnet, "subnets/", ["id", "prefix", "gateway", "dhcp", "internal"], "Subnets."),
    "groups": (SecurityGroup, "groups/", ["id", "name"], "Security groups."),
    "peers": (Peer, "peers/", ["name", "address", "asn", "nodes", "bfd"], "BGP peers as they are wanted."),
    "filters": (Filter, "filters/", ["name", "rules"], "Filters."),
}


def _simple(name: str) -> None:
    kind, prefix, columns, text = _SIMPLE[name]

    def command(output: OutputOption = Output.TABLE) -> None:
        show(_rows((prefix,), _plain(kind)), output, columns)

    app.command(name, help=text)(command)


for _name in _SIMPLE:
    _simple(_name)
