# SPDX-License-Identifier: Apache-2.0
"""Objects as the API server sends them, made from the few words a test is about."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from buoy.kubernetes import own
from buoy.kubernetes.endpoints import SERVICE_LABEL
from buoy.kubernetes.foreign import BGPConfiguration, BGPFilter, BGPPeer, IPAddressPool
from buoy.kubernetes.objects import EndpointSlice, Node, Service
from buoy.kubernetes.resources import kind_at
from buoy.model import documents
from buoy.model.documents import Document
from buoy.store.api_names import ObjectName

WEB = ObjectName("shop", "web")
READY = {"ready": True}
NOT_READY = {"ready": False}
DRAINING = {"ready": False, "serving": True, "terminating": True}


def service(
    name: ObjectName = WEB,
    ingress: Sequence[Mapping[str, Any]] = (),
    annotations: Mapping[str, str] | None = None,
    **spec: Any,  # noqa: ANN401
) -> Service:
    """A Service; by default a load balancer with one cluster IP and port 80."""
    whole = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 80}]} | spec
    return msgspec.convert(
        {
            "metadata": {"name": name.name, "namespace": name.namespace, "annotations": annotations},
            "spec": whole,
            "status": {"loadBalancer": {"ingress": list(ingress)}},
        },
        Service,
    )


def endpoint(node: str | None, conditions: Mapping[str, bool] | None = None) -> dict[str, Any]:
    """An endpoint on a node; without conditions nobody says anything of it."""
    return {"addresses": ["10.244.0.5"], "nodeName": node, "conditions": conditions}


def endpoints(
    *found: Mapping[str, Any],
    of: str = "web",
    name: str = "web-1",
    family: str = "IPv4",
    namespace: str = "shop",
    ports: Sequence[Mapping[str, Any]] = (),
) -> EndpointSlice:
    """A slice of a Service."""
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": namespace, "labels": {SERVICE_LABEL: of}},
            "addressType": family,
            "endpoints": list(found),
            "ports": list(ports),
        },
        EndpointSlice,
    )


def node(name: str = "node-1", labels: Mapping[str, str] | None = None, **parts: Any) -> Node:  # noqa: ANN401
    """A node; `parts` are its spec and status."""
    return msgspec.convert({"metadata": {"name": name, "labels": labels}, **parts}, Node)


def configuration(name: str = "default", **spec: Any) -> BGPConfiguration:  # noqa: ANN401
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, BGPConfiguration)


def peer(name: str = "tor", **spec: Any) -> BGPPeer:  # noqa: ANN401
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, BGPPeer)


def bgp_filter(name: str = "guard", **spec: Any) -> BGPFilter:  # noqa: ANN401
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, BGPFilter)


def address_pool(name: str = "public", **spec: Any) -> IPAddressPool:  # noqa: ANN401
    return msgspec.convert({"metadata": {"name": name, "namespace": "metallb-system"}, "spec": spec}, IPAddressPool)


def stored(document: Document, revision: int = 1) -> Any:  # noqa: ANN401  structs made at run time
    """A document of Buoy's own as the object that the API server has for it."""
    path = documents.path(document)
    made = own.encode(path, document)
    made["metadata"]["resourceVersion"] = str(revision)
    return msgspec.convert(made, own.STRUCTS[kind_at(path).resource])
