# SPDX-License-Identifier: Apache-2.0
"""The CustomResourceDefinitions of Buoy's own kinds and of the foreign ones, as YAML files.

Promises that they follow from the structs, so none can be forgotten:
``python -m buoy.kubernetes.crds packaging/kubernetes/crds`` writes them, and a test
compares. Foreign kinds are for clusters without Calico or MetalLB; where those are
installed, theirs are there already and stay.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from buoy.kubernetes import descriptions, own
from buoy.kubernetes.definitions import LOOKS, Look
from buoy.kubernetes.foreign_definitions import FOREIGN
from buoy.kubernetes.resources import CALICO, CALICO_TWIN, KINDS, Kind
from buoy.kubernetes.schema import Schema, struct_schema
from buoy.store.api_names import Resource

_HEAD = (
    "# SPDX-License-Identifier: Apache-2.0\n# Written by python -m buoy.kubernetes.crds: change the structs instead.\n"
)


def definitions() -> dict[str, dict[str, Any]]:
    """Return every CRD by the name of its file."""
    made = [_own(kind, LOOKS[kind.kind]) for kind in KINDS] + [
        definition(
            each.resource, each.kind, each.look, whole(each.says, struct_schema(each.spec), each.look, required=False)
        )
        for each in FOREIGN
    ]
    return {f"{each['metadata']['name']}.yaml": each for each in made}


def definition(resource: Resource, kind: str, look: Look, schema: Schema) -> dict[str, Any]:
    """Return one CRD; `schema` is that of a whole object."""
    columns = [
        {"name": each.name, "jsonPath": each.path, "type": each.type, **({"priority": 1} if each.wide else {})}
        for each in look.columns
    ]
    version: dict[str, Any] = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
    }
    if look.status:
        version["subresources"] = {"status": {}}
    versions = [version]
    if resource.group == CALICO:
        # what stays the API server's own if another server is put before the first (docs/adr/0009)
        versions.append({**version, "name": CALICO_TWIN, "storage": False})
    names = {"kind": kind, "listKind": f"{kind}List", "plural": resource.plural, "singular": look.singular}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": str(resource)},
        "spec": {
            "group": resource.group,
            "names": {**names, **({"shortNames": list(look.short)} if look.short else {})},
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": versions,
        },
    }


def whole(description: str, spec: Schema, look: Look, *, required: bool) -> Schema:
    """Return the schema of an object with this spec."""
    made: Schema = {
        "type": "object",
        "description": description,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
        },
    }
    if look.status:
        made["properties"]["status"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if required:
        made["required"] = ["spec"]
    if look.rule:
        rule, message = look.rule
        made["x-kubernetes-validations"] = [{"rule": rule, "message": message}]
    return made


def _own(kind: Kind, look: Look) -> dict[str, Any]:
    spec = own.spec_struct(kind)
    required = any(field.required for field in msgspec.structs.fields(spec))
    schema = whole(descriptions.of_struct(kind.struct), struct_schema(spec), look, required=required)
    return definition(kind.resource, kind.kind, look, schema)


def text(made: dict[str, Any]) -> str:
    """Return a CRD as the text of its file."""
    # through JSON: what occurs twice is written twice, for YAML's anchors please no reader
    return _HEAD + yaml.safe_dump(json.loads(json.dumps(made)), sort_keys=False, width=100)


def main(directory: Path) -> None:
    """Write every CRD into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, made in definitions().items():
        (directory / name).write_text(text(made))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
