# SPDX-License-Identifier: Apache-2.0
"""`buoy lab`: a cloud in network namespaces, of real daemons.

Every command but `up` speaks to a running lab over its control socket; commands
in machines replace this process by `nsenter`, so terminals and exit codes are theirs.
"""

import os
import shlex
import sys
import time
from typing import Annotated, Any

import typer

from buoy.cli import lab_guests, lab_machines, lab_pods
from buoy.cli.context import Output, OutputOption, fail, show
from buoy.cli.lab_options import (
    GUEST_COLUMNS,
    KINDS,
    NODE_COLUMNS,
    SERVICE_COLUMNS,
    BareOption,
    CommandArgument,
    KindArgument,
    MachineArgument,
    MaybeService,
    NameOption,
    NewNameOption,
    ProxyOption,
    become,
)
from buoy.lab import launch, place
from buoy.lab.control import LabError
from buoy.lab.kubernetes import PROXY_MODES, Plan
from buoy.lab.lab import DEFAULT_NAME, Lab

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="A cloud in network namespaces, of real daemons.\n\n"
    "Exit codes: 0 done, 1 failed (the reason is printed), 2 wrong usage or input, 130 interrupted; "
    "`exec` ends with the command's own.",
)
app.add_typer(lab_machines.node, name="node")
app.add_typer(lab_machines.service, name="service")
app.add_typer(lab_guests.app, name="vm")
app.add_typer(lab_pods.app, name="pod")


@app.command()
def up(
    kind: KindArgument,
    name: NewNameOption = "",
    nodes: Annotated[int, typer.Option("--nodes", help="How many compute nodes, or Kubernetes nodes.")] = 2,
    proxy: ProxyOption = PROXY_MODES[0],
    bare: BareOption = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="SERVICE", help="Leave out a service, of all nodes or NODE/SERVICE."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Build a lab and return once all its services are ready. Ctrl-C leaves nothing.

    The first Kubernetes lab builds Kubernetes, which takes minutes; $KUBEBUILDER_ASSETS may hold its programs.

    \b
    Examples:
      buoy lab up openstack
      buoy lab up openstack --name second --nodes 5
      buoy lab up openstack --without neutron --without compute-2/bird
      buoy lab up kubernetes --nodes 3 --proxy iptables
    """
    if kind not in KINDS:
        fail(f"KIND: {kind!r} is not known; there are: {', '.join(KINDS)}", 2)
    began = time.monotonic()
    lab = Lab(name or kind)
    if kind == DEFAULT_NAME:
        lab.up(nodes, without or (), _tell_news)
    else:
        lab.up_kubernetes(Plan(nodes=nodes, proxy=proxy, bare=bare, without=tuple(without or ())), _tell_news)
    if output is Output.TABLE:
        _say_up(lab, kind, time.monotonic() - began)
    else:
        show(lab.services(), output, SERVICE_COLUMNS)


def _say_up(lab: Lab, kind: str, seconds: float) -> None:
    names = [node["name"] for node in lab.status()["nodes"]]
    first = next(place for place, name in enumerate(names) if name.endswith("-1"))
    same_kind = " … ".join(dict.fromkeys((names[first], names[-1])))
    print(f"lab {lab.name} is up in {seconds:.1f} s: {', '.join([*names[:first], same_kind])}")
    chosen = f" --name {lab.name}" if lab.name != kind else ""
    print(f'now: eval "$(buoy lab env{chosen})"; {KINDS[kind]}')


@app.command()
def down(
    name: NameOption = DEFAULT_NAME,
    keep_logs: Annotated[bool, typer.Option("--keep-logs", help="Copy the logs to a directory in /tmp first.")] = False,
) -> None:
    """End a lab; when this returns nothing of it is left. A lab that is not up is a success.

    \b
    Examples:
      buoy lab down
      buoy lab down --name second --keep-logs
    """
    up = place.names()
    if up and name not in up:
        print(f"no lab called {name} is up, but {', '.join(up)}: say which with --name", file=sys.stderr)
    with launch.undisturbed():
        kept = Lab(name).down(keep_logs=keep_logs)
    if kept is not None:
        print(f"logs are in {kept}")


@app.command("list")
def list_labs(output: OutputOption = Output.TABLE) -> None:
    """List the labs that are up."""
    rows: list[dict[str, Any]] = []
    for name in place.names():
        try:
            status = Lab(name).status()
        except LabError as error:
            rows.append({"name": name, "note": str(error)})
            continue
        ready = sum(one["stage"] in ("ready", "ended") for one in status["services"])
        rows.append({
            "name": name, "kind": status["kind"], "nodes": len(status["nodes"]), "guests": len(status["guests"]),
            "services": f"{ready}/{len(status['services'])}",
        })  # fmt: skip
    show(rows, output, ("name", "kind", "nodes", "guests", "services", "note"))


@app.command()
def status(name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """Show nodes, services and guests; exit code 1 if a service is not ready."""
    now = Lab(name).status()
    if output is Output.TABLE:
        show(now["nodes"], output, NODE_COLUMNS)
        print()
        show(now["services"], output, SERVICE_COLUMNS)
        print()
        show(now["guests"], output, GUEST_COLUMNS)
    else:
        show([now], output, ())
    if not all(one["stage"] in ("ready", "ended") for one in now["services"]):
        raise typer.Exit(1)


@app.command()
def env(name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """Print shell exports by which the real clients reach the lab.

    \b
    Example:
      eval "$(buoy lab env)"; openstack network agent list
    """
    variables = Lab(name).env()
    if output is not Output.TABLE:
        show([variables], output, ())
        return
    for variable, value in variables.items():
        print(f"export {variable}={shlex.quote(value)}")


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(node: MachineArgument, command: CommandArgument = None, name: NameOption = DEFAULT_NAME) -> None:
    """Run a command on a node; ends with the command's own exit code.

    \b
    Examples:
      buoy lab exec compute-1
      buoy lab exec access -- ip route
    """
    become(Lab(name), node, command or [])


@app.command()
def logs(
    node: MachineArgument,
    service: MaybeService = None,
    name: NameOption = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
) -> None:
    """Print what the services of a node, or a guest, logged.

    \b
    Examples:
      buoy lab logs compute-1 agent --follow
      buoy lab logs web1
    """
    files = [str(file) for file in Lab(name).log_files(node, service)]
    if follow:
        os.execvp("tail", ["tail", "-n", "50", "-F", *files])
    os.execvp("tail", ["tail", "-n", "+1", *files])


def _tell_news(news: dict[str, Any]) -> None:
    if "up" in news:
        launch.ignore_interrupts()
        return
    making = f"making {news['doing']}" if "doing" in news else news.get("preparing", "")
    text = f"{news['ready']} is ready" if "ready" in news else making
    print(f"… {text}", file=sys.stderr)
