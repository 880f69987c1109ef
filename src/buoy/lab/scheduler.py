# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the scheduler: a pod that names no node gets the one with the fewest pods of those it may be on.

Knows what Deployments, StatefulSets and DaemonSets ask for: node selectors, the affinity to one node,
taints and their tolerations; not resources, priorities or spreading. It keeps nothing.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from buoy.lab.kubelet_api import Denied, KubeletApi, Object

_PENDING = "/api/v1/pods?fieldSelector=spec.nodeName=,status.phase=Pending"
_BLOCKING = ("NoSchedule", "NoExecute")
_RETRY_SECONDS = 0.5


async def run(api: KubeletApi) -> None:
    """Bind pods for ever."""
    while True:
        try:
            listed = await api.send("GET", _PENDING)
            unplaced = [pod for pod in listed["items"] if not await _bind(api, pod)]
            # one that found no node may find one later
            async with asyncio.timeout(_RETRY_SECONDS if unplaced else None):
                async for kind, pod in api.watch(_PENDING, listed["metadata"]["resourceVersion"]):
                    if kind == "ADDED" and not await _bind(api, pod):
                        break
        except (aiohttp.ClientError, OSError, Denied) as error:
            if not isinstance(error, TimeoutError):
                print(f"scheduling: {error!r}", flush=True)
            await asyncio.sleep(_RETRY_SECONDS)


async def _bind(api: KubeletApi, pod: Object) -> bool:
    """Give a pod a node; return whether there was one."""
    nodes = (await api.send("GET", "/api/v1/nodes?resourceVersion=0"))["items"]
    placed = (await api.send("GET", "/api/v1/pods?resourceVersion=0"))["items"]
    chosen = choose(pod, nodes, placed)
    if chosen:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        binding = {
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "uid": pod["metadata"]["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": chosen},
        }  # fmt: skip
        await api.send("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", binding)
    return bool(chosen)


def choose(pod: Object, nodes: Sequence[Object], placed: Sequence[Object]) -> str:
    """Return the name of the node for a pod, empty if there is none now; `placed` are all pods."""
    allowed = [node["metadata"]["name"] for node in nodes if _may_be_on(pod, node)]
    ours = [each["spec"].get("nodeName") for each in placed if _alike(pod, each)]
    every = Counter(each["spec"].get("nodeName") for each in placed)
    return min(allowed, key=lambda name: (ours.count(name), every[name], name), default="")


def _alike(pod: Object, other: Object) -> bool:
    """Tell whether pods have the same owner: those of one Deployment are spread first."""
    owners = [{each["uid"] for each in one["metadata"].get("ownerReferences", ())} for one in (pod, other)]
    return bool(owners[0] & owners[1])


def _may_be_on(pod: Object, node: Object) -> bool:
    spec, labels = pod["spec"], node["metadata"].get("labels", {})
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    named = _named(spec)
    if named and node["metadata"]["name"] not in named:
        return False
    taints = [each for each in node["spec"].get("taints", ()) if each["effect"] in _BLOCKING]
    cordon = [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
    return all(_is_tolerated(each, spec) for each in taints + cordon * bool(node["spec"].get("unschedulable")))


def _named(spec: Object) -> set[str]:
    """Return the nodes that a pod of a DaemonSet names, as its controller writes it."""
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    wanted = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", ())
    fields = [field for term in wanted for field in term.get("matchFields", ())]
    return {value for field in fields if field["key"] == "metadata.name" for value in field["values"]}


def _is_tolerated(taint: Object, spec: Object) -> bool:
    for each in spec.get("tolerations") or ():
        same_key = each.get("key") in (None, "", taint["key"])
        same_value = each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", "")
        if same_key and same_value and each.get("effect") in (None, "", taint["effect"]):
            return True
    return False


async def _main() -> None:
    async with KubeletApi(Path(sys.argv[1])) as api:
        await run(api)


if __name__ == "__main__":
    asyncio.run(_main())
