# SPDX-License-Identifier: Apache-2.0
"""The manifests give the controller and the agent the rights to read what they follow, and none to write it besides."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import yaml

from buoy.agent import run
from buoy.controller.claims import CLAIMS
from buoy.controller.fronts import CLASSES, INGRESSES
from buoy.controller.notices import RESOURCES
from buoy.controller.observe import POOLS
from buoy.kubernetes.resources import ADDRESS_POOLS, NAMESPACES, NODES, PODS, SERVICE_CIDRS, SERVICES
from buoy.kubernetes.structs import needed
from buoy.store.api_names import Resource

ACCOUNTS = Path(__file__).resolve().parents[3] / "packaging" / "kubernetes" / "accounts.yaml"
FOLLOWED = (SERVICES, INGRESSES, CLASSES, NAMESPACES, NODES, PODS, POOLS, CLAIMS, ADDRESS_POOLS, SERVICE_CIDRS)
FOLLOW = {"list", "watch"}


def rights(account: str) -> dict[tuple[str, str], set[str]]:
    """Return the verbs of an account by group and resource, in every namespace or in Buoy's own."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for each in yaml.safe_load_all(ACCOUNTS.read_text()):
        if each["kind"] in {"ClusterRole", "Role"} and each["metadata"]["name"] == account:
            for rule in each["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        found[group, resource] |= set(rule["verbs"])
    return found


def names(resources: Iterable[Resource]) -> set[tuple[str, str]]:
    return {(resource.group, resource.plural) for resource in resources}


def test_controller_may_follow_what_it_decides_by_and_nothing_else() -> None:
    followed = {name for name, verbs in rights("buoy-controller").items() if verbs >= FOLLOW}
    assert names((*FOLLOWED, *RESOURCES)) == followed


def test_agent_may_follow_what_its_documents_come_of_and_nothing_else() -> None:
    followed = {name for name, verbs in rights("buoy-agent").items() if verbs >= FOLLOW}
    # by the uid of one namespace it knows the cluster
    assert names((*needed(run._SHARED, "node-1"), NAMESPACES)) == followed


def test_neither_may_write_pools_nodes_or_secrets_or_give_rights() -> None:
    for account in ("buoy-controller", "buoy-agent"):
        writes = {name for name, verbs in rights(account).items() if verbs - {"get", "list", "watch"}}
        groups = {group for group, _ in writes}
        assert not {("buoy.dev", "pools"), ("", "nodes"), ("", "secrets"), ("", "pods")} & writes
        assert "rbac.authorization.k8s.io" not in groups
