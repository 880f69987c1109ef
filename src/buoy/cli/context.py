# SPDX-License-Identifier: Apache-2.0
"""What every command shares: which store, which output, and how an error becomes an exit code.

Exit codes: 0 done · 1 failed · 2 wrong usage or input · 3 store unavailable ·
4 not found or conflict · 5 held for a person to confirm.
"""

import asyncio
import contextvars
import enum
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from buoy.kubernetes.opening import open_any
from buoy.model.errors import BuoyError, Conflict, InvalidInput, StoreUnavailable, UnsafePlan
from buoy.runtime.settings import Settings, load
from buoy.store.settings import IN_CLUSTER, StoreSettings
from buoy.store.store import Store

ENDPOINTS_VARIABLE = "BUOY_ETCD"
KUBECONFIG_VARIABLE = "KUBECONFIG"
PLUGIN = "kubectl-buoy"
"""The program that `kubectl buoy` runs."""
_asked: contextvars.ContextVar[tuple[str, str]] = contextvars.ContextVar("asked", default=("", ""))

Result = TypeVar("Result")


class Output(enum.StrEnum):
    """How results are printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print the result.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and do nothing.")]


def exit_code(error: BuoyError) -> int:
    """Return the exit code that tells a script who must act."""
    match error:
        case InvalidInput():
            return 2
        case StoreUnavailable():
            return 3
        case Conflict():
            return 4
        case UnsafePlan():
            return 5
        case _:
            return 1


def said(error: BuoyError) -> str:
    """Return an error in one sentence, with what to do where it does not say so itself."""
    if not isinstance(error, StoreUnavailable):
        return str(error)
    if _is_cluster():
        return f"{error}: does it run there? kubectl get --raw /readyz; --kubeconfig, else $KUBECONFIG, says where"
    return f"{error}: does it run there? $BUOY_ETCD, else [store] of the settings, else $KUBECONFIG, says where"


def _is_cluster() -> bool:
    try:
        return bool(store_settings().kubeconfig)
    except BuoyError:
        return False


def fail(message: str, code: int) -> NoReturn:
    """Print one line to standard error and end with a code."""
    print(f"buoy: {message}", file=sys.stderr)
    raise typer.Exit(code)


def is_plugin() -> bool:
    """Tell whether we were called as `kubectl buoy`: kubectl runs the program of that name."""
    return Path(sys.argv[0]).name == PLUGIN


def store_settings() -> StoreSettings:
    """Return where the store is.

    --kubeconfig, else $BUOY_ETCD (URLs, comma separated), else the agent's settings, else $KUBECONFIG. As the
    plugin `kubectl buoy` the cluster that kubectl itself would take, whatever the others say.
    """
    named = _named_cluster()
    if named is not None:
        return named
    endpoints = os.environ.get(ENDPOINTS_VARIABLE)
    if endpoints:
        return StoreSettings(endpoints=tuple(endpoints.split(",")))
    kubeconfig = os.environ.get(KUBECONFIG_VARIABLE)
    try:
        return settings().store
    except InvalidInput as error:
        if error.field != "settings" or not kubeconfig:
            raise
        return StoreSettings(kubeconfig=kubeconfig)


def name_cluster(kubeconfig: str, context: str) -> None:
    """Take a kubeconfig and a context of it for this command; "" for what kubectl would take."""
    _asked.set((kubeconfig, context))


def _named_cluster() -> StoreSettings | None:
    file, chosen = _asked.get()
    if not (file or chosen or is_plugin()):
        return None
    file = file or os.environ.get(KUBECONFIG_VARIABLE, "")
    if not file:
        own = Path(os.environ.get("HOME", "/root"), ".kube", "config")
        file = IN_CLUSTER if os.environ.get("KUBERNETES_SERVICE_HOST") else str(own)
    return StoreSettings(kubeconfig=file, context=chosen)


def settings() -> Settings:
    """Return the agent's settings on this host; raise `InvalidInput` that says how else to name the store."""
    try:
        return load()
    except InvalidInput as error:
        if error.field != "--config":
            raise
        remedy = (
            "say where the store is: BUOY_ETCD=http://HOST:2379, KUBECONFIG=FILE, or BUOY_CONFIG=FILE; "
            'for a lab, eval "$(buoy lab env)"'
        )
        raise InvalidInput("settings", error.value, remedy) from error


def with_store(act: Callable[[Store], Awaitable[Result]], chosen: StoreSettings | None = None) -> Result:
    """Open the store (by default this host's), run one coroutine on it, close it."""

    async def opened() -> Result:
        store = open_any(chosen or store_settings())
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def show(rows: Sequence[Mapping[str, Any]], output: Output, columns: Sequence[str]) -> None:
    """Print rows as a table of `columns` (wide: of all), JSON or YAML."""
    plain = msgspec.to_builtins(list(rows))
    if output is Output.JSON:
        print(json.dumps(plain, indent=2))
        return
    if output is Output.YAML:
        print(msgspec.yaml.encode(plain).decode(), end="")
        return
    _print_table(plain, list(plain[0]) if output is Output.WIDE and plain else list(columns))


def _print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    texts = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max([len(column), *(len(line[i]) for line in texts)]) for i, column in enumerate(columns)]
    for line in ([column.upper().replace("_", "-") for column in columns], *texts):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:  # noqa: ANN401  whatever JSON has
    if value is None or value == "":
        return "-"
    if isinstance(value, dict):
        return ",".join(f"{name}={_cell(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ",".join(_cell(item) for item in value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
