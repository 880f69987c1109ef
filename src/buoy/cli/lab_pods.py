# SPDX-License-Identifier: Apache-2.0
"""`buoy lab pod`: pods of a Kubernetes lab, each an object with a network namespace behind it.

Promises that a command returns when the API server shows what it did; `kubectl` may do all of it, too.
"""

from collections.abc import Iterable
from typing import Annotated

import typer

from buoy.cli.context import Output, OutputOption, show
from buoy.cli.lab_options import CommandArgument, NameOption, PodArgument, become
from buoy.lab import pod
from buoy.lab.lab import DEFAULT_NAME, Lab
from buoy.lab.pod_status import TERMINATES_FOR
from buoy.model.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Pods, as a kubelet would run them.")

_COLUMNS = ("namespace", "name", "node", "state", "ready", "addresses")
_LAST_PORT = 65535
_NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")]


@app.command()
def run(
    pod_name: Annotated[str, typer.Argument(metavar="NAME", help="Its name and host name.")],
    node: Annotated[str, typer.Option("--node", help="The node it is to run on.")],
    labels: Annotated[str, typer.Option("--labels", metavar="K=V,…", help="Labels, by which Services find it.")] = "",
    annotations: Annotated[
        list[str] | None, typer.Option("--annotation", metavar="K=V", help="An annotation; repeatable.")
    ] = None,
    namespace: _NamespaceOption = "default",
    ports: Annotated[
        list[str] | None, typer.Option("--port", help="A port it answers on, such as 8080 or 53/udp; repeatable.")
    ] = None,
    unready: Annotated[bool, typer.Option("--unready", help="Its readiness probe fails until `pod ready`.")] = False,
    terminates_for: Annotated[
        float, typer.Option("--terminates-for", metavar="S", help="Seconds it goes on serving once it is deleted.")
    ] = TERMINATES_FOR,
    name: NameOption = DEFAULT_NAME,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run a pod that answers every client with its name and the client's address. Ctrl-C leaves nothing.

    \b
    Examples:
      buoy lab pod run web-1 --node node-1 --labels app=web
      buoy lab pod run dns --node node-2 --port 53/udp --terminates-for 20
    """
    wish = pod.Wish(
        name=pod_name, node=node, namespace=namespace, labels=_pairs("--labels", labels.split(",") if labels else ()),
        annotations=_pairs("--annotation", annotations or ()), ports=tuple(map(_port, ports or ("8080",))),
        is_ready=not unready, terminates_for=terminates_for,
    )  # fmt: skip
    show([pod.run(Lab(name), wish)], output, _COLUMNS)


@app.command("list")
def list_pods(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="One namespace; all if none is given.")] = "",
    name: NameOption = DEFAULT_NAME,
    output: OutputOption = Output.TABLE,
) -> None:
    """List pods with their addresses."""
    show(pod.listing(Lab(name), namespace), output, _COLUMNS)


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    pod_name: PodArgument,
    command: CommandArgument = None,
    namespace: _NamespaceOption = "default",
    name: NameOption = DEFAULT_NAME,
) -> None:
    """Run a command in a pod's network; ends with the command's own exit code.

    \b
    Examples:
      buoy lab pod exec web-1
      buoy lab pod exec web-1 -- curl -sS http://10.96.0.10/
    """
    become(Lab(name), f"{namespace}/{pod_name}", command or [])


@app.command()
def logs(pod_name: PodArgument, namespace: _NamespaceOption = "default", name: NameOption = DEFAULT_NAME) -> None:
    """Print what the processes of a pod wrote.

    \b
    Example:
      buoy lab pod logs buoy-agent-x2x9l --namespace buoy-system
    """
    print(pod.log(Lab(name), namespace, pod_name), end="")


@app.command()
def delete(
    pod_name: PodArgument,
    wait: Annotated[bool, typer.Option(help="Return only when it is gone.")] = True,
    namespace: _NamespaceOption = "default",
    name: NameOption = DEFAULT_NAME,
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete a pod: it goes on serving for as long as it was run with --terminates-for, and is gone then.

    \b
    Examples:
      buoy lab pod delete web-1
      buoy lab pod delete web-1 --no-wait
    """
    show([pod.delete(Lab(name), namespace, pod_name, wait=wait)], output, _COLUMNS)


def _probe_command(action: str, text: str) -> None:
    def act(
        pod_name: PodArgument,
        namespace: _NamespaceOption = "default",
        name: NameOption = DEFAULT_NAME,
        output: OutputOption = Output.TABLE,
    ) -> None:
        show([pod.set_ready(Lab(name), namespace, pod_name, is_ready=action == "ready")], output, _COLUMNS)

    app.command(action, help=f"{text}\n\n\b\nExample:\n  buoy lab pod {action} web-1")(act)


_probe_command("ready", "Let a pod's readiness probe succeed.")
_probe_command("unready", "Let a pod's readiness probe fail; it goes on answering who asks.")


def _pairs(field: str, words: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not key or not sign:
            raise InvalidInput(field, word, "give KEY=VALUE, such as app=web")
        pairs[key] = value
    return pairs


def _port(text: str) -> str:
    number, sign, protocol = text.partition("/")
    if not number.isdecimal() or not 0 < int(number) <= _LAST_PORT or (sign and protocol not in ("tcp", "udp")):
        raise InvalidInput("--port", text, "give 1 to 65535, or one of UDP, such as 53/udp")
    return f"{number}/udp" if protocol == "udp" else number
