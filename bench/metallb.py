# SPDX-License-Identifier: Apache-2.0
"""MetalLB in a lab: its own controller and speakers, native BGP, as its manifests would have them run.

``python -m bench.metallb`` builds it into the cache where the lab's Kubernetes is, in minutes; Go checks the module
by the sum of its public database. Promises that nothing is built in a bench: without it a bench says so.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bench.kubernetes_crowd import POOL
from bench.report import ROOT, tell
from buoy.lab import kube_binaries
from buoy.lab.configuration import ACCESS_AS, NODES_AS
from buoy.lab.kube_api import KubeApi, Refused
from buoy.lab.lab import Lab
from buoy.store.api_client import ApiServer

VERSION = "v0.16.1"
PROGRAMS = ("speaker", "controller")
_MODULE, _NAMESPACE = "go.universe.tf/metallb", "metallb-system"
_RUN = 'umask 77; printf %s "$0" > /run/metallb.kubeconfig; exec "$@"'
_TOR, _MACHINES = "192.168.8.1", ("controller", "node-1", "node-2")


def directory() -> Path:
    """Return where it is built: a directory of programs and kinds that is there when all of it is."""
    return kube_binaries.directory().parent / f"metallb-{VERSION}"


def build() -> None:
    """Build it, unless it is built."""
    if directory().is_dir():
        return
    unfinished = directory().with_suffix(".unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(unfinished), "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    packages = [f"{_MODULE}/{name}@{VERSION}" for name in PROGRAMS]
    subprocess.run(["go", "install", "-v", *packages], env=environment, cwd=unfinished, check=True)
    asked = ["go", "mod", "download", "-json", f"{_MODULE}@{VERSION}"]
    said = subprocess.run(asked, env=environment, cwd=unfinished, check=True, stdout=subprocess.PIPE).stdout
    source = Path(msgspec.json.decode(said)["Dir"])
    shutil.copytree(source / "config" / "crd" / "bases", unfinished / "crds", dirs_exist_ok=True)
    unfinished.rename(directory())


@contextlib.asynccontextmanager
async def metallb(lab: Lab, _api: ApiServer) -> AsyncIterator[None]:
    """Run it in a lab without Buoy while the block lasts."""
    await asyncio.to_thread(_seed, lab)
    with contextlib.ExitStack() as stack:
        for machine in _MACHINES:
            speaks = machine != "controller"
            option = f"--node-name={machine}" if speaks else "--webhook-mode=disabled"
            stack.enter_context(_running(lab, machine, "speaker" if speaks else "controller", option))
        yield


def memory(program: str) -> float:
    """Return the memory of the largest process of one of its programs in MiB."""
    wanted = str(directory() / program)
    sizes = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str((place / "exe").readlink()) == wanted:
                lines = (place / "status").read_text().splitlines()
                sizes += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")]
    return max(sizes)


def _seed(lab: Lab) -> None:
    api = KubeApi(lab.env()["KUBECONFIG"])
    kinds = [yaml.safe_load(file.read_text()) for file in sorted((directory() / "crds").glob("*.yaml"))]
    for each in ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}, *kinds):
        api.apply(each)
    # a kind that was just made takes objects a moment later
    for _ in range(100):
        with contextlib.suppress(Refused):
            for each in _objects():
                api.apply(each)
            return
        time.sleep(0.1)
    raise TimeoutError("MetalLB's kinds are not served")


def _objects() -> Iterator[dict[str, Any]]:
    """Yield what it serves, and pods that nobody runs: each of its programs asks for its own."""
    for machine in _MACHINES:
        spec: dict[str, Any] = {"schedulerName": "nobody", "containers": [{"name": "metallb", "image": "metallb"}]}
        yield {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": machine, "namespace": _NAMESPACE}, "spec": spec
        }  # fmt: skip
    for version, kind, spec in (
        ("v1beta1", "IPAddressPool", {"addresses": [POOL]}),
        ("v1beta1", "BGPAdvertisement", {}),
        ("v1beta2", "BGPPeer", {"peerAddress": _TOR, "peerASN": ACCESS_AS, "myASN": NODES_AS}),
    ):
        metadata = {"name": "bench", "namespace": _NAMESPACE}
        yield {"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": metadata, "spec": spec}


@contextlib.contextmanager
def _running(lab: Lab, machine: str, program: str, *arguments: str) -> Iterator[None]:
    kubeconfig = lab.exec("controller", "cat", "/etc/kubernetes/admin.kubeconfig").stdout
    variables = ["env", "KUBECONFIG=/run/metallb.kubeconfig", "METALLB_BGP_TYPE=native"]
    words = [*variables, str(directory() / program), f"--namespace={_NAMESPACE}", f"--pod-name={machine}", *arguments]
    words.append("--log-level=error")
    command = lab.command(machine, ["sh", "-c", _RUN, kubeconfig, *words])
    with (ROOT / "build" / f"metallb-{machine}.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    if shutil.which("go") is None:
        sys.exit("there is no go on PATH")
    tell(f"building MetalLB {VERSION}")
    build()
    print(directory())
