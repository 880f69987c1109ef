# SPDX-License-Identifier: Apache-2.0
"""`buoy`: the command tree, and the one place where an error becomes a message.

A sub-command's module is imported only when it is used, so that `buoy why`
does not pay for the lab and the agent's host does not need it installed.
"""

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from buoy import __version__
from buoy.cli import context
from buoy.model.errors import BuoyError

_GROUPS = {
    "agent": ("buoy.cli.agent", "Run and steer the agent of this host."),
    "aggregation": ("buoy.cli.aggregation", "Let `kubectl patch` work on projectcalico.org/v3 (Kubernetes)."),
    "controller": ("buoy.cli.controller", "Give Services of a Kubernetes cluster their addresses."),
    "dhcp": ("buoy.cli.dhcp", "Run the DHCP and RA responder of this host."),
    "lab": ("buoy.cli.lab", "A cloud in network namespaces, of real daemons."),
    "peer": ("buoy.cli.peers:peer", "BGP neighbours."),
    "filter": ("buoy.cli.filters", "Filters of what peers are told and what is taken from them."),
    "bgp": ("buoy.cli.bgp", "The cluster's own BGP settings."),
    "store": ("buoy.cli.store", "etcd: whether it answers, and who may do what in it."),
    "service-ip": ("buoy.cli.service_ips", "Floating IPs of pods (Kubernetes), given and taken back by hand."),
    "show": ("buoy.cli.show", "What the store and the nodes hold."),
    "migrate": ("buoy.cli.migrate", "From MetalLB or Calico's BGP to Buoy: what goes on, and what does not."),
    "node": ("buoy.cli.nodes", "Nodes: list them, and say of a silent one that it is off."),
}
_COMMANDS = {
    "why": ("buoy.cli.why", "Explain one address's whole way, each no with reason and remedy."),
    "status": ("buoy.cli.status", "The cloud in one screen; exit code 1 if something is wrong."),
    "apply": ("buoy.cli.apply", "Write a file of documents, checked as a whole first."),
    "plan": ("buoy.cli.local:plan", "What the next pass of this host's agent, or a file, would change."),
    "audit": ("buoy.cli.local:audit", "Compare this host with what is wanted; exit code 1 if it differs."),
    "doctor": ("buoy.cli.local:doctor", "Check this host for what stops Buoy from working."),
}


class _LazyGroup(TyperGroup):
    """Commands by name, imported when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401  the library's own context
        """Name every command, those not yet imported too."""
        return [*super().list_commands(ctx), *sorted({**_GROUPS, **_COMMANDS})]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401  the library's own command
        """Import a command's module and return the command."""
        target = _GROUPS.get(cmd_name) or _COMMANDS.get(cmd_name)
        if target is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = target[0].partition(":")
        command = typer.main.get_command(getattr(importlib.import_module(module), attribute or "app"))
        command.name = cmd_name
        command.help = command.help or target[1]
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002  as above
        """List what there is without importing any of it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted({**_GROUPS, **_COMMANDS}.items())])


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    # what nobody expected is for a report, and wanted whole
    pretty_exceptions_enable=False,
    help=__doc__.split("\n\n")[0],
)


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
    *,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),  # noqa: ARG001  its callback prints
    kubeconfig: str = typer.Option(
        "", metavar="FILE", help="The store is the API server this file names, whatever settings and environment say."
    ),
    cluster: str = typer.Option("", "--context", metavar="NAME", help="A context of the kubeconfig."),
) -> None:
    """Take the options of `buoy` itself."""
    context.name_cluster(kubeconfig, cluster)


def main() -> None:
    """Run one command; end with its exit code."""
    try:
        app(prog_name="kubectl buoy" if context.is_plugin() else "buoy")
    except BuoyError as error:
        print(f"buoy: {context.said(error)}", file=sys.stderr)
        sys.exit(context.exit_code(error))


if __name__ == "__main__":
    main()
