# SPDX-License-Identifier: Apache-2.0
"""`buoy store` as a person types it, against a real etcd of its own."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from buoy.cli import context
from buoy.cli.main import app
from buoy.model.errors import BuoyError
from buoy.model.node import Node
from buoy.store.etcd import EtcdStore
from buoy.store.store import Write
from tests.store.etcd_server import EtcdServer

Buoy = Callable[..., "Said"]
PREFIX = "/buoy/v1/"


class Said(NamedTuple):
    """How a command ended, and its output or its complaint."""

    code: int
    text: str


@pytest.fixture
def etcd() -> Iterator[EtcdServer]:
    server = EtcdServer()
    try:
        server.start()
        (server.home / "root").write_text("r\n")
        (server.home / "one").write_text("a\n")
        yield server
    finally:
        server.remove()


@pytest.fixture
def buoy(etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> Buoy:
    """Run `buoy` in the directory with the passwords `root` and `one`; words may come as one text."""
    monkeypatch.chdir(etcd.home)
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, etcd.endpoint)

    def run(words: str, text: str | None = None) -> Said:
        result = CliRunner().invoke(app, words.split(), input=text)
        if isinstance(result.exception, BuoyError):
            return Said(context.exit_code(result.exception), str(result.exception))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Said(result.exit_code, result.output)

    return run


ROOT = "--admin root --admin-password-file root"


def alive(etcd: EtcdServer, node: str) -> None:
    """Let a node's agent be alive."""

    async def write() -> None:
        store = EtcdStore(etcd.settings())
        await store.write([Write(f"nodes/{node}", Node(name=node))])
        await store.close()

    asyncio.run(write())


def names(buoy: Buoy, words: str = "") -> list[str]:
    return [row["account"] for row in json.loads(buoy(f"store account list -o json {words}").text)]


def test_a_clusters_accounts_from_none_to_enabled_and_back(etcd: EtcdServer, buoy: Buoy) -> None:
    assert (
        "account buoy-agent-compute-1 created, role buoy-agent-compute-1:"
        in buoy("store account add agent compute-1 --password-file one").text
    )
    assert Said(0, "account buoy-neutron created, role buoy-writer:\nACCESS     KEYS\nreadwrite  /buoy/v1/*\n") == buoy(
        "store account add writer buoy-neutron --password-file -", "n\n"
    )
    assert Said(0, "etcd asks for accounts\n") == buoy("store auth enable --root-password-file root")
    assert ["buoy-agent-compute-1", "buoy-neutron", "root"] == names(buoy, ROOT)
    assert Said(0, "etcd asks for accounts already\n") == buoy("store auth enable --root-password-file root")
    assert Said(0, "account buoy-agent-compute-1 removed\n") == buoy(
        f"store account remove buoy-agent-compute-1 {ROOT}"
    )
    assert Said(0, "etcd asks nobody from now on\n") == buoy(f"store auth disable --yes {ROOT}")
    assert Said(0, "etcd asks nobody\n") == buoy("store auth disable")
    assert ["buoy-neutron", "root"] == names(buoy)


def test_an_agent_is_given_its_role_and_key_ranges_and_nothing_else(buoy: Buoy) -> None:
    [told] = json.loads(buoy("store account add agent compute-1 --certificate -o json").text)
    assert told == {
        "account": "buoy-agent-compute-1",
        "role": "buoy-agent-compute-1",
        "done": "created",
        "rights": [
            {"key": "/buoy/v1/", "end": "/buoy/v10", "access": "read"},
            {"key": "/buoy/v1/nodes/compute-1", "end": "", "access": "readwrite"},
            {"key": "/buoy/v1/status/compute-1/", "end": "/buoy/v1/status/compute-10", "access": "readwrite"},
        ],
    }
    [row] = json.loads(buoy("store account list -o json").text)
    assert ["/buoy/v1/*"] == row["reads"]
    assert ["/buoy/v1/nodes/compute-1", "/buoy/v1/status/compute-1/*"] == row["writes"]
    assert (["agent"], ["compute-1"], "") == (row["role"], row["node"], row["note"])


def test_a_certificate_names_the_account_by_its_common_name(buoy: Buoy) -> None:
    added = buoy("store account add agent compute-1 --certificate --account compute-1.example.org")
    assert added.text.startswith("account compute-1.example.org created, role buoy-agent-compute-1:")
    assert ["compute-1.example.org"] == names(buoy)


def test_a_repetition_changes_nothing(buoy: Buoy) -> None:
    buoy("store account add reader watch --certificate")
    before = buoy("store account list -o yaml")
    assert buoy("store account add reader watch --certificate").text.startswith("account watch unchanged, ")
    assert before == buoy("store account list -o yaml")


def test_a_dry_run_says_roles_and_key_ranges_and_does_nothing(buoy: Buoy) -> None:
    said = buoy("store account add agent compute-1 --certificate --dry-run").text.splitlines()
    assert [
        "account buoy-agent-compute-1 would be created, role buoy-agent-compute-1:",
        "ACCESS     KEYS",
        "read       /buoy/v1/*",
        "readwrite  /buoy/v1/nodes/compute-1",
        "readwrite  /buoy/v1/status/compute-1/*",
    ] == said
    assert [] == names(buoy)
    buoy("store account add writer neutron --certificate")
    assert Said(0, "account neutron would be removed\n") == buoy("store account remove neutron --dry-run")
    assert Said(0, "etcd would ask for accounts\n") == buoy("store auth enable --root-password-file root --dry-run")
    assert ["neutron"] == names(buoy)


def test_rights_that_another_hand_widened_are_named_and_put_right(etcd: EtcdServer, buoy: Buoy) -> None:
    buoy("store account add agent compute-1 --certificate")
    etcd.etcdctl("role", "grant-permission", "buoy-agent-compute-1", "--prefix=true", "readwrite", f"{PREFIX}peers/")
    [row] = json.loads(buoy("store account list -o json").text)
    assert "rights differ: buoy store account add agent compute-1 …" == row["note"]
    assert "would be corrected" in buoy("store account add agent compute-1 --certificate --dry-run").text
    assert "rights corrected" in buoy("store account add agent compute-1 --certificate").text
    assert "" == json.loads(buoy("store account list -o json").text)[0]["note"]


def test_asking_for_accounts_is_held_while_somebody_would_be_locked_out(etcd: EtcdServer, buoy: Buoy) -> None:
    alive(etcd, "compute-1")
    held = buoy("store auth enable --root-password-file root")
    assert (5, True) == (held.code, "the agent of compute-1 has no account; Neutron has no account" in held.text)
    buoy("store account add agent compute-1 --password-file one")
    held = buoy("store auth enable --root-password-file root")
    assert Said(5, "Neutron has no account: there is no writer: add what is missing first, or say --yes") == held
    assert Said(0, "etcd asks for accounts\n") == buoy("store auth enable --root-password-file root --yes")


def test_the_account_of_an_agent_that_lives_is_removed_only_when_a_person_insists(etcd: EtcdServer, buoy: Buoy) -> None:
    alive(etcd, "compute-1")
    buoy("store account add agent compute-1 --password-file one")
    held = buoy("store account remove buoy-agent-compute-1")
    assert Said(5, "compute-1 has a living agent: stop it first, or say --yes") == held
    assert ["buoy-agent-compute-1"] == names(buoy)
    assert 0 == buoy("store account remove buoy-agent-compute-1 --yes").code


def test_letting_everybody_in_is_held(buoy: Buoy) -> None:
    buoy("store auth enable --root-password-file root --yes")
    held = buoy(f"store auth disable {ROOT}")
    assert Said(5, "whoever reaches etcd could then redirect traffic: say --yes") == held


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("account add agent ../x --certificate", 2, "NAME: '../x' is not valid: use up to 128 letters"),
        ("account add agent compute-1", 2, "--password-file: None is not valid: give it, or --certificate"),
        ("account add agent one --certificate --password-file one", 2, "--password-file: 'one' is not valid: give it"),
        ("account add agent one --password-file none", 2, "--password-file: 'none' is not valid: name a readable"),
        ("account add agent one --password-file empty", 2, "--password-file: 'empty' is not valid: write a password"),
        ("account add writer one --account two --certificate", 2, "--account: 'two' is not valid: leave it out"),
        ("account add writer root --certificate", 4, "root is etcd's own account: `buoy store auth enable` makes it"),
        ("account add boss one --certificate", 2, "'boss' is not one of 'agent', 'writer', 'reader'"),
        ("account remove nobody", 4, "account nobody does not exist: `buoy store account list` shows what does"),
        ("account remove stranger", 4, "account stranger is not Buoy's"),
        ("account list --admin root", 2, "--admin-password-file: None is not valid: give --admin and its"),
        ("auth enable", 2, "Missing option '--root-password-file'"),
    ],
)
def test_what_cannot_be_is_refused_with_field_value_and_remedy(
    etcd: EtcdServer, buoy: Buoy, words: str, code: int, said: str
) -> None:
    (etcd.home / "empty").write_text("\n")
    etcd.etcdctl("user", "add", "stranger:s")
    refused = buoy(f"store {words}")
    assert (code, True) == (refused.code, said in refused.text), refused.text


def test_who_may_not_administer_is_told_who_may(buoy: Buoy) -> None:
    buoy("store account add writer neutron --password-file one")
    buoy("store auth enable --root-password-file root")
    refused = buoy("store account list --admin neutron --admin-password-file one")
    assert (2, True) == (refused.code, "--admin: 'neutron' is not valid: this account may not do this" in refused.text)
    assert "an administrator says --admin root --admin-password-file FILE" in refused.text
    assert "check username and password_file" in buoy("store account list --admin root --admin-password-file one").text
    assert (2, True) == ((said := buoy("store account list")).code, "--admin root" in said.text)


def test_each_endpoint_says_how_it_is(etcd: EtcdServer, buoy: Buoy, monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = json.loads(buoy("store status -o json").text)
    assert (etcd.endpoint, True, True, False) == (row["endpoint"], row["ok"], row["leader"], row["accounts"])
    buoy("store auth enable --root-password-file root --yes")
    assert json.loads(buoy("store status -o json").text)[0]["accounts"]
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, f"{etcd.endpoint},http://127.0.0.1:1")
    said = buoy("store status")
    assert 3 == said.code
    assert ["yes", "no"] == [line.split()[1] for line in said.text.splitlines()[1:]]


def test_accounts_of_a_host_that_reads_documents_from_a_file_are_nobodys(
    buoy: Buoy, etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: Path = etcd.home / "agent.toml"
    settings.write_text('[store]\nfile = "documents.yaml"\n')
    monkeypatch.delenv(context.ENDPOINTS_VARIABLE)
    monkeypatch.setenv("BUOY_CONFIG", str(settings))
    assert "store.file: 'documents.yaml' is not valid" in buoy("store account list").text
