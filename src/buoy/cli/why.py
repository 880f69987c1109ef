# SPDX-License-Identifier: Apache-2.0
"""`buoy why`: the whole way of an address, or of each address of a Service, from request to the peers' view."""

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from buoy.agent.inspect import ask
from buoy.cli.context import Output, OutputOption, show, with_store
from buoy.cli.reading import listing
from buoy.cli.strangers import stranger_lines
from buoy.model import ownership
from buoy.model.address import Address, is_address, parse_address
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.model.reason import Reason
from buoy.model.snapshot import Snapshot
from buoy.planner.remote import old_nodes, remote_lines
from buoy.store.store import Store

app = typer.Typer(rich_markup_mode=None)

_SPOKEN = ("workloads/", "nodes/", "fences/", "status/", "pools/", "settings/", "eligibility/")
"""Where what concerns an address stands, besides its claim."""

_GIVE = "give one IPv4 or IPv6 address, such as 192.0.2.7, or in a cluster service/NAME, ingress/NAME or pod/NAME"
_NAME = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
"""What a Service may be called (RFC 1035), which no address can be."""
_UNKNOWN = frozenset({Reason.UNKNOWN_ADDRESS, Reason.UNKNOWN_IN_CLUSTER, "not-found"})
_ELSEWHERE = frozenset({Reason.OTHER_NODE, Reason.PAIR_OWNED, Reason.UNKNOWN_ADDRESS})
"""Reasons of an agent that does not serve an address; fixed IPs of other nodes it has never heard of."""


NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Of the Service, Ingress or pod.")]


@app.command()
def why(
    target: Annotated[
        str, typer.Argument(metavar="ADDRESS|[KIND/]NAME", help="The address, Service, Ingress or pod to explain.")
    ],
    namespace: NamespaceOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Explain ADDRESS in about ten lines, each *no* with its reason and what to do.

    On a node with an agent, the agent answers from what it observes this moment.
    Anywhere else the store answers: what is wanted, and what the nodes reported.

    In a cluster also a Service, an Ingress or a pod: why it has no address yet, and each one that it has.
    Say service/NAME, ingress/NAME or pod/NAME, or NAME or NAMESPACE/NAME of a Service.

    Ends with 0 if it is served, 1 if not or if anything is wrong with it, 4 if nothing is known of it.

    \b
    Examples:
      buoy why 198.51.100.7
      buoy why 2001:db8::7 -o json
      buoy why service/shop -n production
      buoy why production/shop
    """
    is_object = "/" in target or _NAME.fullmatch(target) or (namespace and not is_address(target))
    lines = _of_object(target, namespace) if is_object else _of_address(target)
    if output is Output.TABLE:
        for line in lines:
            print(f"{'✓' if line['ok'] else '✗'} {line['topic']:<13} {line['text']}")
    else:
        show(lines, output, ["topic", "ok", "text", "reason"])
    if any(line.get("reason") in _UNKNOWN for line in lines):
        raise typer.Exit(4)
    if not all(line["ok"] for line in lines):
        raise typer.Exit(1)


def _of_object(target: str, namespace: str) -> list[dict[str, Any]]:
    # imported here: who asks etcd must not wait for aiohttp
    from buoy.cli import why_objects
    from buoy.kubernetes.source import KubernetesStore

    async def look(store: Store) -> tuple[why_objects.Found, Snapshot]:
        if not isinstance(store, KubernetesStore):
            raise InvalidInput("ADDRESS", target, f"{_GIVE}; objects are in a cluster, and this store is none")
        named = why_objects.parse(target, namespace, store.api.settings.namespace)
        if named is None:
            raise InvalidInput("ADDRESS", target, _GIVE)
        snapshot = await listing(store, "service-ips/", *_SPOKEN)
        return await why_objects.look(store.api, named, snapshot), snapshot

    found, snapshot = with_store(look)
    lines = [dict(line) for line in found.lines]
    silence = ""
    for address in found.addresses:
        told, silence = _of_agent(address) if not silence else ([], silence)
        explained = _explained(address, told, silence, lambda: snapshot)
        lines += [{**line, "address": address} for line in [_heading(address, explained), *explained]]
    _note(silence)
    return lines


def _heading(address: Address, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {"topic": "address", "text": str(address), "ok": all(line["ok"] for line in lines), "reason": ""}


def _of_address(text: str) -> list[dict[str, Any]]:
    try:
        address = parse_address(text, "ADDRESS")
    except InvalidInput as error:
        raise InvalidInput(error.field, error.value, _GIVE) from error
    at = f"service-ips/{address}"
    told, silence = _of_agent(address)
    lines = _explained(address, told, silence, lambda: with_store(lambda store: listing(store, at, *_SPOKEN)))
    _note(silence)
    return lines


def _of_agent(address: Address) -> tuple[list[dict[str, Any]], str]:
    """Return what this host's agent says of an address, or why it says nothing."""
    try:
        return asyncio.run(ask("why", address=address)), ""
    except InvalidInput as error:
        return [], error.remedy


def _note(silence: str) -> None:
    if silence and _is_node():
        print(f"buoy: this host's agent: {silence}; asked without it", file=sys.stderr)


def _is_node() -> bool:
    """Tell whether an agent was run here: who is at a desk misses none there."""
    return Path(ownership.AGENT_SOCKET).exists()


def _explained(
    address: Address, lines: list[dict[str, Any]], silence: str, read: Callable[[], Snapshot]
) -> list[dict[str, Any]]:
    try:
        snapshot = read()
    except StoreUnavailable as error:
        if lines:
            return lines
        if silence and _is_node():
            raise StoreUnavailable(f"this host's agent: {silence}; asked without it: {error}") from error
        raise
    except InvalidInput as error:
        if lines:
            return lines
        raise InvalidInput(error.field, error.value, f"{error.remedy}; and {silence}") from error
    others = [dict(line) for line in stranger_lines(address, snapshot)]
    # an agent sees only its own node: what is served elsewhere, or was left there, is better told from the store
    if lines and not any(line.get("reason") in _ELSEWHERE for line in lines):
        return [*lines, *(dict(line) for line in old_nodes(address, snapshot)), *others]
    remains = [line for line in lines if line.get("topic") == "announcement"]
    return [*(dict(line) for line in remote_lines(address, snapshot)), *remains, *others]
