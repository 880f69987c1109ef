# SPDX-License-Identifier: Apache-2.0
"""What is to be done that Neutron's ports and our claims agree: decisions as data, nothing else."""

import datetime as dt
from collections.abc import Sequence

import pytest

from buoy.controller.neutron_orders import Adopt, Fetch, FetchAt, GiveBack, LetGo, Name, Order, View, orders
from buoy.controller.neutron_ports import Naming, Port, port_of
from buoy.controller.subject import Claim
from buoy.controller.waiting import Lack
from buoy.ipam.ledger import Ledger
from buoy.model.address import Address, Prefix
from buoy.model.pool import Pool, Registry
from buoy.model.service_ip import Mode, Owner, ServiceIP
from tests.unit.controller.cluster import START

POOL = Pool(name="vms", prefixes=(Prefix("192.0.2.0/24"),), registry=Registry.NEUTRON, subnet="subnet")
WEB = Owner(kind="Service", namespace="shop", name="web", uid="u1", cluster="prod")
LONG_AGO = START - dt.timedelta(days=1)
ANY = Address("")


def port(last: int, name: str = "prod/spare", subnet: str = "subnet") -> Port:
    return Port(f"port-{last}", name, subnet, Address(f"192.0.2.{last}"), 1)


def claim(last: int, *owners: Owner, released: dt.datetime | None = None, port_id: str | None = None) -> Claim:
    given = f"port-{last}" if port_id is None else port_id
    address = Address(f"192.0.2.{last}")
    return Claim(
        ServiceIP(address=address, mode=Mode.PROXIED, id=given, pool="vms", owners=owners, released=released), "7"
    )


def found(
    ports: Sequence[Port], *claims: Claim, pools: Sequence[Pool] = (POOL,), lacks: Sequence[Lack] = (), spare: int = 0
) -> list[Order]:
    ledger = Ledger(pools, [each.document for each in claims])
    by_address = {each.document.address: each for each in claims}
    return list(orders(View(ports, by_address, ledger, lacks, Naming("prod"), spare, START)))


def test_what_is_lacking_or_not_ready_is_fetched() -> None:
    assert [Fetch("vms", "subnet", 3)] == found([], lacks=[Lack("vms", ANY)], spare=2)


def test_at_most_so_many_are_fetched_at_once() -> None:
    assert [Fetch("vms", "subnet", 10)] == found([], lacks=[Lack("vms", ANY)] * 100)


def test_what_is_asked_for_by_address_is_fetched_once() -> None:
    lack = Lack("vms", Address("192.0.2.9"))
    assert [FetchAt("vms", "subnet", Address("192.0.2.9"))] == found([], lacks=[lack, lack])
    assert [] == found([port(9)], claim(9, WEB), lacks=[lack])[1:]


def test_a_pool_that_is_named_after_its_subnet_draws_from_that() -> None:
    pool = Pool(name="uuid", prefixes=POOL.prefixes, registry=Registry.NEUTRON)
    assert [Fetch("uuid", "uuid", 1)] == found([], pools=[pool], spare=1)


def test_a_port_without_claim_is_put_aside_and_no_other_is_fetched_for_it() -> None:
    aside = ServiceIP(
        address=Address("192.0.2.9"), mode=Mode.PROXIED, id="port-9", pool="vms", owners=(), released=START
    )
    assert [Adopt(port(9), Claim(aside, ""))] == found([port(9)], spare=1)


def test_a_claim_that_has_no_port_id_gets_it() -> None:
    [order] = found([port(9, "prod/shop/web/u1")], claim(9, WEB, port_id=""))
    assert Adopt(port(9, "prod/shop/web/u1"), claim(9, WEB)) == order


def test_a_port_is_called_after_who_has_it() -> None:
    assert [Name(port(9), "prod/shop/web/u1")] == found([port(9)], claim(9, WEB))
    assert [] == found([port(9, "prod/shop/web/u1")], claim(9, WEB))
    named = [port(9, "prod/shop/web/u1")]
    assert [] == found(named, claim(9, WEB, released=START))
    assert [Name(named[0], "prod/spare")] == found(named, claim(9, WEB, released=LONG_AGO), spare=1)


def test_a_port_that_goes_back_is_not_named_before() -> None:
    [order] = found([port(9, "prod/shop/web/u1")], claim(9, WEB, released=LONG_AGO))
    assert isinstance(order, GiveBack)


def test_who_waits_for_an_address_comes_first() -> None:
    ports = [port(9), port(8), port(7)]
    claims = [claim(9, WEB), claim(8, released=LONG_AGO)]
    seen = found(ports, *claims, lacks=[Lack("vms", Address("192.0.2.99"))])
    assert [FetchAt, Adopt, GiveBack, Name] == [type(each) for each in seen]


@pytest.mark.parametrize(
    ("spare", "gone"),
    [(0, [9, 8, 7]), (1, [9]), (2, [])],
)
def test_more_than_twice_what_is_kept_ready_goes_back_the_highest_first(spare: int, gone: list[int]) -> None:
    ports = [port(last) for last in (7, 8, 9)]
    seen = found(ports, *(claim(last, released=LONG_AGO) for last in (7, 8, 9)), spare=spare)
    assert gone == [int(order.port.address.rpartition(".")[2]) for order in seen if isinstance(order, GiveBack)]


def test_what_goes_back_leaves_a_claim_that_names_no_port() -> None:
    let_go = ServiceIP(address=Address("192.0.2.9"), mode=Mode.PROXIED, pool="vms", released=START)
    assert [GiveBack(port(9), Claim(let_go, "7"))] == found([port(9)], claim(9, WEB, released=LONG_AGO))


def test_what_was_released_just_now_is_held_down() -> None:
    assert [] == found([port(9)], claim(9, WEB, released=START - dt.timedelta(seconds=299)))


def test_a_draining_pool_keeps_nothing_ready() -> None:
    pool = Pool(name="vms", prefixes=POOL.prefixes, registry=Registry.NEUTRON, subnet="subnet", draining=True)
    [order] = found([port(9)], claim(9, released=LONG_AGO), pools=[pool], spare=4)
    assert isinstance(order, GiveBack)


def test_a_port_that_is_leaving_is_deleted_and_never_put_aside() -> None:
    leaving = port(9, "prod/leaving")
    assert [GiveBack(leaving, None)] == found([leaving])


@pytest.mark.parametrize(("pools", "subnet"), [([], "subnet"), ([POOL], "another")])
def test_a_port_of_no_pool_is_deleted_once_nobody_else_can_put_it_aside(pools: list[Pool], subnet: str) -> None:
    let_go = ServiceIP(address=Address("192.0.2.9"), mode=Mode.PROXIED, released=START)
    stray = port(9, subnet=subnet)
    assert [GiveBack(stray, Claim(let_go, ""))] == found([stray], pools=pools)
    again = claim(9, released=LONG_AGO, port_id="")
    [order] = found([stray], again, pools=pools)
    assert isinstance(order, GiveBack)
    assert order.claim is not None
    assert "7" == order.claim.version


def test_a_port_of_no_pool_is_not_deleted_while_people_use_it() -> None:
    assert [] == found([port(9, "prod/shop/web/u1")], claim(9, WEB), pools=[])
    assert [] == found([port(9)], claim(9, WEB, port_id="another"), pools=[])


def test_a_port_without_an_address_is_deleted() -> None:
    empty = port(9)._replace(address=Address(""))
    assert [GiveBack(empty, None)] == found([empty])


def test_a_claim_whose_port_is_gone_is_let_go_if_nobody_has_it_and_else_made_good() -> None:
    let_go = ServiceIP(address=Address("192.0.2.9"), mode=Mode.PROXIED, pool="vms", released=START)
    assert [LetGo(Claim(let_go, "7"))] == found([], claim(9, released=LONG_AGO))
    assert [FetchAt("vms", "subnet", Address("192.0.2.9"))] == found([], claim(9, WEB))
    assert [] == found([], claim(9, WEB, released=START))


def test_a_claim_of_a_pool_of_our_own_is_none_of_neutrons_business() -> None:
    pool = Pool(name="vms", prefixes=POOL.prefixes)
    assert [] == found([], claim(9, WEB, port_id=""), pools=[pool])


def test_a_port_is_read_as_neutron_says_it_whatever_became_of_it() -> None:
    said = {"id": "p", "name": "n", "fixed_ips": [{"subnet_id": "s", "ip_address": "192.0.2.9"}], "revision_number": 4}
    assert Port("p", "n", "s", Address("192.0.2.9"), 4) == port_of(said)
    assert Port("p", "", "", Address(""), 0) == port_of({"id": "p", "name": None, "fixed_ips": []})


def test_a_name_is_no_longer_than_neutron_takes() -> None:
    owner = Owner(kind="Service", namespace="n" * 63, name="s" * 253, uid="u" * 36)
    assert 255 == len(Naming("c").of(ServiceIP(address=Address("192.0.2.9"), owners=(owner,))))
