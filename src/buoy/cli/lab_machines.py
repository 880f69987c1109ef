# SPDX-License-Identifier: Apache-2.0
"""`buoy lab node` and `buoy lab service`: what is switched off and on, killed and started in a lab.

Promises that a command returns when what it ends has ended; what it starts is not waited for.
"""

import typer

from buoy.cli.context import Output, OutputOption, show
from buoy.cli.lab_options import (
    NODE_COLUMNS,
    SERVICE_COLUMNS,
    MaybeNode,
    NameOption,
    NodeArgument,
    ServiceArgument,
)
from buoy.lab.control import LabError
from buoy.lab.lab import DEFAULT_NAME, Lab

service = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The daemons on the lab's nodes.")
node = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The lab's machines: switch them off and on.")


@service.command("list")
def list_services(node: MaybeNode = None, name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """List services with stage, restarts and process (as the lab numbers it).

    \b
    Examples:
      buoy lab service list
      buoy lab service list compute-1 -o json
    """
    found = Lab(name).status()
    if node is not None and node not in (known := [one["name"] for one in found["nodes"]]):
        raise LabError(f"there is no node {node}; there are {', '.join(known)}")
    show([one for one in found["services"] if node in (None, one["node"])], output, SERVICE_COLUMNS)


def _service_command(action: str, text: str) -> None:
    def act(
        node: NodeArgument,
        service: ServiceArgument,
        name: NameOption = DEFAULT_NAME,
        output: OutputOption = Output.TABLE,
    ) -> None:
        show([Lab(name).service(action, node, service)], output, SERVICE_COLUMNS)

    example = f"\b\nExamples:\n  buoy lab service {action} compute-1 agent\n  buoy lab service {action} controller etcd"
    service.command(action, help=f"{text}\n\n{example}")(act)


_service_command("stop", "End a service with SIGTERM; it stays down.")
_service_command("start", "Start a service that was stopped or killed; one that runs goes on.")
_service_command("kill", "End a service with kill -9; it stays down until `start`.")


@node.command("list")
def list_nodes(name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """List nodes with their addresses and whether they are on."""
    show(Lab(name).status()["nodes"], output, NODE_COLUMNS)


def _node_command(action: str, text: str) -> None:
    def act(node: NodeArgument, name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
        show([Lab(name).node(action, node)], output, NODE_COLUMNS)

    node.command(action, help=f"{text}\n\n\b\nExample:\n  buoy lab node {action} compute-1")(act)


_node_command(
    "stop",
    "Switch a node off as a power cut does: its uplink goes, then every process, its guests too.\n\n"
    "/etc and /var/lib stay; what the kernel and /run held is lost. A node that is off is a success.",
)
_node_command(
    "fail",
    "Cut a node off as a dead cable does: all goes on running there, but nothing it sends arrives, and nothing reaches "
    "it.\n\nIn a Kubernetes lab its lease expires. A node that is cut off already is a success.",
)
_node_command("recover", "Undo `fail`: a Kubernetes node and its pods are ready again once their kubelet is heard.")
_node_command(
    "start",
    "Switch a node on again: first its guests, then its services, as at a boot.\n\n"
    "On a compute node the nft skeleton comes before the guests. Returns before the services are ready: "
    "`buoy lab status`. A node that is on is a success.",
)
