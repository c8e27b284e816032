"""A server on this machine for what is fetched, over a bad line and with lies if asked to."""

import hashlib
import socket
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

Asked = namedtuple("Asked", ["path", "start", "status"])


class Server:
    """Files over HTTP with Range, and what a bad line or a bad server does to them."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        """Paths, and the addresses that they lead on to."""
        self.asked: list[Asked] = []
        self.cut_after: list[int] = []
        """Bytes after which the next connections break."""
        self.stop_after: dict[str, int] = {}
        """Bytes of a file after which the server falls silent, until it is closed."""
        self.is_silent = threading.Event()
        """Set once the server has fallen silent."""
        self._closes = threading.Event()
        self.said_range: str | None = None
        """False Content-Range that is sent for a part."""
        self.ranges = True
        self.etag = True
        self.length = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, to):
        path = unquote(to.path)
        data = self.files.get(path)
        if data is None:
            self._send_away(to, path)
            return
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        start, wanted = 0, to.headers.get("Range")
        if wanted and self.ranges and to.headers.get("If-Range", etag) == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        status = 206 if start else 200
        if wanted and start >= len(data):
            status = 416
        self.asked.append(Asked(path, start, status))
        if status == 416:
            to.send_error(416)
            return
        to.send_response(status)
        body = data[start:]
        if status == 206:
            truth = f"bytes {start}-{len(data) - 1}/{len(data)}"
            to.send_header("Content-Range", self.said_range or truth)
        if self.length:
            to.send_header("Content-Length", str(len(body)))
        if self.etag:
            to.send_header("ETag", etag)
        to.end_headers()
        if self.cut_after:
            body = body[: self.cut_after.pop(0)]
        n = self.stop_after.get(path, len(body))
        to.wfile.write(body[:n])
        if n < len(body):
            to.wfile.flush()
            self.is_silent.set()
            self._closes.wait()

    def _send_away(self, to, path):
        where = self.moved.get(path)
        self.asked.append(Asked(path, 0, 302 if where else 404))
        if where is None:
            to.send_error(404)
            return
        to.send_response(302)
        to.send_header("Location", where)
        to.send_header("Content-Length", "0")
        to.end_headers()

    def close(self):
        self._closes.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def closed_port() -> Iterator[str]:
    """Give an address where nobody listens; its port stays taken, so that nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"
