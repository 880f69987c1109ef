# SPDX-License-Identifier: Apache-2.0
"""Objects that no API server would take, written into its etcd by hand."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.kubernetes.cluster import Cluster


@contextmanager
def in_etcd(cluster: Cluster, found: dict[str, Any]) -> Iterator[None]:
    """Have objects stand in etcd, by their keys beneath ``/registry/``, while the block lasts."""
    text = json.dumps(found)
    cluster.on("controller", "python3", "-c", _PROGRAM, "put", text)
    try:
        yield
    finally:
        cluster.on("controller", "python3", "-c", _PROGRAM, "deleterange", text)


def compact(cluster: Cluster) -> None:
    """Let etcd forget its history."""
    cluster.on("controller", "python3", "-c", _COMPACT)


def nonsense(address: str) -> dict[str, Any]:
    """Return objects of the kinds that agents read, each wrong in its own way, by their keys; one claims an address."""
    pools = {"odd": {"prefixes": "all", "priority": "x"}, "nets": {"prefixes": ["nonsense"]}}
    peer, claim = {"address": "192.0.2.300", "asn": -5}, {"address": "zzz", "owners": [{"kind": 7}]}
    return {
        **{f"buoy.dev/pools/{name}": _object("Pool", "buoy.dev/v1", name, spec) for name, spec in pools.items()},
        "buoy.dev/peers/odd": _object("Peer", "buoy.dev/v1", "odd", peer),
        "buoy.dev/serviceips/odd": _object("ServiceIP", "buoy.dev/v1", "odd", claim),
        "projectcalico.org/bgppeers/odd": _object("BGPPeer", "projectcalico.org/v3", "odd", {"peerIP": {"a": 1}}),
        "metallb.io/ipaddresspools/default/odd": _object(
            "IPAddressPool", "metallb.io/v1beta1", "odd", {"addresses": [5]}, namespace="default"
        ),
        "services/specs/default/odd": _odd_service(address),
        "endpointslices/default/odd": _odd_slice(),
    }


def _odd_service(address: str) -> dict[str, Any]:
    ports = [{"port": 99999, "protocol": "XXX"}, {"port": -1}]
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "none",
        "clusterIPs": ["garbage"],
        "ports": ports,
        "externalIPs": ["no"],
    }
    ingress = [{"ip": "no.ip"}, {"ip": address, "ipMode": "Wat"}, {"hostname": ""}]
    return {
        **_object("Service", "v1", "odd", spec, namespace="default"),
        "status": {"loadBalancer": {"ingress": ingress}},
    }


def _odd_slice() -> dict[str, Any]:
    of_kept = {"namespace": "default", "labels": {"kubernetes.io/service-name": "kept"}}
    said = {
        "endpoints": [{"addresses": ["nope"], "nodeName": "node-1"}],
        "addressType": "What",
        "ports": [{"port": -4}],
    }
    return {**_object("EndpointSlice", "discovery.k8s.io/v1", "odd", None, **of_kept), **said}


def _object(kind: str, version: str, name: str, spec: object, **metadata: object) -> dict[str, Any]:
    named = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-11-21T12:00:00Z", **metadata}
    return {"apiVersion": version, "kind": kind, "metadata": named, "spec": spec}


_ASK = """
import base64, json, sys, urllib.request
def ask(what, **body):
    request = urllib.request.Request("http://127.0.0.1:2379/v3/kv/" + what, json.dumps(body).encode())
    return json.load(urllib.request.urlopen(request))
def code(text):
    return base64.b64encode(text.encode()).decode()
"""
_PROGRAM = (
    _ASK
    + """
for key, value in json.loads(sys.argv[2]).items():
    value = {"value": code(json.dumps(value))} if sys.argv[1] == "put" else {}
    ask(sys.argv[1], key=code("/registry/" + key), **value)
"""
)
_COMPACT = _ASK + 'ask("compaction", revision=ask("range", key=code("/"))["header"]["revision"])'
