# SPDX-License-Identifier: Apache-2.0
"""`buoy lab`: a cloud in network namespaces, of real daemons.

Every command but `up` speaks to a running lab over its control socket; commands
in machines replace this process by `nsenter`, so terminals and exit codes are theirs.
"""

import os
import shlex
import signal
import sys
import time
from typing import Annotated, Any

import typer

from buoy.cli.context import Output, OutputOption, fail, show
from buoy.lab import launch, place, vm
from buoy.lab.control import LabError
from buoy.lab.lab import DEFAULT_NAME, Lab

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="A cloud in network namespaces, of real daemons.\n\n"
    "Exit codes: 0 done, 1 failed (the reason is printed), 2 wrong usage or input, 130 interrupted; "
    "`exec` ends with the command's own.",
)
service_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The daemons on the lab's nodes.")
app.add_typer(service_app, name="service")

NameOption = Annotated[str, typer.Option("--name", envvar="BUOY_LAB", help="Which lab, if there are several.")]
_PATIENCE = 2.0


@app.command()
def up(
    kind: Annotated[str, typer.Argument(help="The kind of cloud: openstack.")],
    name: NameOption = DEFAULT_NAME,
    nodes: Annotated[int, typer.Option("--nodes", help="How many compute nodes.")] = 2,
    without: Annotated[list[str] | None, typer.Option("--without", help="Leave out a service, e.g. neutron.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Build a lab and return once all its services are ready. Ctrl-C leaves nothing."""
    if kind != "openstack":
        fail(f"KIND: {kind!r} is not known; there is: openstack", 2)
    began = time.monotonic()
    lab = Lab(name).up(nodes, without or (), _tell_news)
    if output is not Output.TABLE:
        show(lab.services(), output, _SERVICE_COLUMNS)
        return
    seconds = time.monotonic() - began
    print(f"lab {name} is up in {seconds:.1f} s: access, controller, compute-1{f' … compute-{nodes}' * (nodes > 1)}")
    chosen = "" if name == DEFAULT_NAME else f" --name {name}"
    print(f'now: eval "$(buoy lab env{chosen})"; openstack network agent list')


@app.command()
def down(
    name: NameOption = DEFAULT_NAME,
    keep_logs: Annotated[bool, typer.Option("--keep-logs", help="Copy the logs to a directory in /tmp first.")] = False,
) -> None:
    """End a lab; when this returns nothing of it is left. A lab that is not up is a success."""
    with launch.undisturbed():
        kept = Lab(name).down(keep_logs=keep_logs)
    if kept is not None:
        print(f"logs are in {kept}")


@app.command("list")
def list_labs(output: OutputOption = Output.TABLE) -> None:
    """List the labs that are up."""
    rows = []
    for name in place.names():
        status = Lab(name).status()
        ready = sum(one["stage"] in ("ready", "ended") for one in status["services"])
        rows.append({
            "name": name, "kind": status["kind"], "nodes": len(status["nodes"]), "guests": len(status["guests"]),
            "services": f"{ready}/{len(status['services'])}",
        })  # fmt: skip
    show(rows, output, ("name", "kind", "nodes", "guests", "services"))


@app.command()
def status(name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """Show nodes, services and guests; exit code 1 if a service is not ready."""
    now = Lab(name).status()
    if output is Output.TABLE:
        show(now["nodes"], output, _NODE_COLUMNS)
        print()
        show(now["services"], output, _SERVICE_COLUMNS)
        print()
        show(now["guests"], output, _GUEST_COLUMNS)
    else:
        show([now], output, ())
    if not all(one["stage"] in ("ready", "ended") for one in now["services"]):
        raise typer.Exit(1)


@app.command()
def env(name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """Print shell exports by which the real clients reach the lab: eval "$(buoy lab env)"."""
    variables = Lab(name).env()
    if output is not Output.TABLE:
        show([variables], output, ())
        return
    for variable, value in variables.items():
        print(f"export {variable}={shlex.quote(value)}")


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    node: Annotated[str, typer.Argument(help="A node or guest.")],
    command: Annotated[list[str] | None, typer.Argument(help="The command; a shell if none is given.")] = None,
    name: NameOption = DEFAULT_NAME,
) -> None:
    """Run a command on a node: buoy lab exec access -- ip r."""
    _become(Lab(name), node, command or [])


@app.command()
def logs(
    node: Annotated[str, typer.Argument(help="A node or guest.")],
    service: Annotated[str | None, typer.Argument(help="One service; all if none is given.")] = None,
    name: NameOption = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
) -> None:
    """Print what the services of a node logged."""
    files = [str(file) for file in Lab(name).log_files(node, service)]
    if follow:
        os.execvp("tail", ["tail", "-n", "50", "-F", *files])
    os.execvp("tail", ["tail", "-n", "+1", *files])


@service_app.command("list")
def service_list(
    node: Annotated[str | None, typer.Argument(help="One node; all if none is given.")] = None,
    name: NameOption = DEFAULT_NAME,
    output: OutputOption = Output.TABLE,
) -> None:
    """List services with stage, restarts and process (as the lab numbers it)."""
    show([one for one in Lab(name).services() if node in (None, one["node"])], output, _SERVICE_COLUMNS)


def _service_command(action: str, text: str) -> None:
    def act(
        node: Annotated[str, typer.Argument(help="A node, such as compute-1.")],
        service: Annotated[str, typer.Argument(help="A service: agent, bird, dhcp, etcd, neutron, …")],
        name: NameOption = DEFAULT_NAME,
        output: OutputOption = Output.TABLE,
    ) -> None:
        show([Lab(name).service(action, node, service)], output, _SERVICE_COLUMNS)

    service_app.command(action, help=text)(act)


_service_command("stop", "End a service with SIGTERM; it stays down.")
_service_command("start", "Start a service that was stopped or killed.")
_service_command("kill", "End a service with kill -9; it stays down until `start`.")

node_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The lab's machines: switch them off and on.")
app.add_typer(node_app, name="node")


@node_app.command("list")
def node_list(name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """List nodes with their addresses and whether they are on."""
    show(Lab(name).status()["nodes"], output, _NODE_COLUMNS)


def _node_command(action: str, text: str) -> None:
    def act(
        node: Annotated[str, typer.Argument(metavar="NODE", help="A node, such as compute-1.")],
        name: NameOption = DEFAULT_NAME,
        output: OutputOption = Output.TABLE,
    ) -> None:
        show([Lab(name).node(action, node)], output, _NODE_COLUMNS)

    node_app.command(action, help=text)(act)


_node_command(
    "stop",
    "Switch a node off as a power cut does: its uplink goes, then every process, its guests too.\n\n"
    "/etc and /var/lib stay; what the kernel and /run held is lost. A node that is off is a success.",
)
_node_command(
    "start",
    "Switch a node on again: first its guests, then its services, as at a boot.\n\n"
    "On a compute node the nft skeleton comes before the guests. Returns before the services are ready: "
    "`buoy lab status`. A node that is on is a success.",
)

vm_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Guests, as Nova would boot them.")
app.add_typer(vm_app, name="vm")


@vm_app.command("boot")
def vm_boot(
    guest: Annotated[str, typer.Argument(metavar="NAME", help="Its name and host name.")],
    network: Annotated[str, typer.Option("--network", help="Network to make a port on.")] = "",
    host: Annotated[str, typer.Option("--host", help="Compute node; default: the one with the fewest guests.")] = "",
    port: Annotated[str, typer.Option("--port", help="A port that is there already, instead of --network.")] = "",
    qemu: Annotated[bool, typer.Option("--qemu", help="A QEMU machine on a real tap instead of a namespace.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the guest has taken its addresses.")] = True,
    name: NameOption = DEFAULT_NAME,
    output: OutputOption = Output.TABLE,
) -> None:
    """Boot a guest: port, tap, wait for ACTIVE, start. Ctrl-C leaves nothing."""
    wish = vm.Wish(name=guest, network=network, host=host, port=port, qemu=qemu, wait_for_addresses=wait)
    booted = vm.boot(Lab(name), wish, _Patient(), _ignore_interrupts)
    show([booted], output, _GUEST_COLUMNS)
    if booted["missing"]:
        print(f"{guest} has not taken {', '.join(booted['missing'])}: `buoy lab logs {guest}`", file=sys.stderr)


@vm_app.command("exec", context_settings={"ignore_unknown_options": True})
def vm_exec(
    guest: Annotated[str, typer.Argument(metavar="NAME", help="The guest.")],
    command: Annotated[list[str] | None, typer.Argument(help="The command; a shell if none is given.")] = None,
    name: NameOption = DEFAULT_NAME,
) -> None:
    """Run a command in a guest: buoy lab vm exec testvm1 -- ip a.

    A QEMU guest is entered by SSH from its node or the access node, which its security groups must let in.
    """
    lab = Lab(name)
    if guest not in [one["name"] for one in lab.status()["guests"]]:
        raise LabError(f"there is no guest {guest}: `buoy lab vm list` shows those there are")
    _become(lab, guest, command or [])


@vm_app.command("delete")
def vm_delete(
    guest: Annotated[str, typer.Argument(metavar="NAME", help="The guest.")],
    name: NameOption = DEFAULT_NAME,
    output: OutputOption = Output.TABLE,
) -> None:
    """End a guest and delete its tap and port."""
    show([vm.delete(Lab(name), guest)], output, _GUEST_COLUMNS)


@vm_app.command("list")
def vm_list(name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """List guests with their ports' addresses."""
    show(vm.listing(Lab(name)), output, _GUEST_COLUMNS)


_NODE_COLUMNS = ("name", "state", "address4", "address6")
_SERVICE_COLUMNS = ("node", "service", "stage", "restarts", "process")
_GUEST_COLUMNS = ("name", "node", "state", "interface", "mac", "addresses", "port")


class _Patient:
    """Says what is waited for, once it takes more than two seconds, and only when it changes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said = ""

    def __call__(self, text: str) -> None:
        if text != self._said and time.monotonic() - self._began > _PATIENCE:
            print(f"… {text}", file=sys.stderr)
            self._said = text


def _tell_news(news: dict[str, Any]) -> None:
    if "up" in news:
        _ignore_interrupts()
        return
    text = f"{news['ready']} is ready" if "ready" in news else f"making {news.get('doing')}"
    print(f"… {text}", file=sys.stderr)


def _ignore_interrupts() -> None:
    """What was made stays from here on: an interrupt now would say that nothing is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _become(lab: Lab, machine: str, command: list[str]) -> None:
    words = lab.command(machine, command)
    sys.stdout.flush()
    os.execvp(words[0], words)
