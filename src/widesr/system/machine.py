"""Describes this machine: its CPU, and how much of it this process may use."""

import os
import platform
from functools import cache
from math import ceil
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

_CPUINFO = Path("/proc/cpuinfo")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


class Cpu(NamedTuple):
    """The CPU as Linux describes it; on other systems the fields are empty."""

    vendor: str
    flags: frozenset[str]
    """The names of its features."""


@cache
def cpu() -> Cpu:
    """Read the description of the CPU."""
    lines = dict.fromkeys(("vendor_id", "flags"), "")
    for line in reversed(_text(_CPUINFO).splitlines()):  # the first CPU is read last
        name, _, value = line.partition(":")
        if name.strip() in lines:
            lines[name.strip()] = value.strip()
    return Cpu(lines["vendor_id"], frozenset(lines["flags"].split()))


def usable_cpus() -> int:
    """Count the CPUs that this process may use, by its affinity and the quota of its container."""
    return min([_allowed_cpus(), *map(ceil, _quotas())])


def _allowed_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def streams_of(threads: int) -> int:
    """Choose the number of groups to divide threads into; each group computes its own tile.

    Two groups lose less time waiting than one group does for its slowest thread, and while one runs
    a part that only one thread can do, the other goes on. More would hold more tiles in memory.
    """
    return next((n for n in (2, 3) if threads % n == 0), 1)


def _quotas() -> list[float]:
    """List the quota, in CPUs, of each control group around this process, version 2 or 1.

    With one thread for each CPU of the machine, the quota would be used up at once, and all threads
    would be stopped for the rest of each tenth of a second.
    """
    found = []
    for line in _text(_OWN_CGROUP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, files = _CGROUPS, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            root, files = _CGROUPS / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        # In a container, the path is that of the host and does not exist; the container's own group
        # is the root.
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            words = " ".join(_text(folder / file) for file in files).split()
            if folder.is_relative_to(root) and [word.isdigit() for word in words] == [True, True]:
                found.append(int(words[0]) / int(words[1]))
    return found


def _text(path: Path) -> str:
    """Read a file of the kernel; return "" if it does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def cpu_name() -> str:
    """Give the CPU's name, as its maker writes it."""
    lines = _text(_CPUINFO).splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


class MachineReport(BaseModel):
    """The machine on which seconds were measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cores: int
    """Cores that this process may use."""
    system: str


def this_machine() -> MachineReport:
    """Describe the machine that this process runs on."""
    return MachineReport(
        cpu=cpu_name(),
        cores=_allowed_cpus(),
        system=f"{platform.system()} {platform.machine()}",
    )
