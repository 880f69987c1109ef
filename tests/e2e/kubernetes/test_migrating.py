# SPDX-License-Identifier: Apache-2.0
"""The guides of docs/migrating.md, command by command, on clusters that never saw Buoy.

MetalLB and Calico are here by what they leave behind: their kinds, their objects, and
statuses of Services as their controllers write them.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buoy.lab.kubernetes import MANIFESTS, Plan
from buoy.lab.lab import Lab
from tests.e2e.cloud import eventually, fresh_name
from tests.e2e.kubernetes.cluster import Cluster, service

BOTH = ("node-1", "node-2")
ROUTER = "192.168.8.1"
SHOWN = {"web": "203.0.113.9", "shop": "203.0.113.1"}
FOREIGN = ("bgpconfigurations.projectcalico.org", "bgpfilters.projectcalico.org", "bgppeers.projectcalico.org",
           "ipaddresspools.metallb.io")  # fmt: skip


@pytest.fixture
def bare() -> Iterator[Cluster]:
    """A cluster without Buoy, with Services that somebody has given addresses to, one of them by hand of nobody yet."""
    lab = Lab(fresh_name("k-migr")).up_kubernetes(Plan(bare=True))
    try:
        cluster = Cluster(lab)
        for name in (*SHOWN, "waits"):
            cluster.pod(f"{name}-1", "node-1", {"app": name})
            cluster.apply(service(name))
        for name, address in SHOWN.items():
            status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
            words = ("patch", "service", name, "--subresource", "status", "--type", "merge", "-p", json.dumps(status))
            cluster.kubectl(*words)
        yield cluster
    finally:
        lab.down()


def kind(group: str, version: str, name: str, *, namespaced: bool = True) -> dict[str, Any]:
    """Return a kind of somebody else's that takes any object."""
    plural = f"{name.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": name, "plural": plural, "singular": name.lower()},
            "scope": "Namespaced" if namespaced else "Cluster",
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


def metallb(name: str, version: str, what: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": f"metallb.io/{version}", "kind": what, "metadata": metadata, "spec": spec}


def calico(name: str, what: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    return {"apiVersion": "projectcalico.org/v3", "kind": what, "metadata": {"name": name}, "spec": spec}


def buoy(cluster: Cluster, *words: str) -> str:
    """Run `kubectl buoy` and return what it printed; it must end with 0."""
    command = ["kubectl", "buoy", *words]
    return subprocess.run(command, capture_output=True, text=True, env=cluster.environment, check=True).stdout


def install(cluster: Cluster, objects: Path, directory: Path, leave_out: tuple[str, ...]) -> None:
    """Install Buoy without the kinds that are there, and with the objects that were printed before its pods run."""
    lines = (MANIFESTS / "kustomization.yaml").read_text().splitlines()
    kept = [line for line in lines if not any(each in line for each in leave_out)]
    copied = directory / "kubernetes"
    subprocess.run(["cp", "-r", str(MANIFESTS), str(copied)], check=True)
    (copied / "kustomization.yaml").write_text("\n".join(kept) + "\n")
    for each in sorted((copied / "crds").glob("*.buoy.dev.yaml")):
        cluster.kubectl("apply", "-f", str(each))
    cluster.kubectl("wait", "--for", "condition=Established", "crd/peers.buoy.dev", "crd/pools.buoy.dev")
    cluster.kubectl("apply", "-f", str(objects))
    cluster.kubectl("apply", "-k", str(copied))
    for workload in ("daemonset/buoy-agent", "deployment/buoy-controller"):
        cluster.kubectl("rollout", "status", workload, "-n", "buoy-system", "--timeout=90s")


def kept_and_announced(cluster: Cluster) -> None:
    """Demand that every Service keeps its address, is heard of by the router, and answers."""
    for name, address in SHOWN.items():
        assert [address] == cluster.external(name)
        cluster.announced(f"{address}/32", *BOTH, seconds=60)
    eventually(lambda: [cluster.http(at).split("-")[0] for at in SHOWN.values()], lambda said: said == list(SHOWN), 20)
    [fresh] = eventually(lambda: cluster.external("waits"))
    assert fresh not in SHOWN.values()


def test_from_metallb(bare: Cluster, tmp_path: Path) -> None:
    kinds = (("v1beta1", "IPAddressPool"), ("v1beta2", "BGPPeer"), ("v1beta1", "BGPAdvertisement"))
    bare.apply(*(kind("metallb.io", version, name) for version, name in kinds))
    bare.kubectl(
        "wait", "--for", "condition=Established", "crd/bgppeers.metallb.io", "crd/bgpadvertisements.metallb.io"
    )
    bare.apply(
        metallb("public", "v1beta1", "IPAddressPool", addresses=["203.0.113.0-203.0.113.20"]),
        metallb("tor", "v1beta2", "BGPPeer", myASN=64512, peerASN=64511, peerAddress=ROUTER),
        metallb("all", "v1beta1", "BGPAdvertisement"),
    )
    told = json.loads(buoy(bare, "migrate", "metallb", "-o", "json"))["findings"]
    keeps = {each["object"]: each["verdict"] for each in told if each["object"].startswith("service ")}
    assert {f"service default/{name}": "same" for name in SHOWN} == keeps
    objects = tmp_path / "buoy.yaml"
    objects.write_text(buoy(bare, "migrate", "metallb", "-o", "yaml"))
    install(bare, objects, tmp_path, FOREIGN[3:])
    kept_and_announced(bare)
    names = ("ipaddresspools.metallb.io", "bgppeers.metallb.io", "bgpadvertisements.metallb.io")
    bare.kubectl("delete", "crd", *names)
    kept_and_announced(bare)


def test_from_calico(bare: Cluster, tmp_path: Path) -> None:
    names = ("BGPConfiguration", "BGPPeer", "BGPFilter", "IPPool")
    bare.apply(*(kind("crd.projectcalico.org", "v1", name, namespaced=False) for name in names))
    bare.kubectl(
        "wait", "--for", "condition=Established", *(f"crd/{name.lower()}s.crd.projectcalico.org" for name in names)
    )
    stored = [
        calico("default", "BGPConfiguration", asNumber=64512, nodeToNodeMeshEnabled=False),
        calico("tor", "BGPPeer", peerIP=ROUTER, asNumber=64511),
        calico("balancers", "IPPool", cidr="203.0.113.0/27", allowedUses=["LoadBalancer"]),
        calico("pods", "IPPool", cidr="10.244.0.0/16", vxlanMode="Always", allowedUses=["Workload"]),
    ]
    bare.apply(*({**each, "apiVersion": "crd.projectcalico.org/v1"} for each in stored))
    told = json.loads(buoy(bare, "migrate", "calico", "-o", "json"))["findings"]
    assert {"not done"} != {each["verdict"] for each in told}
    objects = tmp_path / "buoy.yaml"
    objects.write_text(buoy(bare, "migrate", "calico", "-o", "yaml"))
    install(bare, objects, tmp_path, ())
    kept_and_announced(bare)
