# SPDX-License-Identifier: Apache-2.0
"""What kube-proxy says of itself: when it is believed, and when its silence is taken for nothing."""

import asyncio
import contextlib
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from buoy.dataplane import proxy_health
from buoy.dataplane.proxy_health import Answer, ProxyHealth, ask, attend

LIVES, STALE, SILENT, UNREACHED = Answer


def thought(*answers: Answer) -> list[str]:
    """Return what is thought of kube-proxy after each of these answers."""
    health = ProxyHealth()
    return [health.trouble for answer in answers if health.hear(answer) is None]  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("answers", "troubles"),
    [
        ((LIVES, LIVES), (LIVES, LIVES)),
        ((SILENT, SILENT), (LIVES, SILENT)),
        ((LIVES, SILENT, LIVES, SILENT), (LIVES, LIVES, LIVES, LIVES)),
        ((SILENT, STALE, UNREACHED, SILENT, LIVES, LIVES), (LIVES, STALE, STALE, STALE, STALE, LIVES)),
        ((SILENT, SILENT, LIVES, SILENT), (LIVES, SILENT, SILENT, SILENT)),
        ((SILENT, SILENT, LIVES, LIVES), (LIVES, SILENT, SILENT, LIVES)),
    ],
)
def test_what_is_seen_twice_in_a_row_is_believed(answers: tuple[Answer, ...], troubles: tuple[Answer, ...]) -> None:
    assert [trouble.value for trouble in troubles] == thought(*answers)


def test_who_was_never_reached_may_not_listen_and_who_was_is_gone() -> None:
    assert ["", "", ""] == thought(UNREACHED, UNREACHED, UNREACHED)
    assert ["", "", "cannot be reached any more"] == thought(LIVES, UNREACHED, UNREACHED)


def test_who_cannot_be_reached_and_still_changes_rules_lives_and_has_to_be_reached_again_to_be_gone() -> None:
    health = ProxyHealth()
    for answer in (LIVES, UNREACHED, UNREACHED):
        health.hear(answer)
    health.rules_changed()
    assert ["", "", ""] == [health.trouble for _ in range(3) if health.hear(UNREACHED) is None]  # type: ignore[func-returns-value]
    health.hear(LIVES)
    health.hear(UNREACHED)
    health.hear(UNREACHED)
    assert UNREACHED.value == health.trouble


@pytest.mark.parametrize(
    ("answers", "trouble"),
    [
        ((LIVES, UNREACHED), UNREACHED),  # what it changed before it went is heard when it is gone
        ((LIVES, SILENT, SILENT), SILENT),
        ((LIVES, STALE, STALE), STALE),
    ],
)
def test_a_change_of_rules_excuses_nothing_else(answers: tuple[Answer, ...], trouble: Answer) -> None:
    health = ProxyHealth()
    for answer in answers:
        health.hear(answer)
    health.rules_changed()
    health.hear(answers[-1])
    assert trouble.value == health.trouble


@contextlib.asynccontextmanager
async def proxy(says: bytes | None) -> AsyncIterator[int]:
    """Listen as kube-proxy does, say this to whoever asks, and hang up; None: hang instead. Yield the port."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()).startswith(b"GET /livez ")
        if says is None:
            await over.wait()
        else:
            writer.write(says)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]
        over.set()


@pytest.mark.parametrize(
    ("says", "answer"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", LIVES),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", STALE),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", LIVES),
        (None, SILENT),
        (b"", UNREACHED),
        (b"x" * 100_000, UNREACHED),
    ],
)
async def test_it_is_taken_at_its_word(says: bytes | None, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_health, "PATIENCE", 0.5)
    async with proxy(says) as port:
        assert answer is await ask(["127.0.0.1"], port)


class Healthy(socketserver.StreamRequestHandler):
    """A kube-proxy that lives, with a loop of its own."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")


@pytest.fixture
def elsewhere() -> Iterator[int]:
    with socketserver.TCPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def test_an_answer_is_not_late_because_we_were_busy(elsewhere: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_health, "PATIENCE", 0.05)
    asked = asyncio.create_task(ask(["127.0.0.1"], elsewhere))
    while not asked.done():
        time.sleep(0.1)  # noqa: ASYNC251  # a pass of the agent, longer than our patience
        await asyncio.sleep(0)
    assert LIVES is asked.result()


async def test_it_is_looked_for_at_one_address_after_the_other() -> None:
    async with proxy(b"HTTP/1.0 503 \r\n\r\n") as port:
        assert STALE is await ask(["127.0.0.2", "127.0.0.1", "192.0.2.1"], port)
    assert UNREACHED is await ask(["127.0.0.1", "127.0.0.2"], port)


async def test_whoever_attends_is_woken_when_it_hangs_and_when_it_lives_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [LIVES, SILENT, SILENT, SILENT, LIVES, LIVES, LIVES]
    health, woken, over = ProxyHealth(), list[str](), asyncio.Event()

    async def told(_: object) -> Answer:
        if not answers[1:]:
            over.set()
        return answers.pop(0) if answers else LIVES

    monkeypatch.setattr(proxy_health, "ask", told)
    monkeypatch.setattr(proxy_health, "PAUSE", 0)
    attending = asyncio.create_task(attend(health, (), lambda: woken.append(health.trouble)))
    await over.wait()
    attending.cancel()
    assert ["does not answer", ""] == woken
