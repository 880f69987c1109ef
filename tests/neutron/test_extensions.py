# SPDX-License-Identifier: Apache-2.0
"""Every extension that is listed is one we stand for; none that we vetoed is listed."""

from buoy.neutron.extensions import VETOED, WORKS
from tests.neutron.cloud import Cloud


def test_listed_is_exactly_what_works(cloud: Cloud) -> None:
    listed = {extension["alias"] for extension in cloud.call("GET", "extensions")["extensions"]}
    assert set(WORKS) == listed
    assert set() == listed & VETOED.keys()
