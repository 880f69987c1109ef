# SPDX-License-Identifier: Apache-2.0
"""Where endpoints stand (KEP-1672, KEP-1669)."""

import pytest

from buoy.kubernetes.endpoints import Standing, standing
from buoy.kubernetes.objects import EndpointSlice
from tests.unit.kubernetes.making import DRAINING, NOT_READY, READY, endpoint, endpoints

NODES = ("node-1", "node-2")


def stands(*slices: EndpointSlice, publish: bool = False) -> Standing:
    return standing(slices, NODES, publish=publish)


@pytest.mark.parametrize(
    ("conditions", "ready", "draining"),
    [
        (None, True, False),
        ({}, True, False),
        ({"ready": True}, True, False),
        ({"ready": False}, False, False),
        ({"ready": False, "serving": True}, False, False),
        ({"ready": False, "serving": True, "terminating": True}, False, True),
        ({"ready": False, "serving": False, "terminating": True}, False, False),
        ({"ready": False, "terminating": True}, False, False),
        ({"terminating": True}, False, True),
        ({"ready": True, "terminating": True}, False, True),
        ({"ready": True, "serving": True, "terminating": False}, True, False),
    ],
)
def test_conditions(conditions: dict[str, bool] | None, ready: bool, draining: bool) -> None:
    there = ("node-1",)
    expected = Standing(there if ready else (), there if draining else ())
    assert expected == stands(endpoints(endpoint("node-1", conditions)))


@pytest.mark.parametrize(("conditions", "ready"), [({"ready": True, "terminating": True}, True), (NOT_READY, False)])
def test_a_service_that_publishes_what_is_not_ready_says_so_in_its_slices(
    conditions: dict[str, bool], ready: bool
) -> None:
    found = stands(endpoints(endpoint("node-1", conditions)), publish=True)
    assert (("node-1",) if ready else ()) == found.ready


def test_a_node_with_one_ready_endpoint_is_not_draining() -> None:
    found = stands(endpoints(endpoint("node-1", DRAINING), endpoint("node-1", READY), endpoint("node-2", DRAINING)))
    assert Standing(("node-1",), ("node-2",)) == found


def test_an_endpoint_that_moves_between_slices_is_ready_in_either() -> None:
    before, after = endpoints(endpoint("node-1", READY)), endpoints(endpoint("node-1", NOT_READY), name="web-2")
    assert Standing(("node-1",)) == stands(before, after)


@pytest.mark.parametrize("where", [None, "", "node-9"])
def test_an_endpoint_on_no_node_that_is_known_is_elsewhere(where: str | None) -> None:
    assert Standing(elsewhere=True) == stands(endpoints(endpoint(where, READY)))


def test_a_draining_endpoint_on_an_unknown_node_counts_for_nothing() -> None:
    assert Standing() == stands(endpoints(endpoint("node-9", DRAINING)))


def test_a_slice_without_endpoints_has_none() -> None:
    assert Standing() == stands(EndpointSlice(metadata=endpoints().metadata, address_type="IPv4", endpoints=None))
