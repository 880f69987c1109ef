# SPDX-License-Identifier: Apache-2.0
"""Whatever happens, and whoever dies in the middle: no address is given twice, and none is lost."""

import datetime as dt
import itertools
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.ipam.allocate import allocate
from buoy.ipam.blocks import address, number
from buoy.ipam.eligible import considered
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Allocation, Request
from buoy.model.address import Address, Prefix, contains, family
from buoy.model.errors import Conflict
from buoy.model.pool import Pool, Range
from buoy.model.refusal import Cause, Refusal
from buoy.model.service_ip import Identity, Owner, ServiceIP
from tests.properties.random_claims import HOLD_DOWN, NAMES, START, Cluster, Controller, Thing

EXAMPLES = int(os.environ.get("BUOY_EXAMPLES", "300")) // 10
STEPS = 350
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEDS)
def test_no_address_is_given_twice_and_none_is_lost_whoever_dies_when(seed: int) -> None:
    chance = random.Random(seed)
    cluster = Cluster(chance)
    controllers = [Controller(cluster), Controller(cluster)]
    for _ in range(STEPS):
        cluster.change()
        place = chance.randrange(2)
        if chance.random() < 0.7 or controllers[place].is_behind():
            controllers[place].listen()
        if not carry_out(cluster, steps(controllers[place], chance), chance.choice((1, 1, 2, 3, 99))):
            # killed, or told that it is behind: another one starts, or it looks again
            controllers[place] = Controller(cluster)
    comes_to_rest(cluster)


def steps(controller: Controller, chance: random.Random) -> Iterator[str]:
    if chance.random() < 0.2 or not controller.things:
        return controller.tidy()
    return controller.look_at(chance.choice(sorted(controller.things)))


def carry_out(cluster: Cluster, writes: Iterator[str], most: int) -> bool:
    """Take so many steps at most, and look at everything after each; tell whether the work was finished."""
    before = dict(cluster.claims)
    try:
        for done, _ in enumerate(writes, 1):
            nothing_is_wrong(cluster, before)
            before = dict(cluster.claims)
            if done == most:
                return False
    except Conflict:
        return False
    return True


def nothing_is_wrong(cluster: Cluster, before: dict[Address, tuple[ServiceIP, int]]) -> None:
    for at, (claim, version) in cluster.claims.items():
        if at in before and before[at][1] == version:
            continue
        those_who_share_may(claim)
        if at in before:
            the_hold_down_is_kept(cluster, before[at][0], claim)
    for identity, thing in cluster.things.items():
        for at in thing.shown:
            # Of two controllers one may release what the other shows at that moment. Nobody else gets it meanwhile,
            # and whoever looks next claims it again.
            assert at not in cluster.claims or identity in {owner.identity for owner in cluster.claims[at][0].owners}
    shown = Counter(at for thing in cluster.things.values() for at in thing.shown)
    assert all(count == 1 or len(cluster.claims[at][0].owners) >= count for at, count in shown.items())


def those_who_share_may(claim: ServiceIP) -> None:
    assert claim.owners
    for one, other in itertools.combinations(claim.owners, 2):
        assert one.identity != other.identity
        assert claim.sharing
        assert one.namespace == other.namespace
        assert one.backends == other.backends
        assert set() == set(one.ports) & set(other.ports)


def the_hold_down_is_kept(cluster: Cluster, before: ServiceIP, after: ServiceIP) -> None:
    if before.released is not None and after.released is None:
        (new,) = after.owners
        back = new.identity in {owner.identity for owner in before.owners}
        assert back or HOLD_DOWN <= (cluster.now - before.released).total_seconds()


def owners(claim: ServiceIP) -> set[Identity]:
    return set() if claim.released else {owner.identity for owner in claim.owners}


def comes_to_rest(cluster: Cluster) -> None:
    """Left alone, a controller comes to rest soon, and then everybody has what they are to have, or knows why not."""
    controller = Controller(cluster)
    for _ in range(5):
        written = list(controller.tidy())
        for identity in sorted(cluster.things):
            controller.listen()
            written += controller.look_at(identity)
        controller.listen()
        if not written:
            break
    assert not written
    had: defaultdict[Identity, set[Address]] = defaultdict(set)
    for claim, _ in cluster.claims.values():
        for identity in owners(claim):
            had[identity].add(claim.address)
    assert had.keys() <= cluster.things.keys()
    for identity, thing in cluster.things.items():
        is_served_or_knows_why(controller, thing, had.get(identity, set()))


def is_served_or_knows_why(controller: Controller, thing: Thing, had: set[Address]) -> None:
    decision = controller.decide(thing)
    assert decision == again(controller, thing)
    if isinstance(decision, Refusal):
        assert (set(), ()) == (had, thing.shown)
    else:
        assert had == {each.address for each in (*decision.addresses, *decision.externals)}
        assert thing.shown == tuple(each.address for each in decision.addresses)
        assert () == decision.surplus
    request = thing.request
    missing = set(request.families) - {family(address) for address in thing.shown}
    if missing and not request.wanted and not request.require_all:
        causes = decision.causes if isinstance(decision, Refusal) else decision.lacking
        for of_family in missing:
            items = considered(request, of_family, controller.ledger)
            looked_at = {item.pool if isinstance(item, Cause) else item.name for item in items}
            assert set() == looked_at - {cause.pool for cause in causes}


def again(controller: Controller, thing: Thing) -> Allocation | Refusal:
    """Decide once more, from a ledger made anew of the same claims in another order."""
    claims = reversed(controller.ledger.holdings.claims.values())
    ledger = Ledger(reversed(controller.cluster.pools.values()), claims)
    request = msgspec.structs.replace(thing.request, shown=thing.shown)
    return allocate(request, ledger, controller.cluster.now)


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEDS)
def test_who_is_deleted_and_made_again_within_the_hold_down_has_its_addresses_again(seed: int) -> None:
    chance = random.Random(seed)
    cluster = Cluster(chance)
    for name in chance.sample(NAMES, 6):
        cluster.put(plain(cluster, name))
    comes_to_rest(cluster)
    gone = dict(chance.sample(sorted(cluster.things.items()), 3))
    for identity in gone:
        del cluster.things[identity]
    for _ in range(3):
        # others come meanwhile, and want addresses, too
        comes_to_rest(cluster)
        cluster.now += dt.timedelta(seconds=(HOLD_DOWN - 1) / 3)
        cluster.put(plain(cluster, f"new{chance.randrange(9)}"))
    comes_to_rest(cluster)
    for identity in gone:
        cluster.put(plain(cluster, identity.name))
    comes_to_rest(cluster)
    assert {each: thing.shown for each, thing in gone.items()} == {each: cluster.things[each].shown for each in gone}
    assert {each.shown for each in gone.values()} != {()}


def plain(cluster: Cluster, name: str) -> Request:
    return Request(owner=Owner(kind="Service", namespace="dev", name=name, uid=str(cluster.version)), families=(4, 6))


@settings(max_examples=EXAMPLES * 3, deadline=None)
@given(SEEDS)
def test_a_ledger_says_what_looking_at_every_address_would(seed: int) -> None:
    chance = random.Random(seed)
    pool, base = random_pool(chance), number(Address("198.51.100.0"))
    everything = [at for at in range(base - 4, base + 520) if by_hand(pool, address(at, 4))]
    ledger, claims = Ledger([pool]), dict[Address, ServiceIP]()
    for _ in range(40):
        now = START + dt.timedelta(seconds=chance.choice((0, 0, 5, 10, 15, 40)))
        at = address(chance.choice(everything), 4) if everything else Address("198.51.100.7")
        if chance.random() < 0.3:
            claims.pop(at, None)
            ledger.remove(at)
        else:
            released = START + dt.timedelta(seconds=chance.randrange(20)) if chance.random() < 0.5 else None
            claims[at] = ServiceIP(address=at, pool=pool.name, released=released)
            ledger.put(claims[at])
        free = [each for each in everything if is_free(claims.get(address(each, 4)), now)]
        assert (address(free[0], 4) if free else None) == ledger.lowest(pool, 4, now)
        use = ledger.use(pool, 4, now)
        live = sum(claim.released is None for claim in claims.values() if number(claim.address) in everything)
        assert (len(everything), live, len(free)) == (use.size, use.live, use.free)
        assert use.size == use.live + use.held + use.free


def random_pool(chance: random.Random) -> Pool:
    def prefix(longest: int) -> Prefix:
        length = chance.randint(23, longest)
        place = chance.randrange(512) >> (32 - length) << (32 - length)
        return Prefix(f"{address(number(Address('198.51.100.0')) + place, 4)}/{length}")

    first = number(Address("198.51.100.0")) + chance.randrange(500)
    return Pool(
        name="a",
        prefixes=tuple(prefix(32) for _ in range(chance.randrange(3)) if chance.random() < 0.8) or (prefix(30),),
        ranges=(Range(first=address(first, 4), last=address(first + chance.randrange(12), 4)),),
        exclude=tuple(prefix(32) for _ in range(chance.randrange(3))),
        avoid_end_addresses=chance.random() < 0.5,
        hold_down=10.0,
    )


def by_hand(pool: Pool, at: Address) -> bool:
    """Tell whether a pool gives an address, by its definition."""
    inside = any(contains(prefix, at) for prefix in pool.prefixes)
    inside |= any(number(item.first) <= number(at) <= number(item.last) for item in pool.ranges)
    avoided = pool.avoid_end_addresses and at.rsplit(".", 1)[1] in {"0", "255"}
    return inside and not avoided and not any(contains(prefix, at) for prefix in pool.exclude)


def is_free(claim: ServiceIP | None, now: dt.datetime) -> bool:
    if claim is None:
        return True
    return claim.released is not None and (now - claim.released).total_seconds() >= 10
