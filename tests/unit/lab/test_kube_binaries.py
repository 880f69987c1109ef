# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' programs are built once, survive a kill, and are taken from where they are already."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buoy.lab import kube_binaries
from buoy.lab.control import LabError

PROGRAMS = sorted(kube_binaries.PROGRAMS)
FAKE_GO = """#!/bin/sh
[ "$1" = version ] && { echo "go version go1.26.8 linux/amd64"; exit; }
while [ "$1" != -o ]; do shift; done
echo "$3" >> "$BUILT"
case "$3" in *"$BROKEN") echo "no such package"; exit 1;; *"$SLOW") echo half > "$2"; sleep 60;; esac
echo "#!$3" > "$2"
chmod 755 "$2"
"""


def quietly(text: str) -> None:
    pass


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file where a Go that compiles nothing writes what it was to build."""
    go = tmp_path / "bin/go"
    go.parent.mkdir()
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    for name in ("BROKEN", "SLOW"):
        monkeypatch.setenv(name, "none of them")
    monkeypatch.setenv("BUILT", str(tmp_path / "built"))
    return tmp_path / "built"


def test_every_program_is_built_once_and_found_then(built: Path) -> None:
    heard: list[str] = []
    first = kube_binaries.provide(heard.append)
    assert PROGRAMS == sorted(first)
    assert all(program.parent == kube_binaries.directory() for program in first.values())
    assert "building kube-proxy" in heard
    assert first == kube_binaries.provide(heard.append)
    assert sorted(kube_binaries.PROGRAMS.values()) == sorted(built.read_text().split())


def test_a_directory_of_kubebuilder_is_used_for_what_it_has(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (assets / name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    found = kube_binaries.provide(quietly)
    assert ["etcd", "kube-apiserver", "kubectl"] == sorted(name for name in found if found[name].parent == assets)
    assert 2 == len(built.read_text().split())


@pytest.mark.usefixtures("built")
def test_a_build_that_fails_says_how_and_what_was_built_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "kube-proxy")
    with pytest.raises(LabError, match=r"kube-proxy failed; .*\nno such package"):
        kube_binaries.provide(quietly)
    assert ["etcd", "kubectl"] == sorted(each.name for each in kube_binaries.directory().glob("[!.]*"))


def test_a_killed_build_leaves_no_half_program_and_goes_on_from_there(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "kubectl")
    script = "from buoy.lab import kube_binaries; kube_binaries.provide(print)"
    building = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stdout=subprocess.DEVNULL)
    half = kube_binaries.directory() / ".kubectl"
    deadline = time.monotonic() + 20
    while not half.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(building.pid, signal.SIGKILL)
    building.wait()
    assert not (kube_binaries.directory() / "kubectl").exists()
    monkeypatch.setenv("SLOW", "none of them")
    assert PROGRAMS == sorted(kube_binaries.provide(quietly))
    assert 1 == built.read_text().split().count(kube_binaries.PROGRAMS["etcd"])


def test_without_the_checkout_the_remedy_is_named(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_binaries, "SOURCES", tmp_path)
    with pytest.raises(LabError, match="needs Buoy's checkout"):
        kube_binaries.provide(quietly)
    assert not built.exists()
