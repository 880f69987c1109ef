# SPDX-License-Identifier: Apache-2.0
"""Objects that no API server would take, written into its etcd by hand.

Run as a program on the controller it puts the objects of standard input there, or, told to, deletes them.
"""

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


def broken(kind: str, version: str, name: str, spec: Any, **metadata: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an object as etcd has it."""
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
