# SPDX-License-Identifier: Apache-2.0
"""Calico's selectors."""

import pytest

from buoy.kubernetes.selectors import selector
from buoy.model.errors import InvalidInput

LABELS = {"role": "edge", "rack": "r1", "kubernetes.io/hostname": "node-1", "all": "x"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("all()", True),
        ("global()", True),
        ("!all()", False),
        ("role == 'edge'", True),
        ('role == "core"', False),
        ("role=='edge'&&rack=='r1'", True),
        ("role != 'edge'", False),
        ("missing != 'edge'", True),
        ("missing == 'edge'", False),
        ("has(role)", True),
        ("has(kubernetes.io/hostname)", True),
        ("has(missing)", False),
        ("!has(missing)", True),
        ("rack in {'r1', 'r2'}", True),
        ("rack in { 'r2' }", False),
        ("rack not in {'r2'}", True),
        ("missing not in {'r2'}", True),
        ("missing in {'r2'}", False),
        ("rack in {}", False),
        ("role contains 'dg'", True),
        ("missing contains 'dg'", False),
        ("role starts with 'ed'", True),
        ("role ends with 'ed'", False),
        ("all == 'x'", True),
        ("role == 'core' || rack == 'r1'", True),
        ("role == 'core' || rack == 'r1' && has(missing)", False),
        ("(role == 'core' || rack == 'r1') && has(role)", True),
        ("!(role == 'core') && !has(missing)", True),
    ],
)
def test_selectors(text: str, matches: bool) -> None:
    assert matches == selector(text, "spec.nodeSelector")(LABELS)


@pytest.mark.parametrize(
    "text",
    [
        "role",
        "role =",
        "role == edge",
        "has(role",
        "has()",
        "&& has(role)",
        "(has(role)",
        "has(role) has(rack)",
        "rack in 'r1'",
        "rack in {'r1'",
        "role ~ 'x'",
        "role starts 'x'",
        "role == 'x",
    ],
)
def test_what_is_no_selector_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        selector(text, "spec.nodeSelector")
    assert ("spec.nodeSelector", text) == (refused.value.field, refused.value.value)
