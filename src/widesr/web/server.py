"""Runs the application: sockets, timeouts for slow clients, and a stop that loses no jobs."""

import asyncio
import contextlib
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any
from wsgiref.simple_server import WSGIServer

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from widesr.errors import UsageError
from widesr.system.progress import ignore
from widesr.web.app import create_app
from widesr.web.logs import logging_as
from widesr.web.service import Service
from widesr.web.settings import ServeSettings

_MOST_HEADERS = 2**15
"""The most bytes of a request's line and headers."""
_BACKLOG = 512


class _Patient(H11Protocol):
    """Closes the connections of clients that send no request, or do not read the answer."""

    patience = 20.0

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn says
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._paused_since: float | None = None
        self._timer = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._paused_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._paused_since = None
        super().resume_writing()

    def _look(self) -> None:
        now = self.loop.time()
        is_answering = self.cycle is not None and not self.cycle.response_complete
        since = self._paused_since if is_answering or self._paused_since else self._idle_since
        if since is not None and now - since >= self.patience:
            self.transport.abort()  # `close` would wait until the client has read the answer
            return
        self._timer = self.loop.call_later(self.patience / 4, self._look)


class _Server(uvicorn.Server):
    """Tells the service of a stop before it waits for open connections."""

    def __init__(
        self, config: uvicorn.Config, service: Service, ready: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._service, self._ready = service, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            self._ready(_url(sockets[0]))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.drain()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM; after a clean stop, the command does not count as failed."""
        in_main = threading.current_thread() is threading.main_thread()
        wanted = (signal.SIGINT, signal.SIGTERM) if in_main else ()
        before = {each: signal.signal(each, self.handle_exit) for each in wanted}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully on the first signal, and without waiting on the second."""
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)


def serve(settings: ServeSettings, *, ready: Callable[[str], None] = ignore) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: The settings of the server.
        ready: Called with the server's URL when it accepts requests.

    Raises:
        UsageError: The address or the data folder cannot be used.
    """
    listener = _listening(settings)
    with contextlib.closing(listener), logging_as(settings.log_format):
        service = Service(settings)
        tempfile.tempdir = str(settings.temporary)  # so that nothing is written elsewhere
        metrics = _metrics(settings, service)
        protocol = type("_PatientAs", (_Patient,), {"patience": settings.patience})
        config = uvicorn.Config(
            create_app(service),
            http=protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            h11_max_incomplete_event_size=_MOST_HEADERS,
            timeout_keep_alive=int(max(settings.patience, 1)),
            timeout_graceful_shutdown=int(settings.grace + settings.patience),
        )
        server = _Server(config, service, ready)
        try:
            asyncio.run(server.serve(sockets=[listener]))
        finally:
            tempfile.tempdir = None
            if metrics is not None:
                metrics.shutdown()
                metrics.server_close()


def _metrics(settings: ServeSettings, service: Service) -> WSGIServer | None:
    """Serve the metrics, if there is a port for them."""
    if settings.metrics_port is None:
        return None
    try:
        return service.metrics.serve(host=settings.metrics_host, port=settings.metrics_port)
    except OSError as error:
        raise UsageError(
            f"metrics cannot be served at {settings.metrics_host}:{settings.metrics_port} "
            f"({error.strerror})",
            options=["metrics_port"],
        ) from error


def _listening(settings: ServeSettings) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise UsageError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}); another "
            "program may have it",
            options=["port", "host"],
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - what is shown, not bound
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
