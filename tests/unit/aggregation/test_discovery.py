# SPDX-License-Identifier: Apache-2.0
"""What clients are told there is."""

import json

import pytest

from buoy.aggregation import discovery
from buoy.aggregation.versions import Json

OLD = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
VERBS = ["get", "list", "patch"]
BEHIND: Json = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": "projectcalico.org/v3crd",
    "resources": [
        {
            "name": "bgpconfigurations/status", "singularName": "", "namespaced": False, "kind": "BGPConfiguration",
            "verbs": ["get"],
        },
        {
            "name": "bgpconfigurations", "singularName": "bgpconfiguration", "namespaced": False,
            "kind": "BGPConfiguration", "verbs": VERBS, "shortNames": ["bgpconfig"], "storageVersionHash": "x=",
        },
        {
            "name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": VERBS,
            "group": "projectcalico.org", "version": "v3crd",
        },
        {
            "name": "things/scale", "singularName": "", "namespaced": True, "kind": "Scale", "verbs": ["get"],
            "group": "autoscaling", "version": "v1",
        },
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (discovery.AGGREGATED, discovery.AGGREGATED),
        (f"{OLD},{discovery.AGGREGATED}", discovery.AGGREGATED),
        ("application/json; g=apidiscovery.k8s.io; v=v2; as=APIGroupDiscoveryList, */*", discovery.AGGREGATED),
        (OLD, ""),
        (f"{OLD},application/json", "application/json"),
        (f"application/json;q=0.9,{discovery.AGGREGATED}", "application/json"),
        ("application/vnd.kubernetes.protobuf", ""),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_discovery_has_the_form_that_the_client_likes_best(accept: str, form: str) -> None:
    assert form == discovery.form(accept)


def test_the_legacy_form_is_the_crds_in_our_version() -> None:
    served = discovery.resources(BEHIND)
    assert "projectcalico.org/v3" == served["groupVersion"]
    assert "v3crd" not in json.dumps(served)
    assert [each["name"] for each in BEHIND["resources"]] == [each["name"] for each in served["resources"]]
    assert "v3" == served["resources"][2]["version"]
    assert "v1" == served["resources"][3]["version"]


def test_the_aggregated_form_has_subresources_within_their_resource() -> None:
    served = discovery.aggregated(BEHIND)["items"][0]
    (version,) = served["versions"]
    bgp, things = version["resources"]
    kind = {"group": "projectcalico.org", "version": "v3"}
    assert ("projectcalico.org", "v3") == (served["metadata"]["name"], version["version"])
    assert {
        "resource": "bgpconfigurations",
        "responseKind": {**kind, "kind": "BGPConfiguration"},
        "scope": "Cluster",
        "singularResource": "bgpconfiguration",
        "verbs": VERBS,
        "shortNames": ["bgpconfig"],
        "subresources": [
            {"subresource": "status", "responseKind": {**kind, "kind": "BGPConfiguration"}, "verbs": ["get"]}
        ],
    } == bgp
    assert ("Namespaced", {**kind, "kind": "Thing"}) == (things["scope"], things["responseKind"])
    assert {"group": "autoscaling", "version": "v1", "kind": "Scale"} == things["subresources"][0]["responseKind"]


def test_a_cluster_without_the_crds_has_no_resources() -> None:
    assert [] == discovery.resources({"resources": None})["resources"]
    assert [] == discovery.aggregated({})["items"][0]["versions"][0]["resources"]


def test_schemas_are_where_kube_apiserver_looks_for_them_with_the_crds_hash() -> None:
    behind = {
        "paths": {
            "apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=1"},
            "apis/projectcalico.org/v3crd": {"serverRelativeURL": "/openapi/v3/apis/projectcalico.org/v3crd?hash=2"},
        }
    }
    there = {"serverRelativeURL": "/openapi/v3/apis/projectcalico.org/v3?hash=2"}
    assert {"paths": {"apis/projectcalico.org/v3": there}} == discovery.openapi_index(behind)
    assert {"paths": {}} == discovery.openapi_index({"paths": {}})


def test_schemas_name_our_version_alone() -> None:
    behind = b'{"/apis/projectcalico.org/v3crd/x": {"operationId": "listProjectcalicoOrgV3crdX", "version": "v3crd"}}'
    served = b'{"/apis/projectcalico.org/v3/x": {"operationId": "listProjectcalicoOrgV3X", "version": "v3"}}'
    assert served == discovery.openapi(behind)
