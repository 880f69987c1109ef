# SPDX-License-Identifier: Apache-2.0
"""The policies that are installed are those that the code makes; what they decide, a real API server shows."""

from pathlib import Path

import yaml

from buoy.kubernetes.door import policies, text

PACKAGING = Path(__file__).resolve().parents[3] / "packaging" / "kubernetes"


def test_what_is_packaged_is_what_the_code_says() -> None:
    # python -m buoy.kubernetes.door packaging/kubernetes/door.yaml
    assert text() == (PACKAGING / "door.yaml").read_text()
    assert "door.yaml" in yaml.safe_load((PACKAGING / "kustomization.yaml").read_text())["resources"]


def test_nobody_is_kept_out_by_what_cannot_be_decided() -> None:
    made = [each["spec"]["failurePolicy"] for each in policies() if each["kind"] == "ValidatingAdmissionPolicy"]
    assert {"Ignore"} == set(made)


def test_every_policy_is_bound() -> None:
    by_kind: dict[str, set[str]] = {}
    for each in policies():
        name = each["spec"].get("policyName", each["metadata"]["name"])
        by_kind.setdefault(each["kind"], set()).add(name)
    assert by_kind["ValidatingAdmissionPolicy"] == by_kind["ValidatingAdmissionPolicyBinding"]
