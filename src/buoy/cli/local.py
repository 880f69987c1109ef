# SPDX-License-Identifier: Apache-2.0
"""`buoy plan`, `buoy audit`, `buoy doctor`: this host, through its agent and beside it."""

import asyncio
from typing import Any

import typer

from buoy.agent.diagnosis import Finding, diagnose
from buoy.agent.inspect import ask
from buoy.cli.context import Output, OutputOption, show
from buoy.model.errors import InvalidInput
from buoy.runtime.settings import Settings, load

plan = typer.Typer(rich_markup_mode=None)
audit = typer.Typer(rich_markup_mode=None)
doctor = typer.Typer(rich_markup_mode=None)


@plan.command("plan")
def plan_command(output: OutputOption = Output.TABLE) -> None:
    """Print the steps the next whole pass of this host's agent would do; nothing is done.

    Ends with 0 if there are none, 5 if some are held for a person to confirm, else 1.
    """
    steps: list[dict[str, Any]] = asyncio.run(ask("plan"))
    if steps or output is not Output.TABLE:
        show(steps, output, ["phase", "act", "before", "after", "held"])
    else:
        print("nothing to do: the host holds what is wanted")
    if any(step["held"] for step in steps):
        raise typer.Exit(5)
    raise typer.Exit(1 if steps else 0)


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
