# SPDX-License-Identifier: Apache-2.0
"""By which version Calico's kinds are followed, and who hears of an outage."""

import json
from typing import cast

import pytest

from buoy.kubernetes.feed import Feed, Reports
from buoy.kubernetes.resources import BGP_PEERS, SERVICES
from buoy.model.errors import StoreUnavailable
from buoy.store.api_client import ApiServer
from buoy.store.api_transport import Request


class Answering:
    """An API server that says the same to everything, once it has failed a number of times."""

    def __init__(self, answer: bytes | None, failures: int = 0) -> None:
        self._answer = answer
        self._failures = failures

    def jitter(self) -> float:
        return 0.0

    async def call(self, request: Request, asked: str) -> bytes | None:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable(asked)
        return self._answer


def group(*versions: str) -> bytes:
    return json.dumps({"kind": "APIGroup", "versions": [{"version": version} for version in versions]}).encode()


@pytest.mark.parametrize(
    ("answer", "version"),
    [(group("v3", "v3crd"), "v3crd"), (group("v3"), "v3"), (None, "v3crd")],
    ids=["Buoy's own kinds", "Calico itself", "not installed yet"],
)
async def test_the_version_that_needs_no_other_server_is_preferred(answer: bytes | None, version: str) -> None:
    feed = Feed(cast("ApiServer", Answering(answer)), (BGP_PEERS, SERVICES), lambda _: None)
    await feed._find_versions()
    assert (version, "v1") == (feed.at(BGP_PEERS).version, feed.at(SERVICES).version)


async def test_an_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buoy.kubernetes.feed.RETRY", 0)
    heard: list[bool] = []
    feed = Feed(
        cast("ApiServer", Answering(group("v3"), failures=2)), (BGP_PEERS,), lambda error: heard.append(bool(error))
    )
    await feed._find_versions()
    assert [True, True, False] == heard


def test_the_end_of_an_outage_is_told_once_it_is_over_for_all() -> None:
    heard: list[str] = []
    reports = Reports(lambda error: heard.append(str(error)))
    one, other = reports.of("one"), reports.of("other")
    one(None)
    one(StoreUnavailable("a"))
    other(StoreUnavailable("b"))
    one(None)
    assert ["a", "b"] == heard
    other(None)
    other(None)
    assert ["a", "b", "None"] == heard
