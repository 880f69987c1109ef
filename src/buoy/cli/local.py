# SPDX-License-Identifier: Apache-2.0
"""`buoy plan`, `buoy audit`, `buoy doctor`: this host, through its agent and beside it."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from buoy.agent.diagnosis import Finding, diagnose
from buoy.agent.inspect import ask
from buoy.cli.context import Output, OutputOption, show
from buoy.cli.controller import ClassOption, ClusterOption, FipPoolOption, OnlyClassOption
from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS
from buoy.model.errors import InvalidInput
from buoy.runtime.settings import Settings, load

plan = typer.Typer(rich_markup_mode=None)
audit = typer.Typer(rich_markup_mode=None)
doctor = typer.Typer(rich_markup_mode=None)

FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="A YAML file, or a directory of them: what would it change?")
]
DeleteOption = Annotated[bool, typer.Option("--delete", help="With -f: what if its objects were deleted?")]


@plan.command("plan")
def plan_command(
    *,
    file: FileOption = None,
    delete: DeleteOption = False,
    output: OutputOption = Output.TABLE,
    cluster: ClusterOption = "",
    load_balancer_class: ClassOption = LOAD_BALANCER_CLASS,
    only_class: OnlyClassOption = False,
    fip_pool: FipPoolOption = "",
) -> None:
    """Print what the next whole pass of this host's agent would do, or with -f what a change would. Nothing is done.

    Ends with 0 if there are none, 5 if some are held for a person to confirm, else 1.

    With -f FILE: which routes appear, go or change on which node, which Services get, lose or
    change addresses, which sessions come and go and what is refused, if FILE were applied now. FILE holds
    objects of Kubernetes, Calico, MetalLB and Buoy, or documents as `buoy apply` reads them.
    Ends with 0 if nothing would change, 5 if more than 30 % of the routes would go, else 1. The options from
    --cluster on say of the controller what it was started with.

    \b
    Examples:
      buoy plan
      buoy plan -f change.yaml
      buoy plan -f pool.yaml --delete -o json
    """
    if file is not None:
        from buoy.cli.plan import plan_change
        from buoy.controller.reading import Ours

        ours = Ours(
            load_balancer_class=load_balancer_class, unset=not only_class, cluster=cluster, public_pool=fip_pool
        )
        raise typer.Exit(plan_change(file, ours, output, delete=delete))
    raise typer.Exit(_next_pass(output))


def _next_pass(output: Output) -> int:
    steps: list[dict[str, Any]] = asyncio.run(ask("plan"))
    if steps or output is not Output.TABLE:
        show(steps, output, ["phase", "act", "before", "after", "held"])
    else:
        print("nothing to do: the host holds what is wanted")
    if any(step["held"] for step in steps):
        return 5
    return 1 if steps else 0


@audit.command("audit")
def audit_command(output: OutputOption = Output.TABLE) -> None:
    """Compare this host, read afresh, with what is wanted. Ends with 1 if anything differs."""
    found: dict[str, Any] = asyncio.run(ask("audit"))
    if output is Output.TABLE:
        print(f"{found['entries']} entries wanted, {len(found['wrong'])} differ")
        if found["held"]:
            print(f"removals are held: {found['held']}; see `buoy plan`, then `buoy agent release-guard`")
        for problem in found["problems"]:
            print(f"not in force: {problem}")
        if found["wrong"]:
            show(found["wrong"], output, ["entry", "wanted", "seen"])
    else:
        show([found], output, [])
    raise typer.Exit(1 if found["wrong"] or found["problems"] else 0)


@doctor.command("doctor")
def doctor_command(output: OutputOption = Output.TABLE) -> None:
    """Check this host for what stops Buoy from working: kernel, BIRD, ports, sysctls, foreign rules.

    Works before the agent is installed and beside it. Ends with 1 if something is wrong.
    """
    try:
        chosen, findings = load(), []
    except InvalidInput as error:
        chosen, findings = Settings(), [Finding("settings", f"{error.field} {error.value}", error.remedy)]
    findings += diagnose(chosen)
    rows = [{"check": each.check, "ok": each.ok, "found": each.found, "remedy": each.remedy} for each in findings]
    show(rows, output, ["check", "ok", "found", "remedy"])
    raise typer.Exit(0 if all(each.ok for each in findings) else 1)
