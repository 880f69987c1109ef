# SPDX-License-Identifier: Apache-2.0
"""Who leads: by what name it holds its lease, what it takes over, and that it writes nothing once the lease is over."""

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from buoy.controller.books import Books
from buoy.controller.claims import CLAIMS
from buoy.controller.fence import Fenced
from buoy.controller.identity import identity
from buoy.controller.metrics import Metrics
from buoy.controller.objects import Service
from buoy.controller.run import ControllerSettings, Process, Vitals
from buoy.controller.subject import Claim
from buoy.controller.writes import Api
from buoy.kubernetes.resources import SERVICES
from buoy.model.address import Address
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.model.service_ip import Owner, ServiceIP
from buoy.runtime.health import Pulse
from buoy.store.api_client import ApiServer
from buoy.store.api_names import ObjectName
from buoy.store.api_objects import News
from tests.unit.controller.cluster import Cluster


def test_who_was_killed_is_followed_by_one_of_its_name(tmp_path: Path) -> None:
    file = str(tmp_path / "run" / "controller")
    with identity(file) as first:
        pass
    with identity(file) as second:
        assert first == second


def test_who_lives_has_its_name_alone(tmp_path: Path) -> None:
    file = str(tmp_path / "controller")
    with identity(file) as first, identity(file) as beside, identity("") as third:
        assert 3 == len({first, beside, third})


@pytest.mark.parametrize("content", ["", "another\n", "another 00000000-0000-0000-0000-000000000000\n", "\0\0"])
def test_what_was_not_written_since_the_host_booted_is_no_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "controller"
    file.write_text(content)
    with identity(str(file)) as found:
        assert "another" not in found
    with identity(str(file)) as again:
        assert found == again


def test_a_file_on_a_full_disk_is_named() -> None:
    with pytest.raises(InvalidInput, match="/dev/full"), identity("/dev/full"):
        pass


def test_a_file_that_cannot_be_kept_is_named() -> None:
    with pytest.raises(InvalidInput, match="--identity-file"), identity("/proc/no/such"):
        pass


class Served:
    """An API server that notes who comes."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  a call
        async def call(*_: object) -> None:
            self.asked.append(name)

        return call


def test_once_the_lease_is_over_nothing_is_written() -> None:
    server, leads = Served(), [True]
    fenced = Fenced(cast("Api", server), lambda: leads[-1])
    at = CLAIMS.at(ObjectName("", "192.0.2.1"))

    async def each() -> list[str]:
        calls = [fenced.create(CLAIMS, "", {}, object), fenced.patch(at, {}, object), fenced.delete(at)]
        done = await asyncio.gather(fenced.get(at, object), *calls, return_exceptions=True)
        return [str(found) for found in done if isinstance(found, StoreUnavailable)]

    assert [] == asyncio.run(each())
    leads.append(False)
    refused = asyncio.run(each())
    assert (3, ["get", "create", "patch", "delete", "get"]) == (len(refused), server.asked)
    assert all("leads no more" in words for words in refused)


def heard(process: Process, name: str) -> list[str]:
    """Let a process hear of a Service; return the names of what it is to look at."""
    service = msgspec.convert({"metadata": {"name": name, "namespace": "shop"}}, Service)
    process.hear({SERVICES: News(False, {ObjectName("shop", name): service}, {}, 7, listed=False)})
    return [identity.name for identity in process._world.changed]


def test_who_waits_to_lead_keeps_no_list_of_what_another_does() -> None:
    process = Process((cast("ApiServer", None), None), ControllerSettings(), Vitals(Metrics(), Pulse()), "ctl")
    assert [] == heard(process, "web")
    process._set_leading(leading=True)
    assert ["dns"] == heard(process, "dns")
    process._set_leading(leading=False)
    assert [] == heard(process, "web-2")


async def test_who_begins_to_lead_forgets_claims_whose_time_came_while_another_led() -> None:
    cluster = Cluster()
    cluster.pool("public", "192.0.2.1/32", holdDown=60, remember=60)
    cluster.service("web")
    await cluster.settle()
    cluster.delete("web")
    world = cluster.controllers[0].world
    await cluster.settle()
    world.rest()
    assert ({}, None, None) == (world.changed, world.holds.next(), world.memories.next())
    cluster.wait(61)
    await cluster.settle()
    assert cluster.claim("192.0.2.1")["released"]
    world.everything()
    await cluster.settle()
    assert cluster.server.get(CLAIMS.at(ObjectName("", "192.0.2.1"))) is None


def test_who_has_nothing_any_more_is_not_remembered() -> None:
    books, owner = Books(), Owner(kind="Service", namespace="shop", name="web")
    at = Address("192.0.2.1")
    books.put(at, Claim(ServiceIP(address=at, owners=(owner,)), "1"))
    books.put(at, None)
    assert not books._of
