# SPDX-License-Identifier: Apache-2.0
"""The commands as a person types them, on a store in memory."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from buoy.cli import context
from buoy.cli.main import app
from buoy.model.errors import BuoyError
from buoy.store.memory import MemoryStore

Buoy = Callable[..., str]


@pytest.fixture
def buoy(monkeypatch: pytest.MonkeyPatch) -> Buoy:
    store = MemoryStore()
    monkeypatch.setattr(context, "open_any", lambda _: store)
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, words)
        if isinstance(result.exception, BuoyError):
            return f"{context.exit_code(result.exception)}: {result.exception}"
        assert result.exception is None, result.output
        return result.stdout

    return run


def test_a_peers_life(buoy: Buoy) -> None:
    assert buoy("filter", "add", "few", "reject 198.51.100.0/24") == "filters/few created\n"
    words = "peer add tor --address 192.0.2.1 --asn 64999 --node one --node two --bfd-interval 50 --export-filter few"
    assert buoy(*words.split(), "--password", "s3cret") == "peers/tor created\n"
    assert buoy("peer", "set", "tor", "--multihop", "3", "--node", "", "--passive") == "peers/tor changed\n"
    assert buoy("peer", "set", "tor", "--multihop", "3") == "peers/tor unchanged\n"

    (row,) = json.loads(buoy("peer", "list", "--output", "json"))
    changed = {"nodes": [], "multihop": 3, "passive": True, "bfd": {"interval": 50, "multiplier": 3, "graceful": False}}
    assert {name: row[name] for name in changed} == changed
    assert row["password"] == "(hidden)"
    assert "s3cret" not in buoy("peer", "show", "tor")
    assert "(hidden)" == json.loads(buoy("show", "peers", "-o", "json"))[0]["password"]
    assert "s3cret" in buoy("peer", "show", "tor", "--show-password", "-o", "yaml")
    assert re.findall(r"\S+", buoy("peer", "list").splitlines()[1]) == ["tor", "192.0.2.1", "64999", "-", "0/0"]

    assert buoy("filter", "delete", "few").startswith("4: filters/few is used by peers/tor")
    assert buoy("peer", "delete", "tor", "--dry-run") == "peers/tor would be deleted\n"
    assert buoy("peer", "delete", "tor") == "peers/tor deleted\n"
    assert buoy("filter", "set", "few", "accept ::/0 0..64") == "filters/few changed\n"
    assert json.loads(buoy("filter", "list", "-o", "json")) == [{"name": "few", "rules": ["accept ::/0 0..64"]}]
    assert buoy("filter", "delete", "few") == "filters/few deleted\n"


def test_the_clusters_settings(buoy: Buoy) -> None:
    assert json.loads(buoy("bgp", "show", "-o", "json"))[0]["asn"] == 64512
    assert (
        buoy("bgp", "set", "--reflector", "rr-1", "--bfd", "--originate", "198.51.100.0/24") == "settings/bgp created\n"
    )
    assert buoy("bgp", "set", "--asn", "64600") == "settings/bgp changed\n"
    (row,) = json.loads(buoy("bgp", "show", "-o", "json"))
    assert (row["asn"], row["reflectors"], row["originate"]) == (64600, ["rr-1"], ["198.51.100.0/24"])
    assert "64600" in buoy("bgp", "show")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("peer add tor --asn 1", "2: --address"),
        ("peer add tor --address 192.0.2.1", "2: --asn"),
        ("peer add tor --address there --asn 1", "2: --address: 'there'"),
        ("peer add tor --address 192.0.2.1 --asn 64999 --hold-time 1", "2: peers/tor.hold_time: 1"),
        ("peer set tor --asn 1", "4: peers/tor does not exist"),
        ("peer show tor", "4: peers/tor does not exist"),
        ("peer delete tor", "4: peers/tor does not exist"),
        ("filter set few reject", "2: RULE: 'reject'"),
        ("bgp set --asn 0", "2: settings/bgp.asn: 0"),
        ("bgp set --graceful-restart-time 5000", "2: settings/bgp.graceful_restart_time: 5000"),
        ("apply -f /nowhere.yaml", "2: file: '/nowhere.yaml'"),
    ],
)
def test_a_mistake_names_what_is_wrong(buoy: Buoy, words: str, told: str) -> None:
    assert buoy(*words.split()).startswith(told)


def test_a_file_is_applied_and_applied_again(buoy: Buoy, tmp_path: Path) -> None:
    file = tmp_path / "peers.yaml"
    file.write_text("- {kind: Peer, name: tor, address: 192.0.2.1, asn: 64999}\n- {kind: BGPSettings, asn: 64600}\n")

    assert buoy("apply", "-f", str(file), "--dry-run").count("would be created") == 2
    assert buoy("apply", "-f", str(file)) == "peers/tor created\nsettings/bgp created\n"
    assert buoy("apply", "-f", str(file)) == "peers/tor unchanged\nsettings/bgp unchanged\n"
