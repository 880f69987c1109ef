# SPDX-License-Identifier: Apache-2.0
"""Which node a pod gets from the lab's scheduler."""

from typing import Any

import pytest

from buoy.lab.scheduler import choose

DAEMON = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]
        }
    }
}


def node(name: str, **spec: object) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"zone": name}}, "spec": spec}


def pod(node: str = "", owner: str = "", **spec: object) -> dict[str, Any]:
    owners = {"ownerReferences": [{"uid": owner}]} if owner else {}
    return {"metadata": owners, "spec": {**({"nodeName": node} if node else {}), **spec}}


def test_a_pod_goes_where_the_fewest_of_its_owner_are_then_the_fewest_at_all() -> None:
    nodes = [node("a"), node("b")]
    assert "a" == choose(pod(), nodes, [])
    assert "b" == choose(pod(), nodes, [pod("a")])
    assert "a" == choose(pod(owner="x"), nodes, [pod("a"), pod("a"), pod("b", owner="x")])


@pytest.mark.parametrize(
    "spec",
    [{"nodeSelector": {"zone": "b"}}, {"affinity": DAEMON}],
    ids=["selector", "affinity to one"],
)
def test_a_pod_that_says_where_goes_there(spec: dict[str, Any]) -> None:
    assert "b" == choose(pod(**spec), [node("a"), node("b")], [pod("b")])
    assert "" == choose(pod(**spec), [node("a")], [])


@pytest.mark.parametrize(
    ("tolerations", "chosen"),
    [
        ([], "b"),
        ([{"operator": "Exists"}], "a"),
        ([{"key": "ill", "operator": "Exists"}], "a"),
        ([{"key": "ill", "value": "very"}], "a"),
        ([{"key": "ill", "value": "a little"}], "b"),
        ([{"key": "ill", "operator": "Exists", "effect": "NoExecute"}], "b"),
    ],
)
def test_a_tainted_node_is_for_those_that_tolerate_it(tolerations: list[dict[str, str]], chosen: str) -> None:
    ill = node("a", taints=[{"key": "ill", "value": "very", "effect": "NoSchedule"}])
    assert chosen == choose(pod(tolerations=tolerations), [ill, node("b")], [pod("b")])


def test_a_cordoned_node_gets_no_pod_and_a_preference_is_no_taint() -> None:
    assert "b" == choose(pod(), [node("a", unschedulable=True), node("b")], [pod("b")])
    soft = [{"key": "rather-not", "effect": "PreferNoSchedule"}]
    assert "a" == choose(pod(), [node("a", taints=soft)], [])
