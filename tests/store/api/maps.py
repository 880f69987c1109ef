# SPDX-License-Identifier: Apache-2.0
"""ConfigMaps, which the tests write and read: objects that nobody else in a cluster cares for."""

from collections.abc import Mapping

import msgspec

from buoy.store.api_client import ApiServer
from buoy.store.api_names import ObjectName, Resource, Target

MAPS = Resource("", "v1", "configmaps", namespaced=True)


class Metadata(msgspec.Struct, rename="camel", kw_only=True):
    name: str
    namespace: str
    uid: str
    resource_version: str


class Map(msgspec.Struct):
    metadata: Metadata
    data: dict[str, str] = {}


def body(name: str, data: Mapping[str, str], revision: str = "") -> dict[str, object]:
    metadata = {"name": name, **({"resourceVersion": revision} if revision else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def at(namespace: str, name: str) -> Target:
    return MAPS.at(ObjectName(namespace, name))


async def put(api: ApiServer, namespace: str, name: str, text: str) -> Map:
    """Make or change a map as another hand would."""
    written = await api.apply(at(namespace, name), body(name, {"text": text}), Map, "another-hand", force=True)
    assert written is not None
    return written
