# SPDX-License-Identifier: Apache-2.0
"""`buoy why ADDRESS`: one address's whole way, from request to the peers' view."""

import asyncio
from typing import Annotated, Any

import typer

from buoy.agent.inspect import ask
from buoy.cli.context import Output, OutputOption, show, with_store
from buoy.cli.reading import listing
from buoy.model.address import Address, parse_address
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.model.reason import Reason
from buoy.model.snapshot import Snapshot
from buoy.planner.remote import old_nodes, remote_lines

app = typer.Typer(rich_markup_mode=None)

_SPOKEN = ("workloads/", "nodes/", "fences/", "status/", "pools/", "settings/", "eligibility/")
"""Where what concerns an address stands, besides its claim."""

_UNKNOWN = frozenset({Reason.UNKNOWN_ADDRESS, Reason.UNKNOWN_IN_CLUSTER})
_ELSEWHERE = frozenset({Reason.OTHER_NODE, Reason.UNKNOWN_ADDRESS})
"""Reasons of an agent that does not serve an address; fixed IPs of other nodes it has never heard of."""


@app.command()
def why(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The address to explain.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Explain ADDRESS in about ten lines, each *no* with its reason and what to do.

    On a node with an agent, the agent answers from what it observes this moment.
    Anywhere else the store answers: what is wanted, and what the nodes reported.
    Ends with 0 if the address is served, 1 if not, 4 if nothing is known of it.

    \b
    Examples:
      buoy why 198.51.100.7
      buoy why 2001:db8::7 -o json
    """
    wanted = parse_address(address, "ADDRESS")
    lines = _lines(wanted)
    if output is Output.TABLE:
        for line in lines:
            print(f"{'✓' if line['ok'] else '✗'} {line['topic']:<13} {line['text']}")
    else:
        show(lines, output, ["topic", "ok", "text", "reason"])
    if any(line.get("reason") in _UNKNOWN for line in lines):
        raise typer.Exit(4)
    if not all(line["ok"] for line in lines):
        raise typer.Exit(1)


def _lines(address: Address) -> list[dict[str, Any]]:
    try:
        lines: list[dict[str, Any]] = asyncio.run(ask("why", address=address))
    except (InvalidInput, StoreUnavailable):
        lines = []
    try:
        snapshot: Snapshot = with_store(lambda store: listing(store, f"service-ips/{address}", *_SPOKEN))
    except StoreUnavailable:
        if lines:
            return lines
        raise
    # an agent sees only its own node: what is served elsewhere, or was left there, is better told from the store
    if lines and not any(line.get("reason") in _ELSEWHERE for line in lines):
        return [*lines, *(dict(line) for line in old_nodes(address, snapshot))]
    remains = [line for line in lines if line.get("topic") == "announcement"]
    return [*(dict(line) for line in remote_lines(address, snapshot)), *remains]
