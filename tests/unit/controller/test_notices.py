# SPDX-License-Identifier: Apache-2.0
"""What is said of foreign objects: each field that is not honoured, in a condition, written only if it differs."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias

import msgspec
import pytest

from buoy.controller.notices import CONDITION, RESOURCES, Notices
from buoy.kubernetes.objects import Metadata
from buoy.kubernetes.resources import BGP_CONFIGURATIONS, BGP_PEERS, NODES, kind_at
from buoy.kubernetes.structs import STRUCTS
from buoy.model.errors import StoreUnavailable
from buoy.store.api_names import ObjectName, Resource, Target
from buoy.store.api_objects import News

NOW = dt.datetime(2026, 11, 21, 12, 0, 0, tzinfo=dt.UTC)
DEFAULT = ObjectName("", "default")
TOR = ObjectName("", "tor")
OWN_PEERS = kind_at("peers/tor").resource
OWN_FILTERS = kind_at("filters/only").resource
OWN_SETTINGS = kind_at("settings/bgp").resource
Thing: TypeAlias = Any
"""Structs made at run time, and JSON."""

OTHERS = {"type": "example.net/Seen", "status": "True"}


def found(resource: Resource, name: str, **spec: Thing) -> Thing:
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, STRUCTS[resource])


def news(changed: Mapping[ObjectName, Any]) -> News[Any]:
    return News(True, changed, {}, 1, True)


class Server:
    """An API server of statuses; `away` lets the next calls fail."""

    def __init__(self) -> None:
        self.conditions: dict[str, list[dict[str, Any]]] = {}
        self.patches: list[str] = []
        self.away = 0

    async def get(self, target: Target, into: Thing) -> Thing:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("refused")
        return msgspec.convert({"status": {"conditions": self.conditions.get(target.name.name)}}, into)

    async def patch(self, target: Target, body: Thing, into: Thing, kind: str = "merge") -> Thing:
        self.patches.append(target.name.name)
        self.conditions[target.name.name] = body["status"]["conditions"]

    async def create(self, resource: Resource, namespace: str, body: object, into: Thing) -> Thing:
        raise NotImplementedError

    async def delete(self, target: Target, uid: str = "", revision: str = "") -> bool:
        raise NotImplementedError


class Told:
    """A feed that tells what a test lists, one thing after the other."""

    def __init__(self, *told: Mapping[Resource, News[Any]]) -> None:
        self._told = told
        self.patience: list[float | None] = []

    async def news(self, patience: Callable[[], float | None]) -> AsyncIterator[Mapping[Resource, News[Any]]]:
        for each in self._told:
            yield each
            self.patience.append(patience())

    def at(self, resource: Resource) -> Resource:
        return resource


class Forgetful:
    """A feed before whose last news the server forgets every condition."""

    def __init__(self, server: Server, *told: Mapping[Resource, News[Any]]) -> None:
        self._server = server
        self._told = told

    async def news(self, patience: Callable[[], float | None]) -> AsyncIterator[Mapping[Resource, News[Any]]]:
        *told, last = self._told
        for each in told:
            yield each
        self._server.conditions.clear()
        yield last

    def at(self, resource: Resource) -> Resource:
        return resource


@pytest.fixture
def server() -> Server:
    return Server()


async def tell(server: Server, *told: Mapping[Resource, News[Any]]) -> list[str]:
    complaints: list[str] = []
    await Notices(server, Told({resource: news({}) for resource in RESOURCES}, *told), lambda: NOW,
                  complaints.append).run()  # fmt: skip
    return complaints


def reason(server: Server, name: str = "default") -> str:
    return str(next(each["reason"] for each in server.conditions[name] if each["type"] == CONDITION))


def said(server: Server, name: str = "default") -> tuple[str, str]:
    [ours] = [each for each in server.conditions[name] if each["type"] == CONDITION]
    return ours["status"], ours["message"]


async def test_what_is_wholly_honoured_is_in_force(server: Server) -> None:
    await tell(server, {BGP_CONFIGURATIONS: news({DEFAULT: found(BGP_CONFIGURATIONS, "default", asNumber=64512)})})
    assert ("True", "") == said(server)


async def test_a_field_that_is_not_honoured_is_named_and_conditions_of_others_stay(server: Server) -> None:
    server.conditions["default"] = [OTHERS]
    mine = found(BGP_CONFIGURATIONS, "default", ignoredInterfaces=["dummy0"])
    await tell(server, {BGP_CONFIGURATIONS: news({DEFAULT: mine})})
    status, message = said(server)
    assert ("False", True) == (status, "ignoredInterfaces" in message)
    assert OTHERS in server.conditions["default"]


async def test_a_peer_is_told_like_the_configuration(server: Server) -> None:
    peer = found(BGP_PEERS, "tor", peerIP="192.0.2.1", asNumber=64511, reachableBy="192.0.2.9")
    await tell(server, {BGP_PEERS: news({ObjectName("", "tor"): peer})})
    assert "reachableBy" in said(server, "tor")[1]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"peerIP": "192.0.2.1", "asNumber": 64511}, "Honoured"),
        ({"peerIP": "192.0.2.1", "asNumber": 64511, "reachableBy": "192.0.2.9"}, "PartlyHonoured"),
        ({"peerIP": "192.0.2.1", "asNumber": 64511, "sourceAddress": "None"}, "PartlyHonoured"),
        ({"peerIP": "192.0.2.1", "asNumber": 64511, "reachableBy": "192.0.2.9", "filters": ["gone"]}, "NotInForce"),
        ({"localWorkloadSelector": "all()", "asNumber": 64511}, "NotInForce"),
        ({"peerIP": "192.0.2.1", "asNumber": 64511, "maxRestartTime": "2h"}, "NotInForce"),
        ({"peerIP": "192.0.2.1", "asNumber": 64511, "keepaliveTime": "60s"}, "Honoured"),
    ],
)
async def test_what_is_wrong_is_told_apart_from_what_is_not_honoured(
    server: Server, spec: dict[str, Thing], expected: str
) -> None:
    await tell(server, {BGP_PEERS: news({ObjectName("", "tor"): found(BGP_PEERS, "tor", **spec)})})
    assert expected == reason(server, "tor")


async def test_a_setting_that_every_node_would_refuse_is_not_in_force(server: Server) -> None:
    mine = found(BGP_CONFIGURATIONS, "default", nodeMeshMaxRestartTime="2h")
    await tell(server, {BGP_CONFIGURATIONS: news({DEFAULT: mine})})
    assert ("False", True) == (said(server)[0], "spec.nodeMeshMaxRestartTime" in said(server)[1])
    assert "NotInForce" == reason(server)


@pytest.mark.parametrize(("uid", "listed"), [("b", False), ("a", True)])
async def test_an_object_made_anew_or_of_a_backup_is_told_anew(server: Server, uid: str, listed: bool) -> None:
    mine = found(BGP_CONFIGURATIONS, "default")
    lives = [msgspec.structs.replace(mine, metadata=Metadata(name="default", uid=each)) for each in ("a", uid)]
    first, second = (News(False, {DEFAULT: each}, {}, 1, listed) for each in lives)
    feed = Forgetful(
        server, {key: news({}) for key in RESOURCES}, {BGP_CONFIGURATIONS: first}, {BGP_CONFIGURATIONS: second}
    )
    await Notices(server, feed, lambda: NOW, lambda _: None).run()
    assert ("True", "") == said(server)


async def test_nothing_is_written_that_stands_already(server: Server) -> None:
    told = {BGP_CONFIGURATIONS: news({DEFAULT: found(BGP_CONFIGURATIONS, "default")})}
    await tell(server, told, told)
    await tell(server, told)
    assert ["default"] == server.patches


async def test_what_could_not_be_written_is_tried_again(server: Server) -> None:
    server.away = 1
    told = {BGP_CONFIGURATIONS: news({DEFAULT: found(BGP_CONFIGURATIONS, "default")})}
    assert ["refused" in each for each in await tell(server, told, {})] == [True]
    assert ("True", "") == said(server)


async def test_an_object_that_is_gone_is_not_written(server: Server) -> None:
    told = {BGP_CONFIGURATIONS: news({DEFAULT: found(BGP_CONFIGURATIONS, "default")})}
    gone: dict[Resource, News[Any]] = {BGP_CONFIGURATIONS: News(False, {DEFAULT: None}, {}, 2, False)}
    await tell(server, told, gone, gone)
    assert ["default"] == server.patches


async def test_of_two_peers_with_one_neighbour_the_one_that_is_not_in_force_says_which_is(server: Server) -> None:
    peers = {name: found(BGP_PEERS, name, peerIP="192.0.2.1", asNumber=64511) for name in ("tor", "abc")}
    both = news({ObjectName("", name): peer for name, peer in peers.items()})
    gone: dict[Resource, News[Any]] = {BGP_PEERS: News(False, {ObjectName("", "abc"): None}, {}, 2, False)}
    await tell(server, {BGP_PEERS: both})
    status, message = said(server, "tor")
    assert ("False", True) == (status, message.startswith("abc speaks with 192.0.2.1 already"))
    assert ("True", "") == said(server, "abc")
    await tell(server, {BGP_PEERS: both}, gone)
    assert ("True", "") == said(server, "tor")


async def test_settings_that_came_past_the_door_say_what_is_wrong_with_them(server: Server) -> None:
    def settings(asn: int) -> dict[Resource, News[Any]]:
        return {OWN_SETTINGS: news({DEFAULT: found(OWN_SETTINGS, "default", asn=asn)})}

    await tell(server, settings(23456))
    status, message = said(server)
    assert ("False", "NotInForce", True) == (status, reason(server), message.startswith("spec.asn: "))
    assert "until then nodes keep the settings they have" in message
    await tell(server, settings(23456), settings(64513))
    assert ("True", "") == said(server)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"asn": 64511}, ""),
        ({"asn": 23456}, "spec.asn: "),
        ({"asn": 64511, "localAsn": 23456}, "spec.localAsn: "),
        ({"asn": 64511, "holdTime": 9, "keepalive": 8}, "spec.keepalive: "),
        ({"asn": 64511, "reflectorClient": True}, "spec.reflectorClient: 'AS 64511' is not valid: a client must be"),
        ({"asn": 64511, "exportFilter": "gone"}, "spec.exportFilter: 'gone' is not valid: nothing passes until"),
        ({"asn": 64511, "exportFilter": "long"}, "spec.exportFilter: 'long' is not valid: nothing passes until"),
        ({"asn": 64511, "importFilter": "only"}, ""),
    ],
)
async def test_a_peer_of_buoys_own_says_why_no_node_can_do_what_it_asks(
    server: Server, spec: dict[str, Thing], expected: str
) -> None:
    lengths: dict[str, dict[str, int]] = {"only": {}, "long": {"low": 8}}
    filters = {
        ObjectName("", name): found(OWN_FILTERS, name, rules=[{"action": "accept", "prefix": "192.0.2.0/24", **bounds}])
        for name, bounds in lengths.items()
    }
    peer = found(OWN_PEERS, "tor", address="192.0.2.1", **spec)
    await tell(server, {OWN_FILTERS: news(filters), OWN_PEERS: news({TOR: peer})})
    status, message = said(server, "tor")
    assert ("False" if expected else "True", True) == (status, message.startswith(expected))
    assert bool(expected) == bool(message)
    assert "True" == said(server, "only")[0]
    assert ("False", True) == (said(server, "long")[0], "rules[0].low: 8 is not valid" in said(server, "long")[1])


async def test_a_peer_whose_name_no_session_can_have_says_so(server: Server) -> None:
    name = "t" * 64
    await tell(server, {OWN_PEERS: news({ObjectName("", name): found(OWN_PEERS, name, address="192.0.2.1", asn=1)})})
    assert said(server, name)[1].startswith(f"metadata.name: {name!r}")


async def test_a_peer_of_buoys_own_that_cannot_work_takes_nobodys_place(server: Server) -> None:
    def peers(asn: int) -> dict[Resource, News[Any]]:
        asked = {"abc": asn, "tor": 64511}
        made = {name: found(OWN_PEERS, name, address="192.0.2.1", asn=each) for name, each in asked.items()}
        return {OWN_PEERS: news({ObjectName("", name): peer for name, peer in made.items()})}

    await tell(server, peers(23456))
    assert ("False", "True") == (said(server, "abc")[0], said(server, "tor")[0])
    await tell(server, peers(64511))
    assert "True" == said(server, "abc")[0]
    assert said(server, "tor")[1].startswith("abc speaks with 192.0.2.1 already")


async def test_a_peer_that_makes_way_for_buoys_own_says_for_which(server: Server) -> None:
    node = msgspec.convert({"metadata": {"name": "node-1"}}, STRUCTS[NODES])
    own = found(OWN_PEERS, "zzz", address="192.0.2.1", asn=64511)
    tor = found(BGP_PEERS, "tor", peerIP="192.0.2.1", asNumber=64511)
    told: dict[Resource, News[Any]] = {NODES: news({ObjectName("", "node-1"): node}), BGP_PEERS: news({TOR: tor})}
    await tell(server, told, {OWN_PEERS: news({ObjectName("", "zzz"): own})})
    message = "Peer zzz speaks with 192.0.2.1, too, and Buoy's own kinds come first: delete one of the two"
    assert (("False", message), "NotInForce") == (said(server, "tor"), reason(server, "tor"))


async def test_a_peer_that_stands_for_nodes_says_of_which_it_is_not_in_force(server: Server) -> None:
    addresses = [{"type": "InternalIP", "address": "192.0.2.1"}]
    node = msgspec.convert({"metadata": {"name": "node-1"}, "status": {"addresses": addresses}}, STRUCTS[NODES])
    spine = found(BGP_PEERS, "spine.west", peerSelector="all()", asNumber=64511)
    plain = found(BGP_PEERS, "plain", peerIP="192.0.2.1", asNumber=64511)
    peers = news({ObjectName("", "spine.west"): spine, ObjectName("", "plain"): plain})
    await tell(server, {NODES: news({ObjectName("", "node-1"): node}), BGP_PEERS: peers})
    assert "plain speaks with 192.0.2.1 already" in said(server, "spine.west")[1]
