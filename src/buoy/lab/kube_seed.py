# SPDX-License-Identifier: Apache-2.0
"""Write the lab's first objects: Buoy's kinds and accounts, and the ToR as every node's BGP neighbour.

``python -m buoy.lab.kube_seed KUBECONFIG TOR-ADDRESS MANIFESTS``. Promises that running it again changes
nothing. MANIFESTS is Buoy's own directory of manifests, of which kinds, accounts, their rights and the door are taken.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from buoy.lab import kube_credential
from buoy.lab.configuration import ACCESS_AS, NODES_AS
from buoy.lab.kube_api import KubeApi, Object
from buoy.lab.kube_credential import AGENT, CONTROLLER, NAMESPACE

_RBAC = "rbac.authorization.k8s.io"
_ESTABLISHED_SECONDS = 20.0


def main() -> None:
    """Write everything that is missing."""
    kubeconfig, tor, manifests = sys.argv[1:]
    api = KubeApi(kubeconfig)
    directory = Path(manifests)
    kinds = [each for file in sorted((directory / "crds").glob("*.yaml")) for each in _read(file)]
    # the rights are those of an installed Buoy: what they lack, a lab is to show
    accounts = (*_read(directory / "namespace.yaml"), *_read(directory / "accounts.yaml"))
    for each in (*accounts, *rights_of_kubelets(), *kinds):
        api.apply(each)
    # what a kubelet would do for the controller's pod
    kube_credential.put(api.create(kube_credential.path(CONTROLLER), kube_credential.REQUEST))
    _await_established(api, kinds)
    for each in _read(directory / "door.yaml"):
        api.apply(each)
    known = {kind["metadata"]["name"] for kind in kinds}
    for plural, each in first_objects(tor):
        if plural in known and api.find(api.path_of(each)) is None:
            api.create(api.path_of(each).rpartition("/")[0], each)


def rights_of_kubelets() -> Iterator[Object]:
    """Yield what lets a kubelet have tokens for the agent, of which there is no pod here that would entitle it."""
    place = {"name": "lab-kubelet", "namespace": NAMESPACE}
    rule = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [AGENT], "verbs": ["create"]}
    yield {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": place, "rules": [rule]}
    yield {
        "apiVersion": f"{_RBAC}/v1", "kind": "RoleBinding", "metadata": place,
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "lab-kubelet"},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": "system:nodes"}],
    }  # fmt: skip


def first_objects(tor: str) -> Iterator[tuple[str, Object]]:
    """Yield what a fresh lab has of Buoy's kinds, each with its kind's name."""
    group = "projectcalico.org"
    yield f"bgpconfigurations.{group}", {
        "apiVersion": f"{group}/v3", "kind": "BGPConfiguration", "metadata": {"name": "default"},
        "spec": {"asNumber": NODES_AS},
    }  # fmt: skip
    yield f"bgppeers.{group}", {
        "apiVersion": f"{group}/v3", "kind": "BGPPeer", "metadata": {"name": "tor"},
        "spec": {"peerIP": tor, "asNumber": ACCESS_AS},
    }  # fmt: skip


def _read(file: Path) -> Iterator[Object]:
    # libyaml, where it is: half of the seed's time is reading
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    yield from filter(None, yaml.load_all(file.read_text(), Loader=loader))


def _await_established(api: KubeApi, kinds: list[Object]) -> None:
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    while waiting := [kind["metadata"]["name"] for kind in kinds if not _is_established(api.get(api.path_of(kind)))]:
        if time.monotonic() > deadline:
            sys.exit(f"not established: {', '.join(waiting)}")
        time.sleep(0.05)


def _is_established(kind: dict[str, Any]) -> bool:
    conditions = kind.get("status", {}).get("conditions", ())
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


if __name__ == "__main__":
    main()
