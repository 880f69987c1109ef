# SPDX-License-Identifier: Apache-2.0
"""`buoy migrate`: what becomes of MetalLB's or Calico's objects when Buoy takes their place. Nothing is written."""

import datetime as dt
import json
import os
import sys

import typer
import yaml

from buoy.cli.context import Output, OutputOption, show, store_settings, with_store
from buoy.cli.foresight import Standing, holders
from buoy.controller.reading import Ours
from buoy.controller.rehearsal import READ, Rehearsal
from buoy.kubernetes import migration_calico, migration_metallb
from buoy.kubernetes.inventory import Inventory, read_all
from buoy.kubernetes.migration import Finding, Migration, Verdict
from buoy.kubernetes.opening import CLUSTER_IPS
from buoy.kubernetes.resources import kind_at, object_name
from buoy.kubernetes.source import KubernetesStore
from buoy.kubernetes.structs import STRUCTS
from buoy.model import documents
from buoy.model.errors import InvalidInput
from buoy.store.store import Store

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Say what Buoy makes of another implementation's objects, and print its own."""


@app.command()
def metallb(output: OutputOption = Output.TABLE) -> None:
    """Say line by line what Buoy takes as it is, does in another way or does not do, of MetalLB's objects.

    With -o yaml the objects of Buoy's to apply, and nothing else. Nothing is written.
    Ends with 0 if every Service keeps its addresses, else 1.

    \b
    Examples:
      buoy migrate metallb
      buoy migrate metallb -o yaml > buoy.yaml
    """
    raise typer.Exit(_tell("metallb", output))


@app.command()
def calico(output: OutputOption = Output.TABLE) -> None:
    """Say line by line what Buoy takes as it is, does in another way or does not do, of Calico's BGP objects.

    With -o yaml the objects of Buoy's to apply, and nothing else. Nothing is written.
    Ends with 0 if every Service keeps its addresses, else 1.

    \b
    Examples:
      buoy migrate calico
      buoy migrate calico -o yaml > buoy.yaml
    """
    raise typer.Exit(_tell("calico", output))


def _tell(from_whom: str, output: Output) -> int:
    async def ask(store: Store) -> tuple[Migration, list[Finding]]:
        if not isinstance(store, KubernetesStore):
            raise InvalidInput(
                "store", "etcd", "name the cluster: buoy --kubeconfig FILE migrate, or kubectl buoy migrate"
            )
        return await _migrate(store, from_whom)

    made, services = with_store(ask, store_settings())
    findings = [*made.findings, *services]
    if output is Output.YAML:
        print(yaml.safe_dump_all(made.manifests(), sort_keys=False), end="")
    elif output is Output.JSON:
        print(json.dumps({"findings": [each._asdict() for each in findings], "objects": made.manifests()}, indent=2))
    else:
        show([each._asdict() for each in findings], output, ["verdict", "object", "note"])
    lost = [each.object for each in services if each.verdict != "same"]
    if lost:
        print(f"buoy: would have other addresses: {', '.join(lost)}", file=sys.stderr)
    return 1 if lost else 0


async def _migrate(store: KubernetesStore, from_whom: str) -> tuple[Migration, list[Finding]]:

    every = dict.fromkeys((*STRUCTS, *READ, *migration_metallb.EVERYWHERE, *migration_calico.EVERYWHERE))
    objects = await read_all(store.api, list(every))
    if from_whom == "metallb":
        made = migration_metallb.from_metallb(objects)
    else:
        made = migration_calico.from_calico(objects, os.environ.get(CLUSTER_IPS, ""))
    return made, await keeping(objects, made)


async def keeping(objects: Inventory, made: Migration) -> list[Finding]:
    """Return which addresses Services would have once Buoy is there with what was made; `objects` becomes that."""
    before = holders(objects)
    for document, manifest in zip(made.documents, made.manifests(), strict=True):
        path = documents.path(document)
        objects.apply(kind_at(path).resource, object_name(path), manifest)
    await Rehearsal(objects, Ours(), lambda: dt.datetime.now(dt.UTC)).begin()
    after = holders(objects)
    found = []
    for name, had in before.items():
        if had.addresses:
            has = after.get(name)
            verdict = Verdict.SAME if has is not None and has.addresses == had.addresses else Verdict.DIFFERS
            found.append(Finding(verdict, name, _addresses(had, has)))
    return found


def _addresses(had: Standing, has: Standing | None) -> str:
    now, then = ", ".join(had.addresses), ", ".join(has.addresses) if has else "none"
    said = f"; {has.said}" if has is not None and has.said else "; it is in no pool, and left as it is"
    return f"keeps {now}{said}" if now == then else f"has {now}, would have {then}{said}"
