"""Numbers for Prometheus, on a port of their own."""

from collections.abc import Callable
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "widesr_requests", "Requests by what became of them.", ["method", "route", "status"],
            registry=registry,
        )  # fmt: skip
        self._latency = Histogram(
            "widesr_request_seconds", "From the head of a request to the end of its answer.",
            ["route"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._jobs = Counter(
            "widesr_jobs", "Jobs that ended, by how.", ["state"], registry=registry
        )
        self._job_seconds = Histogram(
            "widesr_job_seconds", "Of jobs that were done, from begin to end.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._pixels = Counter("widesr_pixels", "Pixels that were made.", registry=registry)
        self._queued = Gauge("widesr_jobs_queued", "Jobs that wait.", registry=registry)
        self._running = Gauge("widesr_jobs_running", "Jobs that run.", registry=registry)
        self._reserved = Gauge(
            "widesr_reserved_bytes", "Memory set aside for pictures.", registry=registry
        )
        self._kept = Gauge(
            "widesr_kept_bytes", "Pictures and results on the disk.", registry=registry
        )

    def watch(
        self,
        *,
        queued: Callable[[], float],
        running: Callable[[], float],
        reserved: Callable[[], float],
        kept: Callable[[], float],
    ) -> None:
        """Set the functions that the gauges read."""
        self._queued.set_function(queued)
        self._running.set_function(running)
        self._reserved.set_function(reserved)
        self._kept.set_function(kept)

    def answered(self, method: str, route: str, status: int, *, seconds: float) -> None:
        """Count a request and its time; `route` is a template, so that there are few routes."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def ended(self, state: str) -> None:
        """Count a job that ended."""
        self._jobs.labels(state).inc()

    def made(self, pixels: int, *, seconds: float) -> None:
        """Count the pixels of a result, and the time of its job."""
        self._pixels.inc(pixels)
        self._job_seconds.observe(seconds)

    def serve(self, *, host: str, port: int) -> WSGIServer:
        """Answer Prometheus, in a thread."""
        server, _ = start_http_server(port, addr=host, registry=self.registry)
        return server
