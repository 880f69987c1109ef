# SPDX-License-Identifier: Apache-2.0
"""Which cluster a command means: as `buoy`, and as the plugin that kubectl runs for `kubectl buoy`."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from buoy.cli import context, service_ips
from buoy.cli.main import app, main
from buoy.model.errors import InvalidInput
from buoy.store.api_config import ApiSettings
from buoy.store.memory import MemoryStore
from buoy.store.settings import StoreSettings

ETCD = "http://192.0.2.100:2379"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[StoreSettings]:
    """The settings of each store a command opened."""
    found: list[StoreSettings] = []

    def open_any(settings: StoreSettings) -> MemoryStore:
        found.append(settings)
        return MemoryStore()

    monkeypatch.setattr(context, "open_any", open_any)
    monkeypatch.setenv("BUOY_ETCD", ETCD)
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/srv/operator")
    return found


def as_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-buoy"])


def cluster(opened: list[StoreSettings], *words: str) -> tuple[str, str]:
    """Return the kubeconfig and the context a command took."""
    CliRunner().invoke(app, [*words, "peer", "list"])
    return opened[-1].kubeconfig, opened[-1].context


def test_buoy_asks_the_store_its_environment_names(opened: list[StoreSettings]) -> None:
    assert ("", "") == cluster(opened)
    assert (ETCD,) == opened[-1].endpoints


def test_a_kubeconfig_that_is_named_prevails(opened: list[StoreSettings]) -> None:
    assert ("/etc/lab.conf", "east") == cluster(opened, "--kubeconfig", "/etc/lab.conf", "--context", "east")
    assert ("", "") == cluster(opened), "the next command does not remember it"


def test_the_plugin_means_the_cluster_that_kubectl_means(
    opened: list[StoreSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_plugin(monkeypatch)
    assert ("/srv/operator/.kube/config", "") == cluster(opened)
    assert ("/srv/operator/.kube/config", "east") == cluster(opened, "--context", "east")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert ("in-cluster", "") == cluster(opened)
    monkeypatch.setenv("KUBECONFIG", "/etc/a:/etc/b")
    assert ("/etc/a:/etc/b", "") == cluster(opened)
    assert ("/etc/c", "") == cluster(opened, "--kubeconfig", "/etc/c")


def test_a_pod_is_looked_for_in_the_cluster_that_its_address_is_written_to(
    opened: list[StoreSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def find(file: str, chosen: str = "") -> ApiSettings:
        asked.append((file, chosen))
        raise InvalidInput("server", file, "nobody needs to answer here")

    monkeypatch.setattr(service_ips, "find", find)
    wish = ("service-ip", "associate", "--pool", "gold", "--pod", "shop/db-0")
    CliRunner().invoke(app, ["--kubeconfig", "/etc/lab.conf", "--context", "east", *wish])
    assert [("/etc/lab.conf", "east")] == asked == [(each.kubeconfig, each.context) for each in opened]


def test_a_cluster_is_not_asked_for_etcds_accounts(opened: list[StoreSettings]) -> None:
    for words in (["status"], ["account", "list"], ["auth", "disable"]):
        error = CliRunner().invoke(app, ["--kubeconfig", "/etc/lab.conf", "store", *words]).exception
        assert isinstance(error, InvalidInput)
        assert ("store.kubeconfig", "/etc/lab.conf") == (error.field, error.value)
    assert [] == opened


def test_the_plugin_is_called_as_kubectl_calls_it_in_its_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for program, said in (("kubectl-buoy", "Usage: kubectl buoy why"), ("buoy", "Usage: buoy why")):
        monkeypatch.setattr(sys, "argv", [str(Path("/usr/bin", program)), "why", "--help"])
        with pytest.raises(SystemExit):
            main()
        assert said in capsys.readouterr().out
