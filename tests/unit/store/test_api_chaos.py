# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to objects and connections, in whatever order: who hears the news knows what is there."""

import asyncio
import random
from contextlib import suppress

import pytest

from buoy.store import api_informer
from buoy.store.api_client import ApiServer
from buoy.store.api_informer import Informer
from buoy.store.api_names import ObjectName
from tests.store.api.following import Following
from tests.store.api.scripted import THINGS, ScriptedServer, Thing, answering, ending

ERROR = {"kind": "Status", "code": 500, "message": "etcdserver: leader changed"}


async def disturb(server: ScriptedServer, chance: random.Random) -> None:
    """Do one thing to the objects or the connections."""
    name = chance.choice("abcdef")
    match chance.randrange(12):
        case 0 | 1 | 2 | 3:
            server.put(name, chance.randrange(100), uid=str(chance.random()))
        case 4:
            server.put(name, "unreadable")
        case 5 | 6:
            if name in server.objects:
                server.remove(name)
        case 7:
            server.cut()
        case 8:
            server.compact()
            server.cut()
        case 9:
            server.tell_those_who_watch("ERROR", ERROR)
        case 10:
            server.next("list", answering(503, "busy"))
            server.next("watch", ending)
        case 11:
            server.bookmark()
    for _ in range(chance.randrange(4)):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("seed", range(12))
async def test_what_was_told_is_what_is_there(
    seed: int, server: ScriptedServer, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_informer, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(api_informer, "LAST_DELAY", 0.01)
    chance = random.Random(seed)
    async with Following(Informer(api, THINGS, Thing)) as following:
        listening = asyncio.create_task(following.until(lambda: "end" in {name.name for name in following.objects}))
        for _ in range(150):
            await disturb(server, chance)
        server.put("end", 1)
        await listening
        readable, broken = {}, set()
        for name, content in server.objects.items():
            if content["spec"]["size"] == "unreadable":
                broken.add(ObjectName("default", name))
            else:
                readable[name] = content["metadata"]["resourceVersion"], content["metadata"]["uid"]
        held = {
            name.name: (item.metadata.resource_version, item.metadata.uid) for name, item in following.objects.items()
        }
        assert broken == following.broken.keys()
        assert readable == {
            name: version for name, version in held.items() if ObjectName("default", name) not in broken
        }
        assert held.keys() <= server.objects.keys()
    with suppress(asyncio.CancelledError):
        await listening
