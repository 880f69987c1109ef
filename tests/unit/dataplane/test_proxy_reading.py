# SPDX-License-Identifier: Apache-2.0
"""Programs that are read beside the loop, and the timer beside them."""

import select
from collections.abc import Iterator

import pytest

from buoy.dataplane import proxy_reading
from buoy.dataplane.proxy_reading import Reading
from buoy.dataplane.proxy_timer import Timer
from buoy.model.errors import DataplaneError


@pytest.fixture
def poll() -> Iterator[select.epoll]:
    with select.epoll() as made:
        yield made


def finish(reading: Reading, poll: select.epoll) -> list[bytes]:
    while (texts := reading.go_on()) is None:
        assert poll.poll(20)
    return texts


def test_what_programs_print_comes_in_their_order_once_all_have_ended(poll: select.epoll) -> None:
    reading = Reading([("sh", "-c", "sleep 0.1; echo one"), ("echo", "two"), ("true",)], poll)
    assert None is reading.go_on()
    assert [b"one\n", b"two\n", b""] == finish(reading, poll)


def test_more_than_a_pipe_holds_holds_nobody_up(poll: select.epoll) -> None:
    (text,) = finish(Reading([("head", "-c", "3000000", "/dev/zero")], poll), poll)
    assert 3_000_000 == len(text)


def test_nothing_to_run_is_over_at_once(poll: select.epoll) -> None:
    assert [] == Reading([], poll).go_on()


def test_a_program_that_fails_is_an_error_with_the_last_it_said(poll: select.epoll) -> None:
    reading = Reading([("sh", "-c", "echo first; echo last >&2; exit 4"), ("echo", "never")], poll)
    with pytest.raises(DataplaneError, match="sh: ended with 4: last"):
        finish(reading, poll)
    reading.close()


def test_a_program_that_is_missing_is_an_error(poll: select.epoll) -> None:
    with pytest.raises(DataplaneError, match="no-such-program: cannot be run: No such file"):
        Reading([("no-such-program",)], poll).go_on()


def test_a_program_that_does_not_end_is_given_up(poll: select.epoll, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_reading, "PATIENCE", 0.05)
    reading = Reading([("sleep", "1000")], poll)
    reading.go_on()
    assert [] == poll.poll(0.1)
    with pytest.raises(DataplaneError, match="sleep: did not end within"):
        reading.go_on()
    reading.close()
    assert [] == poll.poll(0)


def test_a_reading_that_is_closed_ends_what_runs(poll: select.epoll) -> None:
    reading = Reading([("sleep", "1000"), ("echo", "one")], poll)
    reading.go_on()
    reading.close()
    assert [b"one\n"] == finish(reading, poll)


def test_a_timer_goes_off_when_it_was_last_set_to_and_not_once_cleared(poll: select.epoll) -> None:
    timer = Timer()
    poll.register(timer, select.EPOLLIN)
    timer.set(1000)
    timer.set(0)
    assert 1 == len(poll.poll(20))
    timer.clear()
    assert [] == poll.poll(0)
    timer.set(0.05)
    timer.clear()
    assert [] == poll.poll(0.2)
    timer.close()
