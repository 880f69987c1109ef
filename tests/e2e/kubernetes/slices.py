# SPDX-License-Identifier: Apache-2.0
"""EndpointSlices made by hand, for Services without a selector."""

from typing import Any


def endpoints(service: str, name: str, *found: dict[str, Any], family: str = "IPv4") -> dict[str, Any]:
    """Return a slice of a Service whose endpoints answer on 8080."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": family,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(found),
    }


def endpoint(address: str, node: str = "", **conditions: bool) -> dict[str, Any]:
    """Return an endpoint; without a node nobody says where it is."""
    return {"addresses": [address], "conditions": conditions, **({"nodeName": node} if node else {})}
