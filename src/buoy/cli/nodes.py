# SPDX-License-Identifier: Apache-2.0
"""`buoy node`: who is alive, and telling Buoy that a silent node is off."""

from typing import Annotated

import typer

from buoy.cli.context import DryRunOption, Output, OutputOption, show, with_store
from buoy.cli.reading import listing
from buoy.model import documents, validate
from buoy.model.errors import Conflict, InvalidInput
from buoy.model.node import Fence, Node
from buoy.store.store import Store, Write

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="The node's name.")]


@app.command("list")
def list_nodes(output: OutputOption = Output.TABLE) -> None:
    """List the nodes whose agents are alive."""

    async def read(store: Store) -> list[dict[str, object]]:
        snapshot = await listing(store, "nodes/")
        return [_row(node) for node in snapshot.documents.values() if isinstance(node, Node)]

    show(with_store(read), output, ["name", "addresses", "sessions_up", "workloads", "service_ips", "draining", "held"])


def _row(node: Node) -> dict[str, object]:
    up = sum(session.established for session in node.sessions)
    return {
        "name": node.name,
        "addresses": list(node.addresses),
        "sessions_up": f"{up}/{len(node.sessions)}",
        "workloads": node.workloads,
        "service_ips": node.service_ips,
        "draining": node.draining,
        "held": node.held,
        "problems": list(node.problems),
        "version": node.version,
        "started": node.started,
    }


def _named(node: str) -> str:
    """Return a node's name; raise `InvalidInput` for what can be none: nobody could read what is written of it."""
    try:
        validate.check("", Fence(node=node))
    except InvalidInput as error:
        raise InvalidInput("NODE", node, error.remedy) from error
    return node


@app.command()
def fence(
    node: NodeArgument,
    reason: Annotated[str, typer.Option(help="Why you know that it is off.")] = "",
    dry_run: DryRunOption = False,
) -> None:
    """Say that NODE is off, so that what it last reported counts as withdrawn.

    Do this only when the machine is really off or cut from the network: an
    address it still announced would lead to two places. Refused (exit code 4) while
    its agent lives.

    \b
    Example:
      buoy node fence compute-1 --reason 'powered off'
    """
    document = Fence(node=_named(node), reason=reason)

    async def write(store: Store) -> None:
        # not `read`: in Kubernetes what a node said of itself outlives its agent, and only who watches knows
        heard = (await listing(store, "nodes/")).documents
        if isinstance(heard.get(documents.path(Node(name=node))), Node):
            raise Conflict(f"NODE: {node} has a living agent: drain it there, or cut it off first and wait 15 s")
        if not dry_run:
            await store.write([Write(documents.path(document), document, None)])

    with_store(write)
    if dry_run:
        print(f"would fence {node}")
        return
    print(f"{node} is fenced; `buoy node unfence {node}` takes it back")


@app.command()
def unfence(node: NodeArgument) -> None:
    """Take back what `fence` said.

    \b
    Example:
      buoy node unfence compute-1
    """
    gone = Write(documents.path(Fence(node=_named(node))), None, None)
    with_store(lambda store: store.write([gone]))
    print(f"{node} is not fenced")
