"""A terminal: a program runs in a real one, and what its user would see is a list of lines."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

_PARTS = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n])")


def seen(data: str) -> list[str]:
    """Return the lines that stay on the screen, after line ends, cursor up and erased lines."""
    rows: list[list[str]] = [[]]
    y = x = 0
    for args, command, back, down, letter in _PARTS.findall(data):
        if command == "A":
            y -= int(args or 1)
        elif command == "K":
            assert args == "2"
            rows[y] = []
        elif back:
            x = 0
        elif down:
            y += 1
            if y == len(rows):
                rows.append([])
        elif letter:
            rows[y] += " " * (x - len(rows[y]))
            rows[y][x : x + 1] = [letter]
            x += 1
    return ["".join(row).rstrip() for row in rows]


def in_terminal(
    command: list[str] | str, *, stdout: int | None = None, cwd: Path | None = None
) -> tuple[int, str]:
    """Run a program, or a line for the shell, in a terminal of 200 columns.

    Returns:
        Exit code, and all that the terminal got; stdout goes there too unless it goes elsewhere.
    """
    terminal, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    with subprocess.Popen(
        command,
        shell=isinstance(command, str),
        stdin=subprocess.DEVNULL,
        stdout=child if stdout is None else stdout,
        stderr=child,
        cwd=cwd,
        env={**os.environ, "TERM": "xterm"},
    ) as running:
        os.close(child)
        shown = b""
        try:
            while data := os.read(terminal, 2**16):
                shown += data
        except OSError:  # how Linux says that no one writes any more
            pass
        finally:
            os.close(terminal)
            _end(running)
    return running.returncode, shown.decode()


def _end(running: subprocess.Popen[bytes]) -> None:
    """Wait for a program that has closed its terminal; leaving `with` would wait for ever."""
    try:
        running.wait(timeout=250)
    finally:
        running.kill()


WIDESR = [sys.executable, "-m", "widesr"]
