# SPDX-License-Identifier: Apache-2.0
"""`buoy plan -f` as a person types it: over a store in memory, and the files it takes."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from buoy.cli import context
from buoy.cli.main import app
from buoy.kubernetes import changes
from buoy.kubernetes.resources import BGP_PEERS, NODES, SERVICES
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.errors import BuoyError, InvalidInput
from buoy.model.node import Node
from buoy.model.peer import Peer
from buoy.store.api_names import ObjectName
from buoy.store.memory import MemoryStore
from buoy.store.store import Write
from tests.unit.planner.cloud import HERE, SERVICE, floating, port

TOR = Peer(name="tor", address=Address("192.0.2.254"), asn=64511)
SHUT = """
kind: Filter
name: shut
rules: [{action: reject, prefix: 198.51.100.0/24}]
---
- {kind: Peer, name: tor, address: 192.0.2.254, asn: 64511, export_filter: shut}
"""
MORE = "{kind: Peer, name: core, address: 192.0.2.253, asn: 64511}"

Plan = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store() -> MemoryStore:
    held: list[Document] = [port(), floating(), Node(name=HERE, addresses=(Address("192.0.2.11"),)), TOR]
    made = MemoryStore()
    asyncio.run(made.write([Write(documents.path(document), document) for document in held]))
    return made


@pytest.fixture
def plan(store: MemoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    monkeypatch.setattr(context, "open_any", lambda _: store)
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")

    def run(text: str, *words: str) -> tuple[int, str, str]:
        file = tmp_path / "change.yaml"
        file.write_text(text)
        result = CliRunner().invoke(app, ["plan", "-f", str(file), *words])
        if isinstance(result.exception, BuoyError):
            return context.exit_code(result.exception), "", str(result.exception)
        return result.exit_code, result.stdout, result.stderr

    return run


def test_a_router_more_is_told_and_ends_with_1(plan: Plan) -> None:
    code, text, _ = plan(MORE, "-o", "json")
    rows = [(row["what"], row["change"], row["subject"], row["node"], row["after"]) for row in json.loads(text)]
    assert 1 == code
    assert ("session", "appears", "peer_core", HERE, "192.0.2.253 AS 64511") in rows
    assert ("route", "changes", f"{SERVICE}/32", HERE, "normal to peer_core, peer_tor") in rows


def test_what_takes_more_than_a_third_of_the_routes_is_warned_of_and_ends_with_5(plan: Plan) -> None:
    code, text, warned = plan(SHUT)
    assert (5, "buoy: 50% of the routes would go\n") == (code, warned)
    assert ["route", "goes", f"{SERVICE}/32", HERE] == text.splitlines()[1].split()[:4]


def test_deleting_a_router_is_told_too(plan: Plan) -> None:
    code, text, _ = plan("{kind: Peer, name: tor, address: 192.0.2.254, asn: 64511}", "--delete", "-o", "json")
    assert (5, {"goes"}) == (code, {row["change"] for row in json.loads(text)})


def test_what_is_there_already_changes_nothing_and_ends_with_0(plan: Plan) -> None:
    same = "{kind: Peer, name: tor, address: 192.0.2.254, asn: 64511}"
    assert (0, "nothing would change\n", "") == plan(same)
    assert (0, "[]\n", "") == plan(same, "-o", "json")


def test_nothing_is_written(plan: Plan, store: MemoryStore) -> None:
    plan(SHUT)
    assert TOR == asyncio.run(store.read("peers/tor")).document


def test_a_file_that_cannot_be_read_ends_with_2_and_names_the_field(plan: Plan) -> None:
    code, _, said = plan("{kind: Peer, name: tor, address: 192.0.2.254, asn: many}")
    assert (2, True) == (code, "asn" in said)


OBJECTS = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}}
- {apiVersion: v1, kind: Service, metadata: {name: web}}
---
{apiVersion: v1, kind: Node, metadata: {name: node-1}}
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: tor}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}
---
{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: all, namespace: metallb-system}}
---
kind: Peer
name: core
address: 192.0.2.253
asn: 64511
"""


def test_a_file_of_a_cluster_holds_objects_of_several_makers_and_documents(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(OBJECTS)
    found = changes.load(tmp_path, "shipping")
    assert [
        (SERVICES, ObjectName("shop", "web")),
        (SERVICES, ObjectName("shipping", "web")),
        (NODES, ObjectName("", "node-1")),
        (BGP_PEERS, ObjectName("", "tor")),
    ] == [each[:2] for each in found.changes[:4]]
    assert "peers.buoy.dev core" == str(found.changes[4])
    assert {"address": "192.0.2.253", "asn": 64511} == found.changes[4].body["spec"]
    assert ("Deployment web", "L2Advertisement all") == found.passed


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{apiVersion: v1, kind: Service, metadata: {}}", "metadata.name"),
        ("{apiVersion: v1, kind: Service}", "metadata.name"),
        ("just words", "document 1"),
        ("{kind: Router}", "kind"),
    ],
)
def test_an_object_that_is_none_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "one.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=named):
        changes.load(tmp_path / "one.yaml")
