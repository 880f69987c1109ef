# SPDX-License-Identifier: Apache-2.0
"""What kinds there are at projectcalico.org/v3, told in each way a client may ask.

Promises: what the CRDs serve as v3crd is what we serve as v3, found anew at each question,
so that a CRD that is installed later is there. The tricky thing is that kube-apiserver asks
for the aggregated form only, at ``/apis``, and that clients get from it what we said there.

Sources: kubernetes.io, "API discovery"; apimachinery's meta/v1 APIResourceList, api's apidiscovery/v2.
"""

from typing import Any

from buoy.aggregation.answers import JSON
from buoy.aggregation.versions import GROUP, SERVED, TWIN, VERSION

Json = Any

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""The media type of the aggregated form."""
OPENAPI = f"/openapi/v3/apis/{GROUP}"
"""Below it each version's schemas are served."""
OPENAPI_INDEX = "/openapi/v3"


def form(accept: str) -> str:
    """Return the media type of discovery that a client likes best of ours: `AGGREGATED`, plain JSON, or "" for none.

    Older servers ask for v2beta1 of the aggregated form alone; told no, they ask for the legacy one.
    """
    for wanted in accept.replace(" ", "").split(","):
        media, *parameters = wanted.split(";")
        if {*AGGREGATED.split(";")} <= {media, *parameters}:
            return AGGREGATED
        if media in {"", JSON, "application/*", "*/*"} and not any(each.startswith("as=") for each in parameters):
            return JSON
    return ""


def resources(behind: Json) -> Json:
    """Return the legacy form (APIResourceList) of our version, of the CRD server's for its own."""
    served = [{**each, "version": VERSION} if each.get("version") == TWIN else each for each in _resources(behind)]
    return {**behind, "groupVersion": SERVED, "resources": served}


def group() -> Json:
    """Return the group as its own document (APIGroup)."""
    version = {"groupVersion": SERVED, "version": VERSION}
    known = {"name": GROUP, "versions": [version], "preferredVersion": version}
    return {"kind": "APIGroup", "apiVersion": "v1", **known}


def groups() -> Json:
    """Return all our groups (APIGroupList): one."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]}


def aggregated(behind: Json) -> Json:
    """Return the aggregated form (APIGroupDiscoveryList) of what the CRD server says in the legacy one."""
    every = _resources(behind)
    subresources: dict[str, list[Json]] = {each["name"].partition("/")[0]: [] for each in every}
    for each in every:
        whole, _, part = each["name"].partition("/")
        if part:
            subresources[whole].append({"subresource": part, **_kind_and_verbs(each)})
    found = [
        {
            "resource": each["name"],
            **_kind_and_verbs(each),
            "scope": "Namespaced" if each["namespaced"] else "Cluster",
            "singularResource": each["singularName"],
            **{known: each[known] for known in ("shortNames", "categories") if known in each},
            "subresources": subresources[each["name"]],
        }
        for each in every
        if "/" not in each["name"]
    ]
    versions = [{"version": VERSION, "resources": found, "freshness": "Current"}]
    item = {"metadata": {"name": GROUP, "creationTimestamp": None}, "versions": versions}
    known = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2"}
    return {**known, "metadata": {}, "items": [item]}


def openapi_index(behind: Json) -> Json:
    """Return where our schemas are (the answer to ``/openapi/v3``); the CRD server's hash is passed on."""
    there = behind.get("paths", {}).get(f"apis/{GROUP}/{TWIN}", {}).get("serverRelativeURL", "")
    _, query, digest = there.partition("?")
    address = f"{OPENAPI}/{VERSION}{query}{digest}"
    return {"paths": {f"apis/{GROUP}/{VERSION}": {"serverRelativeURL": address}} if there else {}}


def openapi(behind: bytes) -> bytes:
    """Return our schemas, of the CRD server's for its version; that version's name is ours, and means nothing else."""
    twin, served = TWIN.encode(), VERSION.encode()
    return behind.replace(twin, served).replace(twin.capitalize(), served.capitalize())


def _resources(behind: Json) -> list[dict[str, Json]]:
    return list(behind.get("resources") or ())


def _kind_and_verbs(resource: dict[str, Json]) -> dict[str, Json]:
    kind = {"group": resource.get("group") or GROUP, "version": resource.get("version") or VERSION}
    if kind["version"] == TWIN:
        kind["version"] = VERSION
    return {"responseKind": {**kind, "kind": resource["kind"]}, "verbs": resource["verbs"]}
