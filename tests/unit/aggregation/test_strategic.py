# SPDX-License-Identifier: Apache-2.0
"""Strategic merge patches, as kube-apiserver's own kinds take them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.aggregation.strategic import as_merge_patch, difference, is_merge_patch, merge
from buoy.aggregation.versions import Json
from buoy.model.errors import InvalidInput

CIDRS = [{"cidr": "192.0.2.0/24"}]
OTHERS = [{"cidr": "198.51.100.0/24"}, {"cidr": "2001:db8::/64"}]
OWNER, SECOND = {"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}


def merged_by_rfc7386(target: Json, patch: Json) -> Json:
    """RFC 7386, section 2, as it stands there."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merged_by_rfc7386(target.get(name), value)
    return target


def as_json(value: Json) -> str:
    """What tells 1 from true and from 1.0, as Python's == does not."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("current", "patch", "expected"),
    [
        # what the documents print: lists of ranges are replaced
        ({"spec": {"a": CIDRS}}, {"spec": {"a": OTHERS}}, {"spec": {"a": OTHERS}}),
        ({"spec": {"a": CIDRS, "n": 1}}, {"spec": {"b": OTHERS}}, {"spec": {"a": CIDRS, "b": OTHERS, "n": 1}}),
        ({"spec": {"a": CIDRS}}, {"spec": {"a": None}}, {"spec": {}}),
        ({"spec": {"a": CIDRS}}, {"spec": None}, {}),
        ({}, {"spec": {"a": None, "b": {"c": None}}}, {"spec": {"b": {}}}),
        ({"spec": 1}, {"spec": {"a": None, "b": 2}}, {"spec": {"b": 2}}),
        ({"spec": {"a": 1}}, {"spec": 2}, {"spec": 2}),
        ({"spec": {"a": True}}, {"spec": {"a": 1}}, {"spec": {"a": 1}}),
        # directives for objects
        ({"spec": {"a": 1, "b": 2}}, {"spec": {"$patch": "replace", "b": 3, "c": None}}, {"spec": {"b": 3}}),
        ({"spec": {"a": 1, "b": 2}}, {"spec": {"$patch": "delete"}}, {"spec": {}}),
        ({}, {"spec": {"$patch": "replace", "b": {"$patch": "replace", "c": 1}}}, {"spec": {"b": {"c": 1}}}),
        ({"a": 1}, {"$patch": "replace", "b": 2}, {"b": 2}),
        ({"spec": {"a": 1, "b": 2}}, {"spec": {"$retainKeys": ["b", "c"], "c": 3}}, {"spec": {"b": 2, "c": 3}}),
        ({"spec": {"a": 1, "b": 2}}, {"spec": {"$retainKeys": ["b"], "a": None}}, {"spec": {"b": 2}}),
        # lists without a key are replaced, and may say so of themselves
        ({"spec": {"a": CIDRS}}, {"spec": {"a": [{"$patch": "replace"}, *OTHERS]}}, {"spec": {"a": OTHERS}}),
        # finalizers are a set
        (
            {"metadata": {"finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b", "a"]}},
            {"metadata": {"finalizers": ["a", "b"]}},
        ),
        ({"metadata": {}}, {"metadata": {"finalizers": ["b", "b"]}}, {"metadata": {"finalizers": ["b"]}}),
        ({"metadata": {"finalizers": ["a"]}}, {"metadata": {"finalizers": None}}, {"metadata": {}}),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "c"]}},
            {"metadata": {"finalizers": ["b"]}},
        ),
        ({"metadata": {}}, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, {"metadata": {}}),
        (
            {"metadata": {"finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"], "$setElementOrder/finalizers": ["b", "a"]}},
            {"metadata": {"finalizers": ["a", "b"]}},
        ),
        # owners are told apart by uid
        (
            {"metadata": {"ownerReferences": [OWNER]}},
            {"metadata": {"ownerReferences": [SECOND, {"uid": "1", "name": "z", "controller": True}]}},
            {"metadata": {"ownerReferences": [{"uid": "1", "name": "z", "controller": True}, SECOND]}},
        ),
        (
            {"metadata": {"ownerReferences": [OWNER, SECOND]}},
            {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "1"}]}},
            {"metadata": {"ownerReferences": [SECOND]}},
        ),
        (
            {"metadata": {"ownerReferences": [OWNER]}},
            {"metadata": {"ownerReferences": [{"$patch": "replace"}, SECOND]}},
            {"metadata": {"ownerReferences": [SECOND]}},
        ),
        (
            {},
            {"metadata": {"ownerReferences": [OWNER, {"$patch": "delete", "uid": "2"}]}},
            {"metadata": {"ownerReferences": [OWNER]}},
        ),
        # conditions by type
        (
            {"status": {"conditions": [{"type": "A", "status": "True"}]}},
            {"status": {"conditions": [{"type": "A", "status": "False"}, {"type": "B"}]}},
            {"status": {"conditions": [{"type": "A", "status": "False"}, {"type": "B"}]}},
        ),
        # the same names elsewhere are data
        ({"spec": {"finalizers": ["a"]}}, {"spec": {"finalizers": ["b"]}}, {"spec": {"finalizers": ["b"]}}),
    ],
)
def test_patch(current: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert as_json(expected) == as_json(merge(current, patch))
    assert as_json(expected) == as_json(merged_by_rfc7386(current, as_merge_patch(current, patch)))


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"spec": {"$patch": "merge"}}, "spec.$patch"),
        ({"$patch": None}, "$patch"),
        ({"spec": {"$retainKeys": ["a"], "b": 1}}, "spec.$retainKeys"),
        ({"spec": {"$retainKeys": "a"}}, "spec.$retainKeys"),
        ({"spec": {"a": [{"$patch": "delete", "cidr": "192.0.2.0/24"}]}}, "spec.a.directive"),
        ({"spec": {"a": [{"b": {"$patch": "replace"}}]}}, "spec.a.directive"),
        ({"metadata": {"finalizers": [{"$patch": "replace"}]}}, "metadata.finalizers"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}, "metadata.finalizers"),
        ({"metadata": {"ownerReferences": ["1"]}}, "metadata.ownerReferences.item"),
        ({"metadata": {"ownerReferences": [{"name": "a"}]}}, "metadata.ownerReferences.uid"),
        ({"metadata": {"ownerReferences": [{"$patch": "merge", "uid": "1"}]}}, "metadata.ownerReferences.$patch"),
    ],
)
def test_a_patch_that_means_nothing_is_refused_by_its_field(patch: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        merge({"spec": {"a": CIDRS}, "metadata": {"finalizers": ["a"]}}, patch)
    assert field == refused.value.field


@pytest.mark.parametrize(
    ("patch", "plain"),
    [
        ({"spec": {"serviceClusterIPs": CIDRS}}, True),
        ({"metadata": {"labels": {"a": None}}}, True),
        ({"metadata": {"finalizers": []}}, False),
        ({"metadata": {"ownerReferences": None}}, False),
        ({"spec": {"finalizers": []}}, True),
        ({"spec": {"a": {"$patch": "replace"}}}, False),
        ({"spec": {"a": [{"b": [{"$patch": "replace"}]}]}}, False),
        ({"metadata": {"$setElementOrder/finalizers": []}}, False),
        ({"spec": {"$other": 1}}, True),
    ],
)
def test_only_what_rfc_7386_means_too_goes_without_the_object(patch: dict[str, Any], plain: bool) -> None:
    assert plain == is_merge_patch(patch)


SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b", 1.0])
KEYS = st.sampled_from("abc")
FINALIZERS = st.lists(st.sampled_from("xyz"), max_size=3, unique=True)
OWNERS = st.lists(
    st.fixed_dictionaries({"uid": st.sampled_from("123"), "name": st.sampled_from("pq")}),
    max_size=3,
    unique_by=lambda owner: owner["uid"],
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


def without_nulls(value: Json) -> Json:
    """An object as the API server keeps it: no member is null."""
    if not isinstance(value, dict):
        return value
    return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}


@given(OBJECTS, OBJECTS)
def test_a_patch_without_directives_is_a_merge_patch(current: dict[str, Any], patch: dict[str, Any]) -> None:
    stored = without_nulls(current)
    assert is_merge_patch(patch)
    assert as_json(merged_by_rfc7386(stored, patch)) == as_json(merge(stored, patch))


@given(OBJECTS, OBJECTS)
def test_the_difference_of_two_objects_makes_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    before, after = without_nulls(before), without_nulls(after)
    assert as_json(after) == as_json(merged_by_rfc7386(before, difference(before, after)))
    assert {} == difference(before, before)


METADATA = st.fixed_dictionaries({}, optional={"finalizers": FINALIZERS, "ownerReferences": OWNERS, "labels": OBJECTS})
REMOVALS = st.lists(st.sampled_from("123"), max_size=2, unique=True)


@given(METADATA, METADATA, FINALIZERS, REMOVALS, st.booleans())
def test_sets_and_keyed_lists_are_what_a_naive_model_of_them_says(
    current: dict[str, Any], patch: dict[str, Any], gone: list[str], removed: list[str], replaces: bool
) -> None:
    current = without_nulls(current)
    change = dict(patch)
    change["$deleteFromPrimitiveList/finalizers"] = gone
    owners = [owner for owner in patch.get("ownerReferences", ()) if owner["uid"] not in removed]
    if "ownerReferences" in patch:
        markers = [{"$patch": "delete", "uid": uid} for uid in removed] + [{"$patch": "replace"}] * replaces
        change["ownerReferences"] = [*markers, *owners]

    result = merge({"metadata": current}, {"metadata": change})["metadata"]

    model = {owner["uid"]: owner for owner in current.get("ownerReferences", ())}
    if "ownerReferences" in patch:
        model = {} if replaces else {uid: owner for uid, owner in model.items() if uid not in removed}
        model |= {owner["uid"]: {**model.get(owner["uid"], {}), **owner} for owner in owners}
    assert model == {owner["uid"]: owner for owner in result.get("ownerReferences", ())}
    kept = (set(current.get("finalizers", ())) - set(gone)) | set(patch.get("finalizers", ()))
    assert kept == set(result.get("finalizers", ()))
    assert len(set(result.get("finalizers", ()))) == len(result.get("finalizers", ()))
