# SPDX-License-Identifier: Apache-2.0
"""Nodes in `buoy status` whose agents live, and that are none of the cluster's."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from buoy.cli import context
from buoy.cli.main import app
from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.node import Node
from buoy.model.proxied import Eligibility
from buoy.store.memory import MemoryStore
from buoy.store.store import Write
from tests.unit.planner.cloud import HERE, THERE


@pytest.mark.parametrize(("joined", "left"), [((HERE,), [f"node {THERE}"]), ((HERE, THERE), []), ((), [])])
def test_a_node_that_was_deleted_from_its_cluster_is_named(
    monkeypatch: pytest.MonkeyPatch, joined: tuple[str, ...], left: list[str]
) -> None:
    held: list[Document] = [Node(name=HERE), Node(name=THERE)]
    held += [Eligibility(node=each, excluded="labelled") for each in joined]
    store = MemoryStore()
    asyncio.run(store.write([Write(documents.path(each), each) for each in held]))
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")
    monkeypatch.setattr(context, "open_any", lambda _: store)
    done = CliRunner().invoke(app, ("status", "-o", "json"))
    named = [row["what"] for row in json.loads(done.stdout) if "no node of the cluster" in row["note"]]
    assert (int(bool(left)), left) == (done.exit_code, named)
