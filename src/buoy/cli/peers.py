# SPDX-License-Identifier: Apache-2.0
"""`buoy peer`: the BGP neighbours of the nodes; beside it `buoy filter`, `buoy bgp` and `buoy apply`."""

from typing import Annotated, Any

import typer

from buoy.cli import bgp_documents, bgp_options
from buoy.cli.apply import app as apply
from buoy.cli.bgp import app as bgp
from buoy.cli.context import DryRunOption, Output, OutputOption, show, with_store
from buoy.cli.filters import app as filters
from buoy.model.errors import InvalidInput
from buoy.model.peer import Peer
from buoy.store.store import Store

__all__ = ["apply", "bgp", "filters", "peer"]

peer = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="BGP neighbours of the nodes: routers of the data centre, or whatever else must hear of service IPs.\n\n"
    "A change of one peer leaves the sessions with all others up. Exit codes: 0 done, 2 wrong input, "
    "3 store unavailable, 4 not found or already there.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The peer's name: letters, digits, dots and dashes.")]

_ADD = """Add the BGP neighbour NAME. --address and --asn are needed; all else has a default.

\b
Examples:
  buoy peer add tor-1 --address 192.0.2.1 --asn 64999 --bfd
  buoy peer add tor-2 --address 192.0.2.2 --asn 64999 --node compute-1 --node compute-2
  buoy peer add far --address 198.51.100.1 --asn 65001 --multihop 3 --password-file /root/far.key
  buoy peer add tor-6 --address 2001:db8::1 --asn 64999 --export-filter only-pool
"""
_SET = """Change what is given of the BGP neighbour NAME; what is not given stays.

\b
Examples:
  buoy peer set tor-1 --hold-time 9 --keepalive 3 --graceful-restart-time 20
  buoy peer set tor-1 --no-bfd --multihop 0       (0 and '' clear a field)
  buoy peer set tor-1 --node ''                   (for all nodes)
"""


@peer.command("set", help=_SET)
@peer.command("add", help=_ADD)
def _write(
    ctx: typer.Context,
    name: Name,
    address: Annotated[str | None, typer.Option(help="The neighbour's address, IPv4 or IPv6.")] = None,
    asn: bgp_options.Asn = None,
    nodes: Annotated[list[str] | None, typer.Option("--node", help="Only this node; repeat. Default: all.")] = None,
    local_asn: Annotated[int | None, typer.Option(help="Our AS towards this neighbour; 0: the cluster's.")] = None,
    port: Annotated[int | None, typer.Option(help="The neighbour's TCP port (179).")] = None,
    password: bgp_options.Password = None,
    password_file: bgp_options.PasswordFile = None,
    password_from: bgp_options.PasswordFrom = None,
    hold_time: bgp_options.HoldTime = None,
    keepalive: Annotated[int | None, typer.Option(help="Seconds between keepalives; 0: a third of hold.")] = None,
    connect_retry: Annotated[int | None, typer.Option(help="Seconds between attempts to connect (5).")] = None,
    bfd: bgp_options.BfdSwitch = None,
    bfd_interval: bgp_options.BfdInterval = None,
    bfd_multiplier: bgp_options.BfdMultiplier = None,
    bfd_graceful: bgp_options.BfdGraceful = None,
    graceful_restart: bgp_options.Graceful = None,
    graceful_restart_time: bgp_options.RestartTime = None,
    multihop: Annotated[int | None, typer.Option(help="The neighbour is up to so many hops away; 0: direct.")] = None,
    ttl_security: bgp_options.TtlSecurity = None,
    allow_local_as: bgp_options.AllowLocalAs = None,
    next_hop: bgp_options.NextHopRule = None,
    source: bgp_options.Source = None,
    reflector_client: bgp_options.Reflector = None,
    inside: bgp_options.Inside = None,
    passive: Annotated[bool | None, typer.Option("--passive/--active", help="Wait for the neighbour.")] = None,
    export_filter: Annotated[str | None, typer.Option(help="Filter of what it is told.")] = None,
    import_filter: Annotated[str | None, typer.Option(help="Filter of what is taken from it.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    given, new = dict(locals()), ctx.info_name == "add"
    print(with_store(lambda store: _put(store, name, given, new=new)))


async def _put(store: Store, name: str, given: dict[str, Any], *, new: bool) -> str:
    if new:
        for option in ("address", "asn"):
            if given[option] is None:
                raise InvalidInput(f"--{option}", None, f"a peer needs it: buoy peer add {name} --{option} …")
        before: dict[str, Any] = {"name": name}
        old = Peer(name=name, address=given["address"], asn=given["asn"])
    else:
        stored = await bgp_documents.read(store, f"peers/{name}")
        if not isinstance(stored, Peer):
            raise bgp_documents.missing(f"peers/{name}")
        old, before = stored, {field: getattr(stored, field) for field in Peer.__struct_fields__}
    changes = bgp_options.fields(given, Peer)
    changes["bfd"] = bgp_options.bfd(given, old.bfd)
    changes["password"] = bgp_options.password(given, old.password)
    return await bgp_documents.put(store, Peer(**{**before, **changes}), new=new, dry_run=given["dry_run"])


@peer.command("list")
def list_peers(output: OutputOption = Output.TABLE) -> None:
    """List peers and on how many nodes their session is established."""
    rows = with_store(bgp_documents.peer_rows)
    show(rows, output, ["name", "address", "asn", "nodes", "established"])


@peer.command("show")
def show_peer(name: Name, output: OutputOption = Output.TABLE, reveal: bgp_options.Reveal = False) -> None:
    """Show all of one peer, and the state of its session on each node with the last error.

    \b
    Examples:
      buoy peer show tor-1
      buoy peer show tor-1 -o yaml
    """
    (row,) = with_store(lambda store: bgp_documents.peer_rows(store, name))
    if reveal:
        stored = with_store(lambda store: bgp_documents.read(store, f"peers/{name}"))
        row.update(bgp_documents.plain(stored, reveal=True))
    if output in (Output.JSON, Output.YAML):
        show([row], output, [])
        return
    sessions = row.pop("sessions")
    show([{"field": field, "value": value} for field, value in row.items()], output, ["field", "value"])
    print()
    show(sessions, output, ["node", "state", "since", "exported", "error"])


@peer.command("delete")
def delete_peer(name: Name, dry_run: DryRunOption = False) -> None:
    """Delete the peer NAME: its sessions end, and what it was told is withdrawn by it.

    \b
    Example:
      buoy peer delete tor-1
    """
    print(with_store(lambda store: bgp_documents.remove(store, f"peers/{name}", dry_run=dry_run)))
