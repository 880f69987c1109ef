# SPDX-License-Identifier: Apache-2.0
"""`buoy bgp`: the cluster's own AS, and how its nodes speak with each other."""

from typing import Annotated, Any

import typer

from buoy.cli import bgp_documents, bgp_options
from buoy.cli.context import DryRunOption, Output, OutputOption, show, with_store
from buoy.model.peer import BGPSettings
from buoy.store.store import Store

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The cluster's BGP: its AS, and a full mesh or route reflectors between its nodes.",
)


@app.command("show")
def show_settings(output: OutputOption = Output.TABLE, reveal: bgp_options.Reveal = False) -> None:
    """Show the settings in force; they have defaults until something is set."""
    row = bgp_documents.plain(with_store(_stored), reveal=reveal)
    if output in (Output.JSON, Output.YAML):
        show([row], output, [])
        return
    show([{"field": field, "value": value} for field, value in row.items()], output, ["field", "value"])


@app.command("set")
def change(
    asn: bgp_options.Asn = None,
    mesh: Annotated[bool | None, typer.Option("--mesh/--no-mesh", help="Every node speaks with every other.")] = None,
    reflectors: Annotated[
        list[str] | None, typer.Option("--reflector", help="Nodes speak with this node alone; repeat. '': none.")
    ] = None,
    cluster_id: Annotated[str | None, typer.Option(help="Of the reflectors (RFC 4456); '': their router id.")] = None,
    listen_port: Annotated[int | None, typer.Option(help="TCP port on which nodes listen (179).")] = None,
    hold_time: bgp_options.HoldTime = None,
    graceful_restart_time: bgp_options.RestartTime = None,
    password: bgp_options.Password = None,
    password_file: bgp_options.PasswordFile = None,
    password_from: bgp_options.PasswordFrom = None,
    bfd: bgp_options.BfdSwitch = None,
    bfd_interval: bgp_options.BfdInterval = None,
    bfd_multiplier: bgp_options.BfdMultiplier = None,
    bfd_graceful: bgp_options.BfdGraceful = None,
    internal_prefixes: Annotated[
        list[str] | None, typer.Option("--internal-prefix", help="Reached with fixed addresses; repeat. '': none.")
    ] = None,
    originate: Annotated[
        list[str] | None, typer.Option("--originate", help="Announce this aggregate; repeat. '': none.")
    ] = None,
    communities: Annotated[
        list[str] | None,
        typer.Option("--community", metavar="PREFIX=AA:NN", help="Announce what is inside with it; repeat. '': none."),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Change what is given; what is not given stays. Timers, password and BFD are of sessions between nodes.

    \b
    Examples:
      buoy bgp set --asn 64512 --bfd
      buoy bgp set --reflector rr-1 --reflector rr-2 --cluster-id 192.0.2.250
      buoy bgp set --reflector '' --mesh
      buoy bgp set --community 203.0.113.0/24=64512:100,64512:1:2
    """
    given = dict(locals())
    print(with_store(lambda store: _put(store, given)))


async def _stored(store: Store) -> BGPSettings:
    found = (await store.read("settings/bgp")).document
    return found if isinstance(found, BGPSettings) else BGPSettings()


async def _put(store: Store, given: dict[str, Any]) -> str:
    old = await _stored(store)
    changes = bgp_options.fields(given, BGPSettings)
    changes["bfd"] = bgp_options.bfd(given, old.bfd)
    changes["password"] = bgp_options.password(given, old.password)
    before = {field: getattr(old, field) for field in BGPSettings.__struct_fields__}
    return await bgp_documents.put(store, BGPSettings(**{**before, **changes}), new=False, dry_run=given["dry_run"])
