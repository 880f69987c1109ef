# SPDX-License-Identifier: Apache-2.0
"""What a log hears of an outage."""

from prometheus_client import CollectorRegistry, Gauge
from structlog.testing import capture_logs

from buoy.model.errors import StoreUnavailable
from buoy.runtime.outages import AGAIN, Outages, Words
from buoy.runtime.telemetry import logger

REFUSED, FORBIDDEN = StoreUnavailable("connection refused"), StoreUnavailable("no right to list pools")


def test_each_thing_is_told_once_and_again_after_a_while_and_the_end() -> None:
    now = [100.0]
    up = Gauge("up", "Up.", registry=CollectorRegistry())
    log = logger()
    with capture_logs() as lines:
        outages = Outages(log, up, Words("store", "changes wait"), lambda: now[0])
        for error in (None, REFUSED, FORBIDDEN, REFUSED):
            outages(error)
        now[0] += AGAIN
        outages(REFUSED)
        outages(REFUSED)
        away = up._value.get()
        outages(None)
        outages(None)
        outages(REFUSED)
    told = [(line["event"], line.get("error"), line.get("meanwhile")) for line in lines]
    refused = ("store away", "connection refused", "changes wait")
    forbidden = ("store away", "no right to list pools", "changes wait")
    assert [refused, forbidden, refused, ("store answers", None, None), refused] == told
    assert (0.0, 0.0) == (away, up._value.get())
