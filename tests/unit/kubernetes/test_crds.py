# SPDX-License-Identifier: Apache-2.0
"""The CRDs that are installed are those that the structs make."""

from pathlib import Path

import pytest

from buoy.kubernetes.crds import definitions, text

WRITTEN = Path(__file__).resolve().parents[3] / "packaging" / "kubernetes" / "crds"


@pytest.mark.parametrize("name", sorted(definitions()))
def test_what_is_packaged_is_what_the_structs_say(name: str) -> None:
    # python -m buoy.kubernetes.crds packaging/kubernetes/crds
    assert text(definitions()[name]) == (WRITTEN / name).read_text()


def test_explain_says_what_a_field_means() -> None:
    spec = schema(definitions()["pools.buoy.dev.yaml"])
    assert isinstance(spec, dict)
    assert (
        "Seconds until a released address is given to somebody else." == spec["properties"]["holdDown"]["description"]
    )


def test_every_field_of_our_kinds_is_explained() -> None:
    ours = {name: made for name, made in definitions().items() if name.endswith(".buoy.dev.yaml")}
    assert [] == [f"{name}{path}" for name, made in ours.items() for path in unexplained(schema(made))]


def test_nothing_else_is_packaged_there() -> None:
    assert sorted(definitions()) == sorted(path.name for path in WRITTEN.glob("*.yaml"))


def test_fields_of_the_model_are_in_the_schema_by_their_kubernetes_names() -> None:
    spec = definitions()["pools.buoy.dev.yaml"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
        "spec"
    ]
    assert {"prefixes", "namespaceSelectors", "holdDown", "avoidEndAddresses"} < set(spec["properties"])
    assert {"name", "schema"}.isdisjoint(spec["properties"])


def test_every_text_list_and_mapping_has_a_greatest_size() -> None:
    unbounded = [f"{name}{path}" for name, made in definitions().items() for path in without_bound(schema(made))]
    assert [] == unbounded


def schema(made: dict[str, object]) -> object:
    found: object = made
    for step in ("spec", "versions", 0, "schema", "openAPIV3Schema", "properties", "spec"):
        found = found[step]  # type: ignore[index]
    return found


def unexplained(found: object, at: str = "") -> list[str]:
    if not isinstance(found, dict):
        return []
    fields = found.get("properties", {})
    wrong = [f"{at}.{name}" for name, part in fields.items() if not part.get("description")]
    inner = {**fields, "[]": found.get("items")}
    return wrong + [each for name, part in inner.items() for each in unexplained(part, f"{at}.{name}")]


def without_bound(found: object, at: str = "") -> list[str]:
    if not isinstance(found, dict):
        return []
    bounds = {"string": {"maxLength", "enum", "format"}, "array": {"maxItems"}}.get(str(found.get("type")), set())
    wrong = [at] if bounds and bounds.isdisjoint(found) else []
    inner = {**found.get("properties", {}), "[]": found.get("items"), "{}": found.get("additionalProperties")}
    return wrong + [each for name, part in inner.items() for each in without_bound(part, f"{at}.{name}")]
