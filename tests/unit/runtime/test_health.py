# SPDX-License-Identifier: Apache-2.0
"""`/metrics`, `/healthz`, `/readyz`: asked over HTTP, as a scraper does."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from buoy.model.errors import InvalidInput
from buoy.runtime.health import Pulse, serve
from buoy.runtime.telemetry import Telemetry
from tests.store.etcd_server import free_port

Get = Callable[[str], tuple[int, str]]


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
def get(pulse: Pulse) -> Iterator[Get]:
    """Serve an agent's telemetry; return what asks for a path and gives status and body."""
    telemetry, port = Telemetry(), free_port()
    telemetry.repairs.labels("route").inc(3)
    telemetry.pass_seconds.observe(0.002)
    stop = serve(f"127.0.0.1:{port}", telemetry.registry, pulse)

    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    yield ask
    stop()


def test_metrics_are_prometheus_text_of_this_agent(get: Get) -> None:
    status, body = get("/metrics")
    assert 200 == status
    assert 'buoy_repairs_total{table="route"} 3.0' in body.splitlines()
    assert "buoy_pass_seconds_count 1.0" in body.splitlines()


def test_no_metric_is_told_with_the_time_it_was_created(get: Get) -> None:
    assert [] == [line for line in get("/metrics")[1].splitlines() if "_created" in line]


def test_an_agent_is_alive_while_its_loop_beats(get: Get, pulse: Pulse) -> None:
    assert (200, "the loop runs\n") == get("/healthz")
    pulse.beaten -= 60
    assert (503, "the loop has not run for 30 s\n") == get("/healthz")
    pulse.beat()
    assert (200, "the loop runs\n") == get("/healthz")


def test_an_agent_is_ready_once_it_has_reconciled(get: Get, pulse: Pulse) -> None:
    assert (503, "no complete snapshot reconciled yet\n") == get("/readyz")
    pulse.ready = True
    assert (200, "reconciled\n") == get("/readyz")


def test_another_path_is_answered_with_those_there_are(get: Get) -> None:
    assert (404, "try /metrics, /healthz or /readyz\n") == get("/")


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "192.0.2.1:9705", "nowhere:1"])
def test_where_nobody_can_listen_is_the_operators_to_correct(listen: str, pulse: Pulse) -> None:
    with pytest.raises(InvalidInput) as refused:
        serve(listen, Telemetry().registry, pulse)
    assert ("health.listen", listen) == (refused.value.field, refused.value.value)
    assert refused.value.remedy.startswith("give a free host:port, or '' for none")
