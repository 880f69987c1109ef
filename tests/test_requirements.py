# SPDX-License-Identifier: Apache-2.0
"""What is imported is required, what is required is imported, and the locks agree.

The one tricky thing: an import has another name than its distribution (yaml comes
from PyYAML), so the installed environment is asked which is which.
"""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "buoy"
REQUIREMENTS = ROOT / "requirements"

# What stands in core.in for its own effect: generated code, and what libraries of ours ask for at run time.
NOT_IMPORTED_BY_NAME: set[str] = set()
# Neutron chooses these itself, and hands them to whoever plugs into it.
NEUTRON_BRINGS = {
    "alembic",
    "neutron-lib",
    "oslo-concurrency",
    "oslo-config",
    "oslo-context",
    "oslo-db",
    "oslo-log",
    "oslo-serialization",
    "oslo-service",
    "oslo-utils",
    "paste",
    "pecan",
    "sqlalchemy",
    "webob",
}


def normal(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(name: str) -> set[str]:
    """Return the distributions that an .in file names."""
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    return {normal(re.split(r"[=<>]", line)[0]) for line in lines if line and line[0] not in "#-"}


def pinned(name: str) -> dict[str, str]:
    """Return distribution → version of a lock."""
    lock = (REQUIREMENTS / f"{name}.txt").read_text()
    return {normal(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", lock)}


def imported(paths: list[Path]) -> set[str]:
    """Return the distributions that these modules import."""
    modules: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    known = packages_distributions()
    foreign = modules - set(sys.stdlib_module_names) - {"buoy"}
    return {normal(known[module][0]) if module in known else f"{module} (not installed)" for module in foreign}


def modules(of_neutron: bool) -> list[Path]:
    return [path for path in SOURCE.rglob("*.py") if ("neutron" in path.relative_to(SOURCE).parts) == of_neutron]


def test_an_agent_host_gets_by_with_core() -> None:
    assert imported(modules(of_neutron=False)) - required("core") == set()


def test_core_holds_nothing_that_is_not_imported() -> None:
    assert required("core") - imported(list(SOURCE.rglob("*.py"))) - NOT_IMPORTED_BY_NAME == set()


def test_neutrons_host_gets_by_with_core_and_neutron() -> None:
    assert imported(modules(of_neutron=True)) - required("core") - required("neutron") - NEUTRON_BRINGS == set()


@pytest.mark.parametrize("part", ["build", "core", "neutron"])
def test_a_part_is_pinned_as_the_whole_is(part: str) -> None:
    assert pinned(part).items() <= pinned("dev").items()


@pytest.mark.parametrize("name", ["build", "core", "neutron", "dev", "openstack", "legacy"])
def test_a_lock_has_hashes_and_no_address(name: str) -> None:
    lock = (REQUIREMENTS / f"{name}.txt").read_text()
    without_hash = re.findall(r"(?m)^[\w.-]+==\S+$", lock)
    assert (without_hash, re.findall(r"\S*//\S*", lock)) == ([], [])
