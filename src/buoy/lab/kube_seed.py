# SPDX-License-Identifier: Apache-2.0
"""Write the lab's first objects: Buoy's kinds and accounts, and the ToR as every node's BGP neighbour.

``python -m buoy.lab.kube_seed KUBECONFIG TOR-ADDRESS MANIFESTS``. Promises that running it again changes
nothing. What is not in MANIFESTS, Buoy's own directory of manifests, is left out, so that a lab shows what there is.
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

_ACCOUNTS = (AGENT, CONTROLLER)
_RBAC = "rbac.authorization.k8s.io"
_ESTABLISHED_SECONDS = 20.0


def main() -> None:
    """Write everything that is missing."""
    kubeconfig, tor, manifests = sys.argv[1:]
    api = KubeApi(kubeconfig)
    kinds = list(_read(Path(manifests) / "crds"))
    for each in (*accounts(), *rights(), *rights_of_kubelets(), *kinds):
        api.apply(each)
    # what a kubelet would do for the controller's pod
    kube_credential.put(api.create(kube_credential.path(CONTROLLER), kube_credential.REQUEST))
    _await_established(api, kinds)
    known = {kind["metadata"]["name"] for kind in kinds}
    for plural, each in first_objects(tor):
        if plural in known and api.find(api.path_of(each)) is None:
            api.create(api.path_of(each).rpartition("/")[0], each)


def accounts() -> Iterator[Object]:
    """Yield the namespace of Buoy's programs and the accounts they use."""
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for name in _ACCOUNTS:
        yield {
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE},
        }  # fmt: skip


def rights() -> Iterator[Object]:
    """Yield what gives these accounts their rights: all of them, until Buoy's own manifests say what is needed."""
    for name in _ACCOUNTS:
        yield {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"lab-{name}"},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
        }


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


def _read(directory: Path) -> Iterator[Object]:
    for file in sorted(directory.glob("*.yaml")):
        # libyaml, where it is: half of the seed's time is reading this
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
