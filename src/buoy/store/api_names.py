# SPDX-License-Identifier: Apache-2.0
"""How things are called in a Kubernetes API server: resources, objects, subsets of them.

Promises: every path begins where the API's conventions say it does, and names are
quoted. The tricky thing is that the core group has no name and a root of its own.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote


class ObjectName(NamedTuple):
    """What tells an object from others of its resource; `namespace` is "" where there are none."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Resource(NamedTuple):
    """A resource of the API: ``Resource("", "v1", "services", True)``."""

    group: str
    """"" is the core group."""
    version: str
    plural: str
    namespaced: bool

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """What stands as ``apiVersion`` in its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "") -> str:
        """Return the path of all its objects, or of those in one namespace."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{root}{within}/{self.plural}"

    def at(self, name: ObjectName, subresource: str = "") -> "Target":
        """Return one object, or a part of it such as ``status``."""
        return Target(self, name, subresource)


class Target(NamedTuple):
    """One object of a resource, or a subresource of it."""

    resource: Resource
    name: ObjectName
    subresource: str = ""

    def __str__(self) -> str:
        part = f" ({self.subresource})" if self.subresource else ""
        return f"{self.resource} {self.name}{part}"

    @property
    def path(self) -> str:
        """Its path in the API."""
        whole = f"{self.resource.path(self.name.namespace)}/{quote(self.name.name, safe='')}"
        return f"{whole}/{self.subresource}" if self.subresource else whole


class Selection(NamedTuple):
    """Which objects of a resource: of one namespace, with labels, with fields; by default all."""

    namespace: str = ""
    labels: str = ""
    """A label selector, such as ``app=web,tier!=test``."""
    fields: str = ""
    """A field selector, such as ``spec.nodeName=node-1``."""
    optional: bool = False
    """Whether the server may lawfully not know the resource, as its CRD is not installed: then there are none."""
    twin: str = ""
    """Another version by which a server that does not know the resource may have the same objects."""

    @property
    def query(self) -> Mapping[str, str]:
        """Its part of a request's query."""
        selectors = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in selectors.items() if value}


EVERYTHING = Selection()
"""All objects of a resource."""
