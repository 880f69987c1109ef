# SPDX-License-Identifier: Apache-2.0
"""Strategic merge patches: through the server they do what kube-apiserver itself does to a kind of its own.

A ConfigMap is the oracle: what all kinds have, `metadata`, is patched there and on a BGPPeer alike.
"""

import random
import threading
from collections.abc import Iterator

import pytest

from buoy.aggregation.versions import Json
from tests.store.aggregation.cluster import CALICO, Cluster

STRATEGIC = "application/strategic-merge-patch+json"
ORACLE, PEERS = "/api/v1/namespaces/default/configmaps", f"{CALICO}/v3/bgppeers"
COMPARED = ("labels", "annotations", "finalizers", "ownerReferences")


def owner(uid: str, **more: object) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": f"owner-{uid}", "uid": uid, **more}


FIRST = {
    "labels": {"a": "1", "b": "2"},
    "annotations": {"note": "kept"},
    "finalizers": ["example.org/a", "example.org/b"],
    "ownerReferences": [owner("1"), owner("2")],
}
PATCHES: list[Json] = [
    {},
    {"labels": {"a": "3", "c": "4"}},
    {"labels": {"a": None, "absent": None}},
    {"labels": None},
    {"labels": {"$patch": "replace", "c": "4"}},
    {"labels": {"$patch": "delete"}},
    {"labels": {"$patch": "merge"}},
    {"labels": {"$retainKeys": ["b", "c"], "c": "4"}},
    {"labels": {"$retainKeys": ["b"], "c": "4"}},
    {"finalizers": ["example.org/c", "example.org/a"]},
    {"finalizers": None},
    {"finalizers": []},
    {"finalizers": ["not a name"]},
    {"$deleteFromPrimitiveList/finalizers": ["example.org/a", "example.org/absent"]},
    {"$deleteFromPrimitiveList/finalizers": ["example.org/a"], "finalizers": ["example.org/c"]},
    {"ownerReferences": [owner("3"), owner("1", controller=True)]},
    {"ownerReferences": [{"$patch": "delete", "uid": "1"}]},
    {"ownerReferences": [{"$patch": "delete", "uid": "absent"}, owner("3")]},
    {"ownerReferences": [{"$patch": "replace"}, owner("3")]},
    {"ownerReferences": [{"$patch": "replace"}]},
    {"ownerReferences": [{"$patch": "delete"}]},
    {"ownerReferences": [{"$patch": "merge", "uid": "1"}]},
    {"ownerReferences": ["1"]},
    {"ownerReferences": [{"name": "nobody"}]},
    {"ownerReferences": [{"uid": "1", "controller": True}]},
    {"ownerReferences": [owner("1", controller=True), owner("2", controller=True)]},
    {"resourceVersion": "1", "labels": {"c": "4"}},
    {"resourceVersion": "1", "finalizers": []},
    {"name": "another"},
    {"uid": "another", "finalizers": []},
    {"labels": {"c": 4}},
    {"finalizers": ["example.org/c"], "labels": {"c": "4"}, "annotations": {"note": None}},
]


class Pair:
    """A ConfigMap and a BGPPeer with the same metadata."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.make()

    def make(self) -> None:
        self.remove()
        metadata = {"name": "subject", **FIRST}
        peer = {"apiVersion": "projectcalico.org/v3", "kind": "BGPPeer", "metadata": metadata}
        assert 201 == self.cluster.ask("POST", PEERS, {**peer, "spec": {"peerIP": "192.0.2.1", "asNumber": 64512}})[0]
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        assert 201 == self.cluster.ask("POST", ORACLE, body)[0]

    def patch(self, patch: Json) -> tuple[list[Json], list[Json]]:
        """Return what the oracle and the BGPPeer became, each with the status of the answer."""
        return self._patch(ORACLE, patch), self._patch(PEERS, patch)

    def _patch(self, path: str, patch: Json) -> list[Json]:
        status, _ = self.cluster.ask("PATCH", f"{path}/subject", patch, STRATEGIC)
        _, now = self.cluster.ask("GET", f"{path}/subject")
        metadata = {name: now["metadata"].get(name) for name in COMPARED}
        # both are sets, whose order means nothing
        metadata["finalizers"] = sorted(metadata["finalizers"] or ())
        metadata["ownerReferences"] = sorted(metadata["ownerReferences"] or (), key=lambda each: str(each["uid"]))
        return [accepted(status), metadata]

    def remove(self) -> None:
        for path in (ORACLE, PEERS):
            free = {"metadata": {"finalizers": None}}
            self.cluster.ask("PATCH", f"{path}/subject", free, "application/merge-patch+json")
            self.cluster.ask("DELETE", f"{path}/subject")


def accepted(status: int) -> str:
    """What a client makes of a status: a wrong patch is 400, 422 or, of kube-apiserver's own kinds, 500."""
    return {200: "done", 409: "conflict"}.get(status, "refused")


def contradicts_itself(patch: Json) -> bool:
    """Tell whether a patch adds what it deletes: kube-apiserver does both in the random order of a Go map."""
    deleted = patch.get("$deleteFromPrimitiveList/finalizers") or ()
    return not set(deleted).isdisjoint(patch.get("finalizers") or ())


@pytest.fixture
def pair(served: Cluster) -> Iterator[Pair]:
    made = Pair(served)
    yield made
    made.remove()


def test_each_kind_of_patch_does_what_it_does_to_kinds_of_the_api_servers_own(pair: Pair) -> None:
    differing = []
    for patch in PATCHES:
        pair.make()
        oracle, ours = pair.patch({"metadata": patch})
        if oracle != ours:
            differing.append({"patch": patch, "oracle": oracle, "ours": ours})
    assert [] == differing


def test_patches_in_a_row_lead_both_kinds_to_the_same(pair: Pair) -> None:
    choose = random.Random(9)
    # where there are no labels yet kube-apiserver takes $retainKeys for one, and loses what stands beside $patch
    patches = [patch for patch in PATCHES if not any(key.startswith("$") for key in patch.get("labels") or ())]
    for _ in range(80):
        some = choose.sample(patches, choose.randint(1, 2))
        patch = {key: value for each in some for key, value in each.items()}
        if not contradicts_itself(patch):
            oracle, ours = pair.patch({"metadata": patch})
            assert {"patch": patch, "became": oracle} == {"patch": patch, "became": ours}


@pytest.mark.parametrize("patch", [[], "text", None, 1])
def test_a_patch_that_is_no_object_is_refused(served: Cluster, pair: Pair, patch: Json) -> None:
    assert 400 == served.ask("PATCH", f"{PEERS}/subject", patch, STRATEGIC)[0]


@pytest.mark.parametrize("path", ["absent", "absent/status"])
@pytest.mark.parametrize("patch", [{"spec": {"asNumber": 64512}}, {"metadata": {"finalizers": []}}])
def test_what_is_not_there_is_not_found(served: Cluster, path: str, patch: Json) -> None:
    status, told = served.ask("PATCH", f"{PEERS}/{path}", patch, STRATEGIC)
    assert (404, 'bgppeers.projectcalico.org "absent" not found') == (status, told["message"])


def test_what_is_wrong_is_refused_in_the_words_of_the_crd(served: Cluster, pair: Pair) -> None:
    wrong = {"spec": {"asNumber": 0}, "metadata": {"finalizers": ["example.org/c"]}}
    for patch in (wrong, {"spec": wrong["spec"]}):
        status, told = served.ask("PATCH", f"{PEERS}/subject", patch, STRATEGIC)
        assert (422, "spec.asNumber") == (status, told["details"]["causes"][0]["field"])


def test_nobodys_finalizer_is_lost_when_many_patch_at_once(served: Cluster, pair: Pair) -> None:
    names = [f"example.org/{number}" for number in range(8)]
    answers: list[int] = []

    def add(name: str) -> None:
        while True:
            status, _ = served.ask("PATCH", f"{PEERS}/subject", {"metadata": {"finalizers": [name]}}, STRATEGIC)
            answers.append(status)
            if status != 409:
                return

    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _, now = served.ask("GET", f"{PEERS}/subject")
    assert set(names) | set(FIRST["finalizers"]) == set(now["metadata"]["finalizers"])
    assert {200, 409} >= set(answers)
