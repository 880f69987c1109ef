# SPDX-License-Identifier: Apache-2.0
"""What an operator alerts on, and what the log tells, of a controller."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from buoy.controller.step import Publish, Release, Step, Take, Tell
from buoy.model.errors import BuoyError, Conflict, StoreUnavailable
from buoy.model.service_ip import Identity
from buoy.runtime.telemetry import logger

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one controller; all carry the prefix `buoy_controller_`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.log = logger()
        self.leading = self._gauge("leading", "1 if this controller leads.")
        self.api_up = self._gauge("api_up", "1 if the API server answered last.")
        self.waiting = self._gauge("waiting", "Objects that lack an address they asked for.")
        self.looked_at = self._counter("looked_at_total", "Objects looked at.")
        self.taken = self._counter("taken_total", "Claims written to give an address.")
        self.released = self._counter("released_total", "Claims written to take an address back.")
        self.statuses = self._counter("statuses_total", "Statuses written.")
        self.contested = self._counter(
            "contested_total", "Statuses left alone because somebody else keeps writing them."
        )
        self.failures = Counter(
            "buoy_controller_failures_total", "Writes that failed, by what failed.", ["cause"], registry=self.registry
        )
        self.pass_seconds = Histogram(
            "buoy_controller_pass_seconds", "Duration of a pass.", buckets=_SECONDS, registry=self.registry
        )
        self.pool_addresses = Gauge(
            "buoy_pool_addresses",
            "Addresses of a pool, by family and state: live, held, free.",
            ["pool", "family", "state"],
            registry=self.registry,
        )

    def wrote(self, step: Step) -> None:
        """Count a step that was done."""
        if isinstance(step, Take):
            self.taken.inc()
        elif isinstance(step, Release):
            self.released.inc()
        elif isinstance(step, Publish):
            self.statuses.inc()

    def told(self, identity: Identity, tell: Tell) -> None:
        """Log what an object is told."""
        said = self.log.warning if tell.warning else self.log.info
        said(tell.reason, object=str(identity), message=tell.message)

    def failed(self, identity: Identity, error: BuoyError) -> None:
        """Count a write that failed; what is part of every day with two writers is not logged."""
        self.failures.labels(type(error).__name__).inc()
        if not isinstance(error, Conflict | StoreUnavailable):
            self.log.error("refused", object=str(identity), error=str(error))

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"buoy_controller_{name}", text, registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"buoy_controller_{name}", text, registry=self.registry)
