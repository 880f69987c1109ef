# SPDX-License-Identifier: Apache-2.0
"""`buoy filter`: named lists of prefixes that decide what a peer is told and what is taken from it."""

import re
from typing import Annotated

import typer

from buoy.cli import bgp_documents
from buoy.cli.context import DryRunOption, Output, OutputOption, show, with_store
from buoy.cli.reading import listing
from buoy.model.address import parse_prefix
from buoy.model.errors import InvalidInput
from buoy.model.peer import Action, Filter, FilterRule
from buoy.planner.peering_rules import length_bounds
from buoy.store.store import Store

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Filters for `buoy peer set --export-filter` and `--import-filter`.\n\n"
    "A RULE is `accept PREFIX` or `reject PREFIX`, with lengths `LOW..HIGH` behind it if not all inside PREFIX are "
    "meant. The first rule that matches decides; what none matches is accepted.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The filter's name.")]
Rules = Annotated[list[str], typer.Argument(metavar="RULE...", help="`accept|reject PREFIX [LOW..HIGH]`, each quoted.")]

_RULE = re.compile(r"\s*(accept|reject)\s+(\S+)(?:\s+(\d+)\.\.(\d+))?\s*")


def parse_rule(text: str) -> FilterRule:
    """Return the rule that a text such as ``reject 192.0.2.0/24 25..32`` says; raise `InvalidInput`."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise InvalidInput("RULE", text, "write `accept 192.0.2.0/24` or `reject 192.0.2.0/24 25..32`")
    action, prefix, low, high = found.groups()
    bounds = {} if low is None else {"low": int(low), "high": int(high)}
    return FilterRule(action=Action(action), prefix=parse_prefix(prefix, "RULE"), **bounds)


def rule_text(rule: FilterRule) -> str:
    """Return a rule as `parse_rule` reads it, with its lengths."""
    low, high = length_bounds(rule)
    return f"{rule.action.value} {rule.prefix} {low}..{high}"


@app.command()
def add(name: Name, rules: Rules, dry_run: DryRunOption = False) -> None:
    """Add the filter NAME.

    \b
    Examples:
      buoy filter add only-pool 'accept 198.51.100.0/24' 'reject 0.0.0.0/0' 'reject ::/0'
      buoy filter add no-hosts 'reject 0.0.0.0/0 32..32'
    """
    document = Filter(name=name, rules=tuple(parse_rule(rule) for rule in rules))
    print(with_store(lambda store: bgp_documents.put(store, document, new=True, dry_run=dry_run)))


@app.command("set")
def replace(name: Name, rules: Rules, dry_run: DryRunOption = False) -> None:
    """Replace all rules of the filter NAME; sessions that use it stay up.

    \b
    Example:
      buoy filter set only-pool 'accept 198.51.100.0/24' 'accept 203.0.113.0/24' 'reject 0.0.0.0/0'
    """
    document = Filter(name=name, rules=tuple(parse_rule(rule) for rule in rules))
    print(with_store(lambda store: bgp_documents.put(store, document, new=False, dry_run=dry_run)))


@app.command("list")
def list_filters(output: OutputOption = Output.TABLE) -> None:
    """List filters with their rules, in the order in which they decide."""

    async def read(store: Store) -> list[dict[str, object]]:
        found = (await listing(store, "filters/")).documents.values()
        named = sorted((each for each in found if isinstance(each, Filter)), key=lambda each: each.name)
        return [{"name": each.name, "rules": [rule_text(rule) for rule in each.rules]} for each in named]

    show(with_store(read), output, ["name", "rules"])


@app.command("delete")
def delete(name: Name, dry_run: DryRunOption = False) -> None:
    """Delete the filter NAME; refused (exit code 4) while a peer uses it.

    \b
    Examples:
      buoy filter delete only-pool --dry-run
      buoy filter delete only-pool
    """
    print(with_store(lambda store: bgp_documents.remove(store, f"filters/{name}", dry_run=dry_run)))
