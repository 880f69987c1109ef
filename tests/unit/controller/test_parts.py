# SPDX-License-Identifier: Apache-2.0
"""The controller's small parts: pauses, endings, versions, who waits for what, pools without what is occupied."""

import datetime as dt
from typing import NamedTuple

import pytest

from buoy.controller.contest import MOST, WITHIN, Contest
from buoy.controller.endings import Endings
from buoy.controller.pool_status import pool_status, said
from buoy.controller.pools import Pools
from buoy.controller.retry import AWAY, FIRST, LAST, Retry
from buoy.controller.versions import Versions
from buoy.controller.waiting import Waiting
from buoy.ipam.ledger import Use
from buoy.ipam.overlap import Occupied
from buoy.model.address import Address, Prefix
from buoy.model.pool import Pool, Range
from buoy.model.refusal import AllocationReason, Cause
from buoy.model.service_ip import Identity
from buoy.store.api_names import ObjectName
from buoy.store.api_objects import News

NOW = dt.datetime(2026, 11, 21, 12, 0, 0, tzinfo=dt.UTC)
WEB = Identity("", "Service", "shop", "web")
DNS = Identity("", "Service", "shop", "dns")
ONE, TWO = Address("192.0.2.1"), Address("192.0.2.2")
SHOWN = ({"ip": "192.0.2.1", "ipMode": "VIP"},)


def after(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def test_each_pause_is_twice_as_long_as_the_one_before_up_to_the_longest() -> None:
    retry = Retry()
    pauses = []
    for _ in range(12):
        retry.later(WEB, NOW)
        ends = next(
            seconds
            for seconds in (FIRST * 2**power for power in range(11))
            if not retry.waits(WEB, after(min(seconds, LAST)))
        )
        pauses.append(min(ends, LAST))
    assert [min(FIRST * 2**power, LAST) for power in range(12)] == pauses


def test_an_object_is_found_once_when_its_pause_ends() -> None:
    retry = Retry()
    retry.later(WEB, NOW)
    assert ([], [WEB], []) == (retry.due(NOW), retry.due(after(FIRST)), retry.due(after(FIRST)))


def test_a_success_ends_an_objects_pauses() -> None:
    retry = Retry()
    retry.later(WEB, NOW)
    retry.done(WEB)
    assert (False, []) == (retry.waits(WEB, NOW), retry.due(after(LAST)))


def test_an_outage_is_a_pause_of_all() -> None:
    retry = Retry()
    retry.away(NOW)
    assert (True, after(AWAY), False) == (retry.is_away(NOW), retry.next(NOW), retry.is_away(after(AWAY)))


def test_endings_come_in_their_order_and_once() -> None:
    endings: Endings[str] = Endings()
    for seconds, what in ((3, "c"), (1, "a"), (2, "b")):
        endings.add(after(seconds), what)
    assert ["a", "b"] == endings.ended(after(2))
    assert ([], after(3)) == (endings.ended(after(2)), endings.next())


class Thing(NamedTuple):
    version: str
    text: str = ""


NAME = ObjectName("shop", "web")


def news(thing: Thing | None, revision: int, *, listed: bool = False) -> News[Thing]:
    return News(listed, {NAME: thing}, {}, revision, listed)


def versions() -> Versions[Thing]:
    found: Versions[Thing] = Versions(lambda thing: thing.version)
    found.news(news(Thing("5"), 5, listed=True))
    found.wrote(NAME, "8")
    return found


@pytest.mark.parametrize(("version", "is_news"), [("7", False), ("8", True), ("9", True)])
def test_what_the_watch_tells_late_is_older_than_what_we_wrote(version: str, *, is_news: bool) -> None:
    assert is_news == bool(versions().news(news(Thing(version), int(version))))


def test_what_was_deleted_is_gone_whatever_we_wrote() -> None:
    assert {NAME: None} == versions().news(news(None, 9))


def test_a_server_that_was_set_back_is_believed() -> None:
    found = versions()
    found.news(news(Thing("9"), 9))
    found.wrote(NAME, "12")
    assert {NAME: Thing("4")} == found.news(news(Thing("4"), 4, listed=True))


@pytest.mark.parametrize(("reached", "is_news"), [(7, True), (8, False), (9, False)])
def test_an_answer_is_no_news_once_the_watch_has_come_as_far(reached: int, *, is_news: bool) -> None:
    found: Versions[Thing] = Versions(lambda thing: thing.version)
    found.news(news(None, reached))
    assert is_news == found.wrote(NAME, "8")


def cause(**details: str) -> Cause:
    return Cause(AllocationReason.POOL_FULL, details)


def test_who_waits_for_a_pool_or_an_address_is_found_when_one_is_freed() -> None:
    waiting = Waiting()
    waiting.wait(WEB, [cause(pool="public")])
    waiting.wait(DNS, [cause(pool="sales", address=TWO)])
    assert (WEB,) == waiting.freed({"public"}, ONE)
    assert (DNS,) == waiting.freed({"public-2"}, TWO)
    assert () == waiting.freed({"other"}, ONE)
    assert (WEB, DNS) == waiting.everybody()
    assert (1, 1) == (waiting.of_pool("public"), waiting.of_pool("sales"))


def test_who_lacks_nothing_more_waits_no_more() -> None:
    waiting = Waiting()
    waiting.wait(WEB, [cause(pool="public")])
    waiting.wait(WEB, [])
    assert (0, (), 0) == (len(waiting), waiting.freed({"public"}, ONE), waiting.of_pool("public"))


def test_a_status_that_is_put_right_too_often_is_left_until_the_first_time_is_long_ago() -> None:
    contest = Contest()
    contest.published(WEB, SHOWN, NOW)
    for second in range(MOST):
        assert contest.until(WEB, SHOWN, after(second)) is None
        contest.published(WEB, SHOWN, after(second))
    assert NOW + WITHIN == contest.until(WEB, SHOWN, after(MOST))
    assert contest.until(WEB, SHOWN, NOW + WITHIN) is None
    assert contest.until(WEB, (), after(MOST)) is None, "that is new"
    assert contest.until(DNS, SHOWN, after(MOST)) is None


PUBLIC = Pool(name="public", prefixes=(Prefix("192.0.2.0/24"),))


def test_addresses_of_nodes_are_taken_out_of_pools_and_come_back_with_the_nodes_end() -> None:
    pools = Pools()
    pools.put("public", PUBLIC)
    node = Occupied(Prefix("192.0.2.7/32"), "an address of node n1")
    assert {"public": ("192.0.2.7/32",)} == {
        name: pool.exclude for name, pool in pools.occupy("n1", [node]).items() if pool
    }
    assert ("192.0.2.0/24 of pool public overlaps 192.0.2.7/32, an address of node n1",) == pools.remarks("public")
    assert {"public": PUBLIC} == pools.occupy("n1", [])
    assert () == pools.remarks("public")


def test_what_meets_no_pool_changes_none() -> None:
    pools = Pools()
    pools.put("public", PUBLIC)
    assert {} == pools.occupy("n1", [Occupied(Prefix("198.51.100.7/32"), "an address of node n1")])


def test_a_pool_that_comes_after_the_node_is_without_its_address() -> None:
    pools = Pools()
    pools.occupy("n1", [Occupied(Prefix("192.0.2.7/32"), "an address of node n1")])
    assert ["192.0.2.7/32"] == [
        prefix for pool in pools.put("public", PUBLIC).values() if pool for prefix in pool.exclude
    ]


def test_two_pools_with_the_same_addresses_are_told() -> None:
    pools = Pools()
    pools.put("public", PUBLIC)
    pools.put("sales", Pool(name="sales", prefixes=(Prefix("192.0.2.128/25"),)))
    assert ("192.0.2.128/25 of pool sales overlaps 192.0.2.0/24 of pool public",) == pools.remarks("sales")


def test_a_pools_addresses_are_said_in_one_text() -> None:
    ranges = tuple(Range(first=Address(f"192.0.2.{at}"), last=Address(f"192.0.2.{at + 5}")) for at in (10, 20, 30, 40))
    assert "2001:db8::/64,192.0.2.10-192.0.2.15" == said(
        Pool(name="a", prefixes=(Prefix("2001:db8::/64"),), ranges=ranges[:1])
    )
    assert "2001:db8::/64,192.0.2.10-192.0.2.15,192.0.2.20-192.0.2.25,192.0.2.30-192.0.2.35,+1" == said(
        Pool(name="a", prefixes=(Prefix("2001:db8::/64"),), ranges=ranges)
    )


def test_a_pools_status_counts_and_says_when_nothing_is_left() -> None:
    status = pool_status({4: Use(4, 3, 1, 0, None)}, 2, "")
    assert (3, 1, 0, 2, "full") == tuple(status[field] for field in ("used", "held", "free", "waiting", "message"))


def test_a_pools_status_has_no_number_that_the_api_cannot_hold() -> None:
    status = pool_status({6: Use(2**64, 1, 0, 2**64 - 1, None)}, 0, "")
    assert (2**53, 2**53) == (status["free"], status["families"][0]["size"])
