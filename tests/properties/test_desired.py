# SPDX-License-Identifier: Apache-2.0
"""After any sequence of changes, incremental equals from scratch, and no change goes unnoticed."""

import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.model.address import Address, Prefix, host_prefix, split
from buoy.model.nodestate import Announcement, Class, Entry, Key, NodeState, Table
from buoy.model.pool import Pool, Registry
from buoy.model.proxied import Eligibility, Proxying, ProxyMode
from buoy.model.reason import Reason
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.status import AddressStatus
from buoy.planner.desired import Desired
from buoy.planner.plan import make_plan
from buoy.planner.wishes import Here
from tests.properties.node_states import way
from tests.properties.random_store import NODE, OTHER, THIRD, Store, guest

EXAMPLES = int(os.environ.get("BUOY_EXAMPLES", "300"))
SEEDS = st.integers(0, 2**32 - 1)


def from_scratch(store: Store) -> Desired:
    fresh = Desired(Here(NODE, guest))
    fresh.update(store.snapshot(), None, store.sight())
    return fresh


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_incremental_equals_from_scratch(seed: int) -> None:
    store = Store(random.Random(seed))
    desired = from_scratch(store)
    for _ in range(12):
        paths, stir = store.change()
        before, verdicts = dict(desired.state), dict(desired.verdicts)
        touched = desired.update(store.snapshot(), paths, store.sight(), stir)
        scratch = from_scratch(store)
        assert dict(scratch.state) == dict(desired.state)
        assert dict(scratch.verdicts) == dict(desired.verdicts)
        assert touched.keys is not None
        changed = {key for key in before.keys() | desired.state.keys() if before.get(key) != desired.state.get(key)}
        assert set() == changed - touched.keys
        # whom a change concerns is known from the change as well as from a look at everybody
        plans = {make_plan(before, desired.state, touched.keys, uses) for uses in (None, desired)}
        assert 1 == len(plans)
        said = verdicts.keys() | desired.verdicts.keys()
        assert (
            set()
            == {address for address in said if verdicts.get(address, 0) != desired.verdicts.get(address, 0)}
            - touched.addresses
        )


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_starting_again_from_everything_equals_from_scratch(seed: int) -> None:
    store = Store(random.Random(seed))
    desired = from_scratch(store)
    for _ in range(12):
        store.change()
    known = set(desired.verdicts)
    touched = desired.update(store.snapshot(), None, store.sight())
    assert dict(from_scratch(store).state) == dict(desired.state)
    assert touched.keys is None
    assert known | set(desired.verdicts) == touched.addresses


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_whatever_is_announced_has_its_forwarding_and_policy(seed: int) -> None:
    store = Store(random.Random(seed))
    for _ in range(20):
        store.change()
    state = dict(from_scratch(store).state)
    announced = [key.name[0] for key in state if key.table.name == "ANNOUNCEMENT"]
    assert [] == [(prefix, found) for prefix in announced if "no " in (found := way(state, Prefix(prefix)))]


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_nothing_is_remembered_of_what_is_gone(seed: int) -> None:
    store = Store(random.Random(seed))
    desired = from_scratch(store)
    for _ in range(12):
        desired.update(store.snapshot(), store.change()[0], store.sight())
    paths = frozenset(store.documents)
    store.documents.clear()
    store.revisions.clear()
    desired.update(store.snapshot(), paths, store.sight())
    empty = Desired(Here(NODE, guest))
    assert (dict(empty.state), dict(empty.verdicts)) == (dict(desired.state), dict(desired.verdicts))
    assert ({}, {}, {}, {}) == (desired._wishes, desired._needed, desired._sitting, desired._members)
    assert ({}, {}) == (desired._elsewhere.announcers, desired._elsewhere.announced)


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_an_address_of_services_is_announced_only_by_a_node_that_serves_and_forwards_one(seed: int) -> None:
    store = Store(random.Random(seed))
    for _ in range(20):
        store.change()
    state = from_scratch(store).state
    claims = [document for document in store.documents.values() if isinstance(document, ServiceIP)]
    proxied = [claim for claim in claims if claim.mode is Mode.PROXIED]
    announced = [claim for claim in proxied if isinstance(_announcement(state, claim), Announcement)]
    assert [] == [claim.address for claim in announced if not _served(store, claim)]


def _announcement(state: NodeState, claim: ServiceIP) -> Entry | None:
    """Return how an address is announced for what is proxied, and not because a guest has it, or a pool."""
    stray = Key(Table.STRAY, (host_prefix(claim.address),))
    return state.get(Key(Table.ANNOUNCEMENT, stray.name)) if stray in state else None


def _served(store: Store, claim: ServiceIP) -> bool:
    """Tell whether this node may attract, and serves and forwards a Service: all of it, or some that it announces."""
    eligible, pool = store.documents.get(f"eligibility/{NODE}"), store.documents.get(f"pools/{claim.pool}")
    if not isinstance(eligible, Eligibility) or eligible.excluded:
        return False
    if isinstance(pool, Pool) and pool.registry is Registry.NEUTRON and not claim.id:
        return False
    here = [each for each in claim.backings if not each.local or NODE in (*each.ready, *each.draining)]
    ends = [each for each in here if each.ready or each.draining or each.elsewhere]
    if store.proxy.mode() is ProxyMode.UNCHECKED:
        return bool(ends)
    does = store.proxy.proxying().get(claim.address, Proxying()).forwarded
    if claim.address in store.relied:
        return any(does & set(each.ports) for each in ends)
    return not store.proxy.stuck() and any(does >= set(each.ports) for each in ends)


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_an_address_is_taken_over_as_long_as_another_node_wrongly_announces_it(seed: int) -> None:
    store = Store(random.Random(seed))
    desired = from_scratch(store)
    for _ in range(20):
        paths, stir = store.change()
        desired.update(store.snapshot(), paths, store.sight(), stir)
    found = {
        address: entry.preference is Class.TAKEOVER
        for key, entry in desired.state.items()
        if isinstance(entry, Announcement)
        and desired.holder(address := split(Prefix(key.name[0]))[0]) == f"service-ips/{address}"
        and desired.verdicts[address] is None
    }
    assert {address: _wrongly_announced(store, address) for address in found} == found


def _wrongly_announced(store: Store, address: Address) -> bool:
    claim = store.documents[f"service-ips/{address}"]
    assert isinstance(claim, ServiceIP)
    whole = {end.node for end in claim.endpoints if end.mapping is None}
    rightful = whole or {NODE}
    others = {OTHER, THIRD} - rightful - {name for name in (OTHER, THIRD) if f"fences/{name}" in store.documents}
    words = (store.documents.get(f"status/{name}/address/{address}") for name in others)
    return any(isinstance(word, AddressStatus) and word.reason is not Reason.CLAIMED_TWICE for word in words)
