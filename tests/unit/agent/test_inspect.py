# SPDX-License-Identifier: Apache-2.0
"""Questions to the agent of a host: over its socket, as the command line asks them."""

import asyncio
import json
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from buoy.agent.inspect import ask, listen
from buoy.model.errors import Conflict, InvalidInput


def _refuse(_: Mapping[str, Any]) -> None:
    raise Conflict("somebody else was first")


def _break(_: Mapping[str, Any]) -> None:
    raise PermissionError(13, "Permission denied", "/run/x")


ANSWERS = {"echo": lambda question: question.get("text"), "refuse": _refuse, "break": _break}


async def raw(path: Path, line: bytes) -> Any:  # noqa: ANN401  JSON
    """Send a line as it is and return the reply."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    writer.write_eof()
    reply = await reader.read()
    writer.close()
    return json.loads(reply) if reply else None


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """Return a path in a directory that is not there yet."""
    return tmp_path / "run" / "agent.sock"


async def test_a_question_is_answered_with_what_the_function_of_its_name_returns(socket: Path) -> None:
    async with await listen(ANSWERS, str(socket)):
        assert "hello" == await ask("echo", str(socket), text="hello")
        assert None is await ask("echo", str(socket))


async def test_many_ask_at_once(socket: Path) -> None:
    async with await listen(ANSWERS, str(socket)):
        assert list(range(50)) == await asyncio.gather(*(ask("echo", str(socket), text=each) for each in range(50)))


async def test_only_the_agents_user_may_ask(socket: Path) -> None:
    async with await listen(ANSWERS, str(socket)):
        assert 0o600 == stat.S_IMODE(socket.stat().st_mode)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "ask one of break, echo, refuse"),
        ("refuse", "somebody else was first"),
        ("break", "[Errno 13] Permission denied: '/run/x'"),
    ],
)
async def test_who_asks_what_cannot_be_answered_is_told_why(socket: Path, name: str, said: str) -> None:
    async with await listen(ANSWERS, str(socket)):
        with pytest.raises(InvalidInput) as refused:
            await ask(name, str(socket))
    assert ("agent", name, said) == (refused.value.field, refused.value.value, refused.value.remedy)


@pytest.mark.parametrize("line", [b"no JSON\n", b"[1]\n", b"3\n", b'{"text": "hello"}\n', b'{"ask": ["echo"]}\n'])
async def test_what_is_no_question_is_answered_with_those_there_are(socket: Path, line: bytes) -> None:
    async with await listen(ANSWERS, str(socket)):
        assert {"error": "ask one of break, echo, refuse"} == await raw(socket, line)


async def test_what_is_heard_after_whoever_asked_has_given_up_is_not_done(socket: Path) -> None:
    done: list[str] = []
    async with await listen({"drain": lambda _: done.append("drain")}, str(socket)):
        late = await raw(socket, json.dumps({"ask": "drain", "until": time.monotonic() - 1}).encode() + b"\n")
        assert ({"error": "whoever asked has given up"}, []) == (late, done)
        await ask("drain", str(socket))
    assert ["drain"] == done


async def test_who_only_knocks_keeps_nobody_from_asking(socket: Path) -> None:
    async with await listen(ANSWERS, str(socket)):
        assert None is await raw(socket, b"")
        assert 7 == await ask("echo", str(socket), text=7)


async def test_an_agent_that_hangs_is_named_and_not_waited_for(socket: Path) -> None:
    socket.parent.mkdir()
    hung = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung.wait()
        writer.close()

    async with await asyncio.start_unix_server(hang, socket):
        with pytest.raises(
            InvalidInput, match=r"does not answer within 0.2 s, and will do nothing: journalctl -u buoy-agent"
        ):
            await ask("echo", str(socket), patience=0.2)
        hung.set()


@pytest.mark.parametrize("said", [b"", b'{"answer": [1, 2', b'{"answer": "\xc3'])
async def test_an_agent_that_is_killed_over_its_answer_has_given_none(socket: Path, said: bytes) -> None:
    socket.parent.mkdir()

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(said)
        writer.close()

    async with await asyncio.start_unix_server(die, socket):
        with pytest.raises(InvalidInput, match="the agent closed the connection; see its log"):
            await ask("echo", str(socket))


async def test_without_an_agent_the_remedy_is_to_look_for_it(socket: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no agent listens on this host .*: systemctl status buoy-agent"):
        await ask("echo", str(socket))


async def test_an_agent_takes_the_socket_of_one_that_was_killed(socket: Path) -> None:
    killed = await listen({"echo": lambda _: "old"}, str(socket))
    killed.close()
    socket.touch()
    async with await listen(ANSWERS, str(socket)):
        assert "new" == await ask("echo", str(socket), text="new")
