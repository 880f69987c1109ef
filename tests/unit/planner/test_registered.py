# SPDX-License-Identifier: Apache-2.0
"""An address of a pool whose books Neutron keeps is announced while Neutron keeps it for us."""

import pytest

from buoy.model.address import host_prefix
from buoy.model.nodestate import Table
from buoy.model.pool import Pool, Registry
from buoy.model.proxied import ProxyPort
from buoy.model.reason import Reason, Withhold
from buoy.planner.desired import Desired
from tests.unit.planner.cloud import key, snapshot
from tests.unit.planner.cluster import EVERYWHERE, PUBLIC, WEB, balanced, cluster, forwarding, settings

VMS, OWN = Pool(name="vms", registry=Registry.NEUTRON), Pool(name="own")
REFUSED = Withhold(Reason.NOT_REGISTERED, {"address": PUBLIC, "pool": "vms"})


def is_announced(desired: Desired) -> bool:
    return key(Table.ANNOUNCEMENT, host_prefix(PUBLIC)) in desired.state


@pytest.mark.parametrize("relied", [None, (WEB,)], ids=["to begin", "to go on"])
def test_without_the_id_of_what_keeps_it_it_is_not_announced(relied: tuple[ProxyPort, ...] | None) -> None:
    desired = cluster(balanced(pool="vms"), VMS, sight=forwarding(WEB, relied=relied))
    assert (REFUSED, False) == (desired.verdicts[PUBLIC], is_announced(desired))


@pytest.mark.parametrize(("pool", "kept"), [("vms", "8f1c"), ("own", ""), ("gone", ""), ("", "")])
def test_what_neutron_keeps_and_what_others_keep_is_announced(pool: str, kept: str) -> None:
    desired = cluster(balanced(pool=pool, id=kept), VMS, OWN)
    assert (None, True) == (desired.verdicts[PUBLIC], is_announced(desired))


def test_it_is_withdrawn_once_neutron_keeps_it_no_more_and_announced_again_once_it_does() -> None:
    desired = cluster(balanced(pool="vms", id="8f1c"), VMS)
    seen = [is_announced(desired)]
    for kept in ("", "8f1d"):
        now = snapshot(*EVERYWHERE, settings(), VMS, balanced(pool="vms", id=kept))
        desired.update(now, frozenset({f"service-ips/{PUBLIC}"}), forwarding(WEB))
        seen.append(is_announced(desired))
    assert [True, False, True] == seen


def test_a_pool_whose_books_neutron_begins_to_keep_is_looked_at() -> None:
    desired = cluster(balanced(pool="own"), OWN)
    taken_over = Pool(name="own", registry=Registry.NEUTRON)
    desired.update(
        snapshot(*EVERYWHERE, settings(), taken_over, balanced(pool="own")), frozenset({"pools/own"}), forwarding(WEB)
    )
    assert not is_announced(desired)
