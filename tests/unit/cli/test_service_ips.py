# SPDX-License-Identifier: Apache-2.0
"""`buoy service-ip`: a hand gives what annotations could ask for, and takes back what a hand gave."""

import asyncio
import datetime as dt

import msgspec
import pytest
from typer.testing import CliRunner

from buoy.cli import context, service_ips
from buoy.cli.main import app
from buoy.cli.service_ips import Seen, Wish, given
from buoy.kubernetes.objects import Namespace
from buoy.kubernetes.pods import Pod
from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.errors import BuoyError, Conflict, InvalidInput
from buoy.model.pool import Direction, Pool
from buoy.model.service_ip import Mode, Owner, PortMapping, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.store.memory import MemoryStore
from buoy.store.store import Write

NOW = dt.datetime(2026, 11, 21, 12, 0, 0, tzinfo=dt.UTC)
GOLD = Pool(name="gold", prefixes=(Prefix("192.0.2.0/30"),), automatic=False, direction=Direction.INGRESS)
TEAM = Pool(name="team", prefixes=(Prefix("198.51.100.0/30"),), namespaces=("team-a",))
SIX = Pool(name="six", prefixes=(Prefix("2001:db8:f::/126"),))
OWNER = Owner(kind="Pod", namespace="shop", name="db-0", uid="u1")
FIRST = Address("192.0.2.0")
WEB = Owner(kind="Service", namespace="shop", name="web")
OTHER = Owner(kind="Pod", namespace="shop", name="db-1", cluster="prod")


def seen(*ips: str) -> Seen:
    said = {
        "metadata": {"name": "db-0", "namespace": "shop", "uid": "u1"},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "podIPs": [{"ip": ip} for ip in ips or ("10.244.0.2", "2001:db8::2")]},
    }
    return Seen(msgspec.convert(said, Pod), msgspec.convert({"metadata": {"name": "shop"}}, Namespace))


def store(*held: Document) -> Snapshot:
    found = {documents.path(each): each for each in (GOLD, TEAM, SIX, *held)}
    return Snapshot(Identity("cluster", 1), found, {}, {})


def test_it_gives_an_address_that_is_named_or_the_lowest_free_one_of_a_pool() -> None:
    ports = (PortMapping(protocol="tcp", first=80, last=80, target_first=8080),)
    plain = ServiceIP(address=FIRST, pool="gold", owners=(OWNER,), direction=Direction.INGRESS)
    assert plain == given(Wish(pool="gold"), seen(), store(), NOW)
    mapped = given(Wish(address=Address("192.0.2.3"), direction=Direction.BOTH, mappings=ports), seen(), store(), NOW)
    changes = {"address": Address("192.0.2.3"), "direction": Direction.BOTH, "mappings": ports}
    assert msgspec.structs.replace(plain, **changes) == mapped
    taken = store(ServiceIP(address=FIRST, pool="gold", owners=(WEB,), mode=Mode.PROXIED))
    assert "192.0.2.1" == given(Wish(pool="gold"), seen(), taken, NOW).address
    assert "2001:db8:f::" == given(Wish(pool="six"), seen(), store(), NOW).address


def test_in_a_cluster_that_has_a_name_it_counts_what_is_had_there() -> None:
    few = store(msgspec.structs.replace(GOLD, quota=1), ServiceIP(address=FIRST, pool="gold", owners=(OTHER,)))
    with pytest.raises(InvalidInput) as refused:
        given(Wish(pool="gold", cluster="prod"), seen(), few, NOW)
    assert "quota" in refused.value.remedy
    (owner,) = given(Wish(pool="gold", cluster="prod"), seen(), store(), NOW).owners
    assert "prod" == owner.cluster


def test_the_clusters_name_is_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(_: object) -> Seen:
        return seen()

    held = MemoryStore()
    asyncio.run(held.write([Write(documents.path(GOLD), GOLD)]))
    monkeypatch.setattr(service_ips, "_see", look)
    monkeypatch.setattr(context, "open_any", lambda _: held)
    monkeypatch.setenv("BUOY_ETCD", "http://192.0.2.9:2379")
    words = ["service-ip", "associate", "--pool", "gold", "--pod", "shop/db-0", "--cluster", "prod"]
    assert "gave 192.0.2.0 from pool gold to Pod shop/db-0 of prod" == CliRunner().invoke(app, words).output.strip()


def test_what_the_pod_asked_for_itself_is_from_then_on_given_by_hand() -> None:
    asked = ServiceIP(address=FIRST, pool="gold", owners=(msgspec.structs.replace(OWNER, declared=True),))
    assert (OWNER,) == given(Wish(address=FIRST), seen(), store(asked), NOW).owners


@pytest.mark.parametrize(
    ("wish", "ips", "said"),
    [
        (Wish(pool="iron"), (), "no such pool"),
        (Wish(pool="team"), (), "shop"),
        (Wish(address=Address("198.51.100.1")), (), "shop"),
        (Wish(address=Address("203.0.113.1")), (), "203.0.113.1"),
        (Wish(address=Address("192.0.2.1")), (), "Service shop/web"),
        (Wish(pool="six"), ("10.244.0.2",), "six"),
        (Wish(address=Address("2001:db8:f::1")), ("10.244.0.2",), "2001:db8:f::1"),
    ],
)
def test_it_gives_nothing_that_is_not_for_the_pod(wish: Wish, ips: tuple[str, ...], said: str) -> None:
    taken = ServiceIP(address=Address("192.0.2.1"), pool="gold", owners=(WEB,), mode=Mode.PROXIED)
    with pytest.raises(InvalidInput) as refused:
        given(wish, seen(*ips), store(taken), NOW)
    assert said in refused.value.remedy


def release(
    monkeypatch: pytest.MonkeyPatch, *owners: Owner, mode: Mode = Mode.TRANSLATED, lost: bool = False
) -> BaseException | str:
    """Return what `buoy service-ip release` prints, or raises, of an address that these have."""
    held = MemoryStore()
    claim = ServiceIP(address=FIRST, pool="gold", owners=owners, mode=mode, lost=lost)

    class Opened:
        async def read(self, path: str) -> object:
            await held.write([Write(documents.path(claim), claim)])
            return await held.read(path)

        async def write(self, writes: list[Write]) -> int:
            [wanted] = [each.document for each in writes]
            assert isinstance(wanted, ServiceIP)
            # what was asked for, and lost, is for the controller to release: its owner may be there again
            asked_for = mode is Mode.PROXIED or owners[0].declared
            assert ((), not asked_for, False) == (wanted.endpoints, wanted.released is not None, wanted.lost)
            return await held.write(writes)

        async def close(self) -> None:
            await held.close()

    monkeypatch.setattr(context, "open_any", lambda _: Opened())
    monkeypatch.setenv("BUOY_ETCD", "http://192.0.2.9:2379")
    done = CliRunner().invoke(app, ["service-ip", "release", FIRST])
    return done.exception if isinstance(done.exception, BuoyError) else done.output.strip()


def test_a_hand_takes_back_what_a_hand_gave_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "took 192.0.2.0 from Pod shop/db-0" == release(monkeypatch, OWNER)
    assert "took 192.0.2.0 from Pod shop/db-0" == release(monkeypatch, OWNER, lost=True)
    assert "took 192.0.2.0 from Service shop/web" == release(monkeypatch, WEB, mode=Mode.PROXIED, lost=True)
    assert isinstance(release(monkeypatch), Conflict)
    assert isinstance(release(monkeypatch, msgspec.structs.replace(OWNER, declared=True)), InvalidInput)
    assert isinstance(release(monkeypatch, WEB, mode=Mode.PROXIED), InvalidInput)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["--pod", "shop/db-0"], "ADDRESS"),
        (["192.0.2.1", "--pool", "gold", "--pod", "shop/db-0"], "ADDRESS"),
        (["192.0.2.1", "--pod", "db-0"], "--pod"),
        (["192.0.2.300", "--pod", "shop/db-0"], "ADDRESS"),
        (["192.0.2.1", "--pod", "shop/db-0", "--ports", "http"], "--ports"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(words: list[str], field: str) -> None:
    done = CliRunner().invoke(app, ["service-ip", "associate", *words])
    assert isinstance(done.exception, InvalidInput)
    assert field == done.exception.field
