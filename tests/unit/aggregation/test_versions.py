# SPDX-License-Identifier: Apache-2.0
"""Only the name of the version changes, and only where it is one."""

import copy
from typing import Any

import pytest

from buoy.aggregation.versions import Json, inward, inward_operations, inward_yaml, outward, outward_text
from buoy.model.errors import InvalidInput

V3, TWIN = "projectcalico.org/v3", "projectcalico.org/v3crd"


def an_object(version: str, **metadata: Json) -> dict[str, Any]:
    return {"apiVersion": version, "kind": "BGPPeer", "metadata": {"name": "tor", **metadata}, "spec": {}}


def entry(version: str, manager: str = "kubectl", *fields: str, time: str = "") -> dict[str, Any]:
    owned: Json = {f"f:{field}": {} for field in fields}
    known = {"apiVersion": version, "manager": manager, "operation": "Update", "fieldsV1": {"f:spec": owned}}
    return {**known, "time": time} if time else known


@pytest.mark.parametrize(
    ("clients", "behind"),
    [
        (an_object(V3), an_object(TWIN)),
        (an_object(V3, managedFields=[entry(V3)]), an_object(TWIN, managedFields=[entry(TWIN)])),
        ({"apiVersion": V3, "kind": "DeleteOptions"}, {"apiVersion": TWIN, "kind": "DeleteOptions"}),
        ({"spec": {"asNumber": 1}}, {"spec": {"asNumber": 1}}),
        ({"apiVersion": "v1", "kind": "DeleteOptions"}, {"apiVersion": "v1", "kind": "DeleteOptions"}),
        ({"apiVersion": "projectcalico.org/v4"}, {"apiVersion": "projectcalico.org/v4"}),
        ({"metadata": None}, {"metadata": None}),
        ({"metadata": {"managedFields": None}}, {"metadata": {"managedFields": None}}),
        ({"metadata": {"managedFields": ["wrong"]}}, {"metadata": {"managedFields": ["wrong"]}}),
        (["wrong"], ["wrong"]),
        (None, None),
    ],
)
def test_a_body_is_in_the_crds_version_behind_the_server(clients: Json, behind: Json) -> None:
    assert behind == inward(copy.deepcopy(clients))


@pytest.mark.parametrize(
    "kept",
    [
        {"annotations": {"note": V3}},
        {"ownerReferences": [{"apiVersion": V3, "kind": "BGPPeer", "name": "tor", "uid": "u"}]},
        {"labels": {"version": "v3"}},
    ],
)
def test_what_people_wrote_stays(kept: dict[str, Any]) -> None:
    assert kept == {key: inward(an_object(V3, **copy.deepcopy(kept)))["metadata"][key] for key in kept}
    assert kept == {key: outward(an_object(TWIN, **copy.deepcopy(kept)))["metadata"][key] for key in kept}


@pytest.mark.parametrize(
    ("path", "clients", "behind"),
    [
        ("/apiVersion", V3, TWIN),
        ("/apiVersion", "v1", "v1"),
        ("", an_object(V3), an_object(TWIN)),
        ("/metadata", {"managedFields": [entry(V3)]}, {"managedFields": [entry(TWIN)]}),
        ("/metadata/managedFields", [entry(V3)], [entry(TWIN)]),
        ("/metadata/managedFields/0", entry(V3), entry(TWIN)),
        ("/metadata/managedFields/-", entry(V3), entry(TWIN)),
        ("/metadata/managedFields/0/apiVersion", V3, TWIN),
        ("/metadata/managedFields/0/manager", V3, V3),
        ("/metadata/labels/a", V3, V3),
        ("/spec/password", V3, V3),
    ],
)
def test_a_json_patch_is_in_the_crds_version_behind_the_server(path: str, clients: Json, behind: Json) -> None:
    operations = [{"op": "test", "path": path, "value": clients}, {"op": "remove", "path": "/spec/node"}]
    assert [{"op": "test", "path": path, "value": behind}, operations[1]] == inward_operations(operations)


@pytest.mark.parametrize("wrong", [None, {}, ["op"], [{"op": "add"}], [{"op": "add", "path": 1, "value": 2}]])
def test_what_is_no_json_patch_is_left_for_the_crds_server_to_refuse(wrong: Json) -> None:
    assert wrong == inward_operations(copy.deepcopy(wrong))


@pytest.mark.parametrize(
    ("clients", "behind"),
    [
        (f"apiVersion: {V3}\nspec: {{}}\n", f'apiVersion: "{TWIN}"\nspec: {{}}\n'),
        (f"# mine\nspec:\n  value: 65000:50\napiVersion: '{V3}' # ours\n", None),
        (f"{{kind: BGPPeer, apiVersion: {V3}}}", f'{{kind: BGPPeer, apiVersion: "{TWIN}"}}'),
        (f"spec:\n  apiVersion: {V3}\n", f"spec:\n  apiVersion: {V3}\n"),
        ("apiVersion: v1\n", "apiVersion: v1\n"),
        ("- a\n", "- a\n"),
        ("", ""),
    ],
)
def test_of_yaml_nothing_changes_but_the_version(clients: str, behind: str | None) -> None:
    assert (behind or clients.replace(f"'{V3}'", f'"{TWIN}"')) == inward_yaml(clients)


def test_what_is_no_yaml_is_refused() -> None:
    with pytest.raises(InvalidInput, match="correct the YAML"):
        inward_yaml("spec: [")


def test_lists_tables_and_single_objects_are_shown_in_the_clients_version() -> None:
    listed = {"apiVersion": TWIN, "kind": "BGPPeerList", "items": [an_object(TWIN, managedFields=[entry(TWIN)])]}
    shown = {"apiVersion": V3, "kind": "BGPPeerList", "items": [an_object(V3, managedFields=[entry(V3)])]}
    assert shown == outward(listed)

    partial = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}
    table = {"kind": "Table", "apiVersion": "meta.k8s.io/v1"}
    row = {"cells": ["tor"], "object": {**partial, "metadata": {"managedFields": [entry(TWIN)]}}}
    seen = {"cells": ["tor"], "object": {**partial, "metadata": {"managedFields": [entry(V3)]}}}
    assert {**table, "rows": [seen]} == outward({**table, "rows": [row]})
    assert {**table, "rows": [{"cells": []}]} == outward({**table, "rows": [{"cells": []}]})


def test_a_manager_that_wrote_under_both_names_is_shown_once() -> None:
    entries = [
        entry(V3, "kubectl", "node", time="2026-01-02T00:00:00Z"),
        entry(TWIN, "kubectl", "peerIP", time="2026-01-01T00:00:00Z"),
        entry(TWIN, "other", "asNumber"),
    ]
    shown = outward(an_object(TWIN, managedFields=entries))["metadata"]["managedFields"]
    both = entry(V3, "kubectl", "node", "peerIP", time="2026-01-02T00:00:00Z")
    assert [both, entry(V3, "other", "asNumber")] == shown


def test_fields_of_one_manager_are_joined_at_every_depth() -> None:
    one, other = entry(V3), entry(TWIN)
    one["fieldsV1"] = {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}
    other["fieldsV1"] = {"f:metadata": {"f:labels": {"f:b": {}}}, "f:spec": {}}
    shown = outward(an_object(TWIN, managedFields=[one, other]))["metadata"]["managedFields"][0]["fieldsV1"]
    assert {"f:metadata": {"f:labels": {".": {}, "f:a": {}, "f:b": {}}}, "f:spec": {}} == shown


def test_an_applied_configuration_names_the_version_of_whoever_reads_it() -> None:
    name = "kubectl.kubernetes.io/last-applied-configuration"
    written = {name: f'{{"apiVersion":"{TWIN}","kind":"BGPPeer"}}'}
    shown = {name: f'{{"apiVersion":"{V3}","kind":"BGPPeer"}}'}
    assert written == inward(an_object(V3, annotations=dict(shown)))["metadata"]["annotations"]
    assert shown == outward(an_object(TWIN, annotations=written))["metadata"]["annotations"]


def test_a_refusal_speaks_of_the_clients_version() -> None:
    told = {"kind": "Status", "apiVersion": "v1", "message": 'BGPPeer in version "v3crd" cannot be handled'}
    assert 'BGPPeer in version "v3" cannot be handled' == outward(told)["message"]
    cause = {"field": "f:spec", "message": f'conflict with "one" using {TWIN}'}
    shown = outward({"kind": "Status", "details": {"causes": [cause, {"field": "f:x"}]}})["details"]["causes"]
    assert [{**cause, "message": f'conflict with "one" using {V3}'}, {"field": "f:x"}] == shown
    assert f"a warning about {V3}" == outward_text(f"a warning about {TWIN}")
