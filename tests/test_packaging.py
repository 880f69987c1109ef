# SPDX-License-Identifier: Apache-2.0
"""What is shipped for a host fits the code: examples load, name every field, and units run commands that exist."""

import re
import tomllib
from pathlib import Path

import pytest
from oslo_config import cfg
from typer.testing import CliRunner

from buoy.cli.main import app
from buoy.model.ownership import BIRD_CONFIG, BIRD_SOCKET
from buoy.neutron import options
from buoy.runtime.settings import Settings, load
from buoy.store.roles import agent_name
from buoy.store.settings import check

PACKAGING = Path(__file__).resolve().parent.parent / "packaging"
OPERATIONS, KUBERNETES = (PACKAGING.parent / "docs" / name for name in ("operations.md", "kubernetes.md"))
BUOY = "/opt/buoy/bin/buoy "
UNITS = [unit for unit in sorted((PACKAGING / "systemd").glob("*.service")) if BUOY in unit.read_text()]
# For the lab, and for an operator without etcd.
NOT_SHOWN = {"store.prefix", "store.file"}


def fields(value: object, within: str = "") -> set[str]:
    """Return the dotted name of every field of a settings value."""
    if not hasattr(value, "__struct_fields__"):
        return {within.removesuffix(".")}
    return {name for field in value.__struct_fields__ for name in fields(getattr(value, field), f"{within}{field}.")}


def test_example_of_the_agents_settings_is_accepted() -> None:
    settings = load(str(PACKAGING / "agent.toml"))
    check(settings.store)
    assert ("192.0.2.3", "2001:db8::3") == settings.addresses


def test_example_of_the_agents_settings_has_the_account_that_the_command_makes_for_its_node() -> None:
    text = (PACKAGING / "agent.toml").read_text()
    [node] = re.findall(r'(?m)^# node = "(.+)"$', text)
    assert agent_name(node) == tomllib.loads(text)["store"]["username"]


def test_example_of_the_agents_settings_shows_every_field_with_its_default() -> None:
    text = re.sub(r"(?m)^# (?=\w+ = )", "", (PACKAGING / "agent.toml").read_text())
    shown = tomllib.loads(text)
    named = {f"{name}.{inner}" for name, table in shown.items() if isinstance(table, dict) for inner in table}
    named |= {name for name, value in shown.items() if not isinstance(value, dict)}
    assert fields(Settings()) - NOT_SHOWN == named
    assert (Settings().audit_interval, Settings().heartbeat_ttl) == (shown["audit_interval"], shown["heartbeat_ttl"])
    assert (Settings().metadata.port, Settings().health.listen) == (
        shown["metadata"]["port"],
        shown["health"]["listen"],
    )


def test_example_for_neutron_names_every_option_of_ours() -> None:
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf(["--config-file", str(PACKAGING / "neutron" / "buoy.conf")], project="buoy")
    check(options.store_settings(conf))
    shown = set(re.findall(r"(?m)^(\w+) = ", (PACKAGING / "neutron" / "buoy.conf").read_text().partition("[buoy]")[2]))
    assert {option.dest for option in options.OPTIONS} == shown


@pytest.mark.parametrize("unit", UNITS, ids=[unit.stem for unit in UNITS])
def test_unit_runs_a_command_that_exists(unit: Path) -> None:
    commands = re.findall(rf"(?m)^Exec\w+={BUOY}(.+)$", unit.read_text())
    assert [0 for _ in commands] == [CliRunner().invoke(app, [*line.split(), "--help"]).exit_code for line in commands]


def test_what_a_boot_starts_is_disabled_by_the_guide_to_uninstalling() -> None:
    started = {unit.name.removesuffix(".service") for unit in (PACKAGING / "systemd").iterdir()
               if "[Install]" in unit.read_text()}  # fmt: skip
    guide = OPERATIONS.read_text().partition("## Uninstall\n")[2]
    disabled = " ".join(re.findall(r"systemctl disable --now ([-a-z. ]+)", guide))
    assert started == set(disabled.split())


def test_every_image_of_a_kustomization_is_named_by_the_guide() -> None:
    [named] = re.findall(r"sed -i 's#newName: buoy#.*", KUBERNETES.read_text())
    files = [file for file in PACKAGING.rglob("kustomization.yaml") if "newName: buoy" in file.read_text()]
    wanted = {str(file.relative_to(PACKAGING.parent)) for file in files}
    assert wanted == {word for word in named.split() if word.startswith("packaging/")}


def test_birds_unit_uses_the_paths_that_the_agent_uses() -> None:
    text = (PACKAGING / "systemd" / "buoy-bird.service").read_text()
    assert {BIRD_CONFIG} == set(re.findall(r"-c (/\S+)", text))
    assert {BIRD_SOCKET} == set(re.findall(r"-s (/\S+)", text))
