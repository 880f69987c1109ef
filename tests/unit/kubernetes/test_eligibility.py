# SPDX-License-Identifier: Apache-2.0
"""Which nodes may attract traffic, as Kubernetes' cloud controllers have it."""

import msgspec
import pytest

from buoy.kubernetes.eligibility import exclusion, translate_node
from buoy.model.address import Address, Prefix
from buoy.model.proxied import Eligibility
from tests.unit.kubernetes.making import node

LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"


@pytest.mark.parametrize("value", ["true", "True", "1", "t", "", "yes", "no", "exclude"])
def test_the_label_excludes(value: str) -> None:
    assert f"label {LABEL}={value}" == exclusion(node(labels={LABEL: value}))


@pytest.mark.parametrize("value", ["false", "False", "FALSE", "f", "F", "0"])
def test_the_label_with_a_value_that_go_reads_as_false_does_not_exclude(value: str) -> None:
    assert "" == exclusion(node(labels={LABEL: value}))


def test_a_node_that_the_autoscaler_is_about_to_remove_is_excluded() -> None:
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}
    assert "taint ToBeDeletedByClusterAutoscaler" == exclusion(node(spec={"taints": [taint]}))


def test_a_node_that_is_being_deleted_is_excluded_while_a_finalizer_keeps_it() -> None:
    going = msgspec.structs.replace(node().metadata, deletion_timestamp="2026-11-21T12:00:00Z", finalizers=("x/y",))
    assert "it is being deleted" == exclusion(msgspec.structs.replace(node(), metadata=going))


@pytest.mark.parametrize(
    ("status", "expected"),
    [("True", "condition NetworkUnavailable: no routes"), ("False", ""), ("Unknown", "")],
)
def test_a_node_without_network_is_excluded(status: str, expected: str) -> None:
    condition = {"type": "NetworkUnavailable", "status": status, "message": "no routes"}
    assert expected == exclusion(node(status={"conditions": [condition]}))


def test_neither_cordoning_nor_not_being_ready_excludes() -> None:
    made = node(spec={"unschedulable": True}, status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    assert "" == exclusion(made)


def test_a_node_has_its_internal_addresses_and_its_pods_prefixes() -> None:
    addresses = [
        ("InternalIP", "192.0.2.51"),
        ("Hostname", "node-1"),
        ("InternalIP", "2001:db8::51"),
        ("ExternalIP", "x"),
    ]
    made = node(
        spec={"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "2001:db8:1::/64"]},
        status={"addresses": [{"type": kind, "address": address} for kind, address in addresses]},
    )
    expected = Eligibility(
        node="node-1",
        addresses=(Address("192.0.2.51"), Address("2001:db8::51")),
        prefixes=(Prefix("10.244.1.0/24"), Prefix("2001:db8:1::/64")),
    )
    assert expected == translate_node(made)


def test_what_is_no_address_and_no_prefix_is_left_out() -> None:
    wrong = {"addresses": [{"type": "InternalIP", "address": "node-1.example.com"}]}
    assert Eligibility(node="node-1") == translate_node(node(spec={"podCIDRs": ["10.244"]}, status=wrong))


def test_an_old_node_has_one_prefix() -> None:
    assert (Prefix("10.244.1.0/24"),) == translate_node(node(spec={"podCIDR": "10.244.1.0/24"})).prefixes
