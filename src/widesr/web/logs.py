"""Writes the server's log, as lines for people or as JSON for programs, on standard error."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

_LOGGERS = ("widesr", "uvicorn.error", "python_multipart")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_QUIET = ("/healthz", "/readyz", "/static")
"""Routes that are asked for again and again; their lines would hide the others."""


class _Lines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **facts,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _is_wanted(record: logging.LogRecord) -> bool:
    return getattr(record, "route", None) not in _QUIET or getattr(record, "status", 0) >= 500


@contextmanager
def logging_as(kind: Literal["text", "json"]) -> Iterator[None]:
    """Write the log of the server on standard error, and restore the loggers after."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if kind == "json" else _Lines())
    handler.addFilter(_is_wanted)
    before = []
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        before.append((logger, logger.handlers[:], logger.level, logger.propagate))
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # clients are told themselves
    try:
        yield
    finally:
        for logger, handlers, old_level, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(old_level)
