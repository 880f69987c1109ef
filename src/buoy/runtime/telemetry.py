# SPDX-License-Identifier: Apache-2.0
"""Telemetry: log events with keys, and the metrics an operator alerts on.

Floors below do not log and do not count; they return values, and what is worth
telling is told here. All metrics carry the prefix `buoy_`.
"""

import logging
import sys
from collections import Counter as CounterOf
from collections.abc import Callable, Iterable, Iterator

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily

from buoy.model.status import AddressStatus, State

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def logger() -> structlog.stdlib.BoundLogger:
    """Return the logger of this process: key=value on standard error, colours only on a terminal."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=True)
            if sys.stderr.isatty()
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return structlog.get_logger()  # type: ignore[no-any-return]


class Telemetry:
    """The metrics of one agent; one instance per process, its registry is served by `health.py`."""

    def __init__(self) -> None:
        # one more line for each line, and a counter's reset tells a reader the same
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.log = logger()
        self.passes = Counter("buoy_passes_total", "Passes run.", registry=self.registry)
        self.failures = Counter(
            "buoy_failures_total", "Steps the host refused, by table.", ["table"], registry=self.registry
        )
        self.repairs = Counter(
            "buoy_repairs_total", "Entries put right after foreign damage.", ["table"], registry=self.registry
        )
        self.subjects = Counter("buoy_subjects_total", "Subjects computed.", registry=self.registry)
        self.sessions = Gauge(
            "buoy_bgp_session_up", "1 if the BGP session is established.", ["peer"], registry=self.registry
        )
        self.store_up = Gauge("buoy_store_up", "1 if the store answered last.", registry=self.registry)
        self.held = Gauge("buoy_guard_held", "Removals held by the guard.", registry=self.registry)
        self.pass_seconds = Histogram(
            "buoy_pass_seconds", "Duration of a pass.", buckets=_SECONDS, registry=self.registry
        )
        self.programmed_seconds = Histogram(
            "buoy_change_to_programmed_seconds",
            "From the change seen to its entries verified.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.announced_seconds = Histogram(
            "buoy_change_to_announced_seconds",
            "From the change seen to an established peer told.",
            buckets=_SECONDS,
            registry=self.registry,
        )


class AddressStates:
    """Counts addresses by state and by reason when somebody asks, so that a pass need not."""

    def __init__(self, statuses: Callable[[], Iterable[object]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield `buoy_addresses` by state and `buoy_withheld` by reason."""
        found = [status for status in self._statuses() if isinstance(status, AddressStatus)]
        states = GaugeMetricFamily("buoy_addresses", "Addresses of this node, by state.", labels=["state"])
        for state in State:
            states.add_metric([str(state)], sum(status.state is state for status in found))
        reasons = GaugeMetricFamily("buoy_withheld", "Addresses not served, by reason.", labels=["reason"])
        for reason, count in CounterOf(str(status.reason) for status in found if status.reason).items():
            reasons.add_metric([reason], count)
        announced = GaugeMetricFamily("buoy_announced", "Addresses an established peer was told of.")
        announced.add_metric([], sum(status.announced for status in found))
        programmed = GaugeMetricFamily("buoy_programmed", "Addresses whose forwarding and policy were verified.")
        programmed.add_metric([], sum(status.programmed for status in found))
        yield from (states, reasons, announced, programmed)
