# SPDX-License-Identifier: Apache-2.0
"""Every *no* of allocation has a sentence, a remedy and a name for conditions."""

import pytest

from buoy.model.refusal import AllocationReason, Cause


@pytest.mark.parametrize("reason", list(AllocationReason))
def test_every_reason_has_a_sentence_a_remedy_and_a_name_for_conditions(reason: AllocationReason) -> None:
    assert reason.sentence
    assert reason.remedy
    assert reason.camel.isalpha()
    assert reason.value.replace("-", "") == reason.camel.lower()


def test_a_cause_fills_in_its_details_and_leaves_others_readable() -> None:
    cause = Cause(AllocationReason.POOL_FULL, {"pool": "pool-dev"})
    assert "pool-dev: full (USED)" == str(cause)
    assert "pool-dev" == cause.pool
    assert "" == Cause(AllocationReason.NO_POOL).pool
