"""`buoy`: the command tree, and the one place where an error becomes a message.

A sub-command's module is imported only when it is used, so that `buoy why`
does not pay for the lab and the agent's host does not need it installed.
"""

import importlib
import sys
from typing import Any

import click
import typer
from typer.core import TyperGroup

from buoy import __version__
from buoy.cli import context
from buoy.model.errors import BuoyError

_GROUPS = {
    "agent": ("buoy.cli.agent", "Run and steer the agent of this host."),
    "dhcp": ("buoy.cli.dhcp", "Run the DHCP and RA responder of this host."),
    "lab": ("buoy.cli.lab", "A cloud in network namespaces, of real daemons."),
    "peer": ("buoy.cli.peers:peer", "BGP neighbours."),
    "filter": ("buoy.cli.peers:filters", "Filters of what peers are told and what is taken from them."),
    "bgp": ("buoy.cli.peers:bgp", "The cluster's own BGP settings."),
    "show": ("buoy.cli.show", "What the store and the nodes hold."),
    "node": ("buoy.cli.nodes", "Nodes: list, drain, fence."),
}
_COMMANDS = {
    "why": ("buoy.cli.why", "Explain one address's whole way, each no with reason and remedy."),
    "status": ("buoy.cli.status", "The cloud in one screen; exit code 1 if something is wrong."),
    "apply": ("buoy.cli.peers:apply", "Write a file of documents, checked as a whole first."),
    "plan": ("buoy.cli.local:plan", "What the next pass of this host's agent would change."),
    "audit": ("buoy.cli.local:audit", "Compare this host with what is wanted; exit code 1 if it differs."),
    "doctor": ("buoy.cli.local:doctor", "Check this host for what stops Buoy from working."),
}


class _LazyGroup(TyperGroup):
    """Commands by name, imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_GROUPS, *_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _GROUPS.get(cmd_name) or _COMMANDS.get(cmd_name)
        if target is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = target[0].partition(":")
        found: Any = getattr(importlib.import_module(module), attribute or "app")
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, target[1]) for name, target in sorted({**_GROUPS, **_COMMANDS}.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(cls=_LazyGroup, no_args_is_help=True, rich_markup_mode=None, help=__doc__.split("\n\n")[0])


def _version(wanted: bool) -> None:
    if wanted:
        print(f"buoy {__version__}")
        raise typer.Exit


@app.callback(
    help="Addresses that outlive the workload behind them.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 store unavailable, 4 not found or conflict, "
    "5 held for a person to confirm."
)
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Carry the options of `buoy` itself."""


def main() -> None:
    """Run one command; end with its exit code."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BuoyError as error:
        print(f"buoy: {error}", file=sys.stderr)
        sys.exit(context.exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
