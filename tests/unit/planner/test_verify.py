# SPDX-License-Identifier: Apache-2.0
"""What differs between desired and observed."""

from buoy.model.nodestate import Dnat, NodeState, Route, Table
from buoy.planner.verify import Mismatch, mismatches
from tests.unit.planner.cloud import FIXED, OTHER_FIXED, SERVICE, key

DNAT, ROUTE, EXTRA = key(Table.DNAT, SERVICE), key(Table.ROUTE, "192.0.2.1/32"), key(Table.ROUTE, "192.0.2.9/32")
DESIRED: NodeState = {DNAT: Dnat(FIXED), ROUTE: Route("tap1")}
OBSERVED: NodeState = {DNAT: Dnat(OTHER_FIXED), EXTRA: Route("tap1")}


def test_what_is_missing_other_or_left_over_is_named_in_order() -> None:
    assert (
        Mismatch(ROUTE, Route("tap1"), None),
        Mismatch(EXTRA, None, Route("tap1")),
        Mismatch(DNAT, Dnat(FIXED), Dnat(OTHER_FIXED)),
    ) == mismatches(DESIRED, OBSERVED)


def test_only_the_keys_asked_for_are_compared() -> None:
    assert (Mismatch(EXTRA, None, Route("tap1")),) == mismatches(DESIRED, OBSERVED, [EXTRA, EXTRA])
    assert () == mismatches(DESIRED, DESIRED)
