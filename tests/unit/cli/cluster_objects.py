# SPDX-License-Identifier: Apache-2.0
"""The objects of a small cluster, as its API server has them: two nodes with agents, a router, a pool."""

from typing import Any

from buoy.cli.foresight import Asked, State, foresee
from buoy.cli.plan import Line, lines
from buoy.controller.reading import Ours
from buoy.kubernetes.changes import INGRESSES, Change
from buoy.kubernetes.foreseen import PODS
from buoy.kubernetes.inventory import Inventory, Json
from buoy.kubernetes.resources import (
    ADDRESS_POOLS,
    BGP_CONFIGURATIONS,
    BGP_PEERS,
    KINDS,
    NAMESPACES,
    NODES,
    SERVICES,
    SLICES,
)
from buoy.kubernetes.translate import TranslationSettings
from buoy.store.api_names import ObjectName, Resource
from tests.unit.controller.cluster import START, run

OWN = {kind.kind: kind.resource for kind in KINDS}
WHERE: dict[str, Resource] = {
    "Service": SERVICES,
    "Node": NODES,
    "Namespace": NAMESPACES,
    "EndpointSlice": SLICES,
    "Ingress": INGRESSES,
    "Pod": PODS,
    "BGPConfiguration": BGP_CONFIGURATIONS,
    "BGPPeer": BGP_PEERS,
    "IPAddressPool": ADDRESS_POOLS,
    **OWN,
}
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
ROUTER = "192.0.2.254"


def made(kind: str, name: str, labels: Json | None = None, **content: Any) -> Change:  # noqa: ANN401  JSON
    """Return an object; of a kind with namespaces it stands in `shop`."""
    resource = WHERE[kind]
    namespace = "shop" if resource.namespaced else ""
    metadata = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        **({"labels": labels} if labels else {}),
    }
    return Change(resource, ObjectName(namespace, name), {"metadata": metadata, **content})


def service(name: str, **spec: Any) -> Change:  # noqa: ANN401  JSON
    """Return a Service of type LoadBalancer for the pods labelled ``app: NAME``."""
    wanted = {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80}], **spec}
    return made("Service", name, spec={**wanted, "clusterIP": "10.96.0.10"})


def pod(name: str, app: str, node: str, *, ready: bool = True) -> Change:
    """Return a pod."""
    status = {"podIPs": [{"ip": "10.244.0.1"}], "conditions": [{"type": "Ready", "status": str(ready)}]}
    return made("Pod", name, {"app": app}, spec={"nodeName": node}, status=status)


def cluster(*more: Change) -> Inventory:
    """Return a cluster with these objects, too, before anybody did something about them."""
    addresses = {"node-1": "192.0.2.11", "node-2": "192.0.2.12"}
    nodes = [
        change
        for name, address in addresses.items()
        for change in (
            made("Node", name, status={"addresses": [{"type": "InternalIP", "address": address}]}),
            made("NodeStatus", name, spec={"addresses": [address]}),
        )
    ]
    objects = Inventory()
    for each in (
        made("Namespace", "shop"),
        made("Pool", "public", spec={"prefixes": ["203.0.113.0/29"]}),
        made("Peer", "tor", spec={"address": ROUTER, "asn": 64511}),
        *nodes,
        *more,
    ):
        objects.put(each.resource, each.name, each.body)
    return objects


def asked(*changes: Change, delete: bool = False) -> Asked:
    return Asked(changes, delete, Ours(), TranslationSettings(), frozenset({"node-1", "node-2"}))


def settled(*more: Change) -> Inventory:
    """Return a cluster in which these objects were applied, and the controller has done what it does."""
    objects = cluster()
    pods = [each for each in more if each.resource == PODS]
    for each in pods:
        objects.put(each.resource, each.name, each.body)
    run(foresee(objects, asked(*(each for each in more if each not in pods)), START))
    return objects


def told(objects: Inventory, *changes: Change, delete: bool = False) -> list[Line]:
    """Return what is told of a change, which is made to the objects."""
    before, after = both(objects, *changes, delete=delete)
    return list(lines(before, after))


def both(objects: Inventory, *changes: Change, delete: bool = False) -> tuple[State, State]:
    return run(foresee(objects, asked(*changes, delete=delete), START))
