"""Ends a command at once on Ctrl-C or SIGTERM, and never loses the signal."""

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AGAIN_S = 0.02


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT into KeyboardInterrupt and SIGTERM into SystemExit, so that files are cleaned up.

    Signals that do not have their usual handlers are left alone: a shell's background job ignores
    SIGINT, and a program that runs us in a thread, or has handlers of its own, keeps its handlers.
    """
    usual: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    in_main = threading.current_thread() is threading.main_thread()
    ours = [each for each in usual if in_main and signal.getsignal(each) == usual[each]]
    for each in ours:
        signal.signal(each, _stop)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, usual[each])


def _stop(number: int, frame: FrameType | None) -> None:
    # An exception in a callback from libvips would be printed and forgotten: signal again later.
    if _in_pyvips(frame):
        again = threading.Timer(_AGAIN_S, _signal_main, [signal.Signals(number)])
        again.daemon = True
        again.start()
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)


def _signal_main(number: signal.Signals) -> None:
    if hasattr(signal, "pthread_kill"):  # only a signal to the main thread itself ends its sleep
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:  # Windows
        _thread.interrupt_main(number)


def _in_pyvips(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] == "pyvips":
            return True
        frame = frame.f_back
    return False
