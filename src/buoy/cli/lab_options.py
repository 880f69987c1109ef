# SPDX-License-Identifier: Apache-2.0
"""What the commands of `buoy lab` share: arguments that complete themselves, columns, and becoming a command.

Promises that completion never fails and never waits for a lab that does not answer: what
cannot be known is not offered.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from buoy.lab import place
from buoy.lab.control import LabError
from buoy.lab.kubernetes import PROXY_MODES
from buoy.lab.lab import DEFAULT_NAME, Lab

NODE_COLUMNS = ("name", "state", "address4", "address6")
SERVICE_COLUMNS = ("node", "service", "stage", "restarts", "process")
GUEST_COLUMNS = ("name", "node", "state", "interface", "mac", "addresses", "port")
KINDS = {DEFAULT_NAME: "openstack network agent list", "kubernetes": "kubectl get nodes"}
"""Kinds of clouds, each with a first command to try in it; a lab that is not named is called as its kind."""


def labs() -> list[str]:
    """Return the names of the labs that are up, for `--name`."""
    return place.names()


def _default_lab(name: str) -> str:
    """Return the lab that is meant where none is named: of those called as their kind, the one that is up."""
    up = labs()
    return next((kind for kind in KINDS if kind in up), name) if name == DEFAULT_NAME else name


def _found(look: Callable[[dict[str, Any], typer.Context], list[str]]) -> Callable[[typer.Context], list[str]]:
    def complete(ctx: typer.Context) -> list[str]:
        try:
            return look(Lab(_default_lab(ctx.params.get("name") or DEFAULT_NAME)).status(), ctx)
        except (LabError, OSError, ValueError):
            return []

    return complete


def _nodes(status: dict[str, Any], _: typer.Context) -> list[str]:
    return [node["name"] for node in status["nodes"]]


def _hosts(status: dict[str, Any], _: typer.Context) -> list[str]:
    return [node["name"] for node in status["nodes"] if node["guests"] and node["state"] == "on"]


def _guests(status: dict[str, Any], _: typer.Context) -> list[str]:
    return [guest["name"] for guest in status["guests"]]


def _machines(status: dict[str, Any], ctx: typer.Context) -> list[str]:
    return [*_nodes(status, ctx), *_guests(status, ctx)]


def _services(status: dict[str, Any], ctx: typer.Context) -> list[str]:
    return [one["service"] for one in status["services"] if one["node"] == ctx.params.get("node")]


NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        envvar="BUOY_LAB",
        help="Which lab, if there are several.",
        autocompletion=labs,
        callback=_default_lab,
        show_default="openstack, else kubernetes",
    ),
]
NewNameOption = Annotated[
    str, typer.Option("--name", envvar="BUOY_LAB", help="What to call it; as its kind if not given.")
]
KindArgument = Annotated[
    str,
    typer.Argument(metavar="KIND", help=f"The kind of cloud: {' or '.join(KINDS)}.", autocompletion=lambda: [*KINDS]),
]
ProxyOption = Annotated[
    str,
    typer.Option(
        "--proxy", help=f"kube-proxy's mode: {' or '.join(PROXY_MODES)}.", autocompletion=lambda: [*PROXY_MODES]
    ),
]
BareOption = Annotated[
    bool, typer.Option("--bare", help="Kubernetes without Buoy, to install it: kubectl apply -k packaging/kubernetes.")
]
NodeArgument = Annotated[
    str, typer.Argument(metavar="NODE", help="A node, such as compute-1.", autocompletion=_found(_nodes))
]
MaybeNode = Annotated[
    str | None, typer.Argument(metavar="NODE", help="One node; all if none is given.", autocompletion=_found(_nodes))
]
MachineArgument = Annotated[
    str, typer.Argument(metavar="NODE", help="A node or guest.", autocompletion=_found(_machines))
]
GuestArgument = Annotated[str, typer.Argument(metavar="NAME", help="The guest.", autocompletion=_found(_guests))]
PodArgument = Annotated[str, typer.Argument(metavar="NAME", help="The pod.")]
ServiceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE", help="A service: agent, bird, dhcp, etcd, neutron, …", autocompletion=_found(_services)
    ),
]
MaybeService = Annotated[
    str | None,
    typer.Argument(metavar="SERVICE", help="One service; all if none is given.", autocompletion=_found(_services)),
]
HostOption = Annotated[
    str,
    typer.Option(
        "--host", help="Compute node; default: the one with the fewest guests.", autocompletion=_found(_hosts)
    ),
]
CommandArgument = Annotated[
    list[str] | None, typer.Argument(metavar="COMMAND", help="The command; a shell if none is given.")
]


def become(lab: Lab, machine: str, command: list[str]) -> None:
    """Let a command in a node or guest take this process over: terminal and exit code are its own."""
    words = lab.command(machine, command)
    sys.stdout.flush()
    os.execvp(words[0], words)
