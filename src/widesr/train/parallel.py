"""Runs one training in several processes, on one machine or many, as `torchrun` starts them.

Each process holds the whole network and learns from its share of every batch. The sum of their
gradients is the gradient that a single process would get from the whole batch. One collective call
sums the gradients in one buffer, in place of DistributedDataParallel. That would cut them into
buckets, whose order it learns in the first step and forgets on a resume, and with it the order of
the sums.
"""

import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # see below
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from widesr.data.loader import share_of
from widesr.errors import TrainingError, WidesrError, first_line

# An optimizer's first step imports torch.distributed.nn.functional, whose functions take the
# process group of that moment as a default. Imported here, while there is no group, it keeps none
# alive. Otherwise gloo's threads would outlive `joined`, and could abort a process at its very end
# (torch 2.13).

Made = TypeVar("Made")
_MEETING_S = 900
_POLL_S = 0.05


class PeerError(TrainingError):
    """The error that another process of the run could not go on; that process says why."""


@dataclass(frozen=True)
class World:
    """The processes of a run as one of them sees them; a process alone exchanges nothing."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a constant)
    """The device of the tensors that this process exchanges."""

    @property
    def is_main(self) -> bool:
        """True in the process that writes the files and the log, and reports to the user."""
        return self.rank == 0

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace each float32 tensor by its sum over all processes, bit for bit the same in each.

        Raises:
            TrainingError: Another process has ended.
        """
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _peer_errors():
            dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        with torch.no_grad():
            torch._foreach_copy_(
                list(tensors), [p.view_as(t) for p, t in zip(parts, tensors, strict=True)]
            )

    def gather(self, mine: Tensor, total: int) -> Tensor:
        """Concatenate the rows of all processes, one process after another.

        Args:
            mine: This process' rows, float32, one or several for each patch that the loader gives
                it. They keep their gradient; the others have none.
            total: The number of patches of all processes together.

        Raises:
            TrainingError: Another process has ended.
        """
        if self.size == 1:
            return mine
        share = share_of(total, rank=self.rank, world_size=self.size)
        each = len(mine) // (share.stop - share.start)
        start, end = each * share.start, each * share.stop
        rows = mine.new_zeros((each * total, *mine.shape[1:]))
        rows[start:end] = mine.detach()
        self.all_reduce([rows])
        return torch.cat([rows[:start], mine, rows[end:]])

    def any(self, mine: bool) -> bool:
        """Return whether `mine` is true in any process; all processes get the same answer."""
        return self._least(0 if mine else 1) == 0

    def together(self, make: Callable[[], Made]) -> Made:
        """Call a function that may fail in one process only; all processes stop if it fails in any.

        The first process that failed raises its own error. No process goes on before all are done.

        Raises:
            WidesrError: The error that `make` raised here.
            PeerError: `make` failed in another process.
        """
        failed: WidesrError | None = None
        made: list[Made] = []
        try:
            made.append(make())
        except WidesrError as error:
            failed = error
        first = self._least(self.rank if failed else self.size)
        if failed and first == self.rank:
            raise failed
        if first < self.size:
            raise PeerError(f"process {first} of {self.size} could not go on, and says why")
        return made[0]

    def broadcast(self, data: bytes) -> bytes:
        """Send the bytes of the main process to all; the bytes of the others are ignored."""
        if self.size == 1:
            return data
        length = torch.tensor(len(data), device=self.device)
        with _peer_errors():
            dist.broadcast(length, src=0)
        if not length:
            return b""
        ours = bytearray(data) if self.is_main else bytearray(int(length))
        content = torch.frombuffer(ours, dtype=torch.uint8).to(self.device)
        with _peer_errors():
            dist.broadcast(content, src=0)
        return content.cpu().numpy().tobytes()

    def _least(self, number: int) -> int:
        if self.size == 1:
            return number
        tensor = torch.tensor(number, device=self.device)
        with _peer_errors():
            dist.all_reduce(tensor, op=dist.ReduceOp.MIN)
        return int(tensor)


ALONE = World()
"""A run in one process."""


def is_launched() -> bool:
    """Return whether torchrun, or a launcher with its variables, started several processes."""
    wanted = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return all(name in os.environ for name in wanted) and int(os.environ["WORLD_SIZE"]) > 1


def is_main() -> bool:
    """Return whether this is the main process of the run, before it has joined the others."""
    return not is_launched() or os.environ["RANK"] == "0"


def was_restarted() -> bool:
    """Return whether torchrun started this process in place of one that had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def local_rank() -> int:
    """Return the number of this process on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if is_launched() else 0


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the processes that were started beside this one; yield `ALONE` if there are none.

    They communicate by gloo on CPUs, and by nccl on GPUs.

    Raises:
        TrainingError: The processes do not find one another.
    """
    if not is_launched():
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, size = next(rendezvous("env://"))
        store = PrefixStore(_attempt(store, rank, size), store)
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise TrainingError(
            f"process {os.environ['RANK']} on {socket.gethostname()} does not find the others by "
            f"{where} ({_cause(error)}); name the network with GLOO_SOCKET_IFNAME (CPU) or "
            "NCCL_SOCKET_IFNAME (GPU), and see docs/how-to/train.md"
        ) from error
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


class _Store(Protocol):
    """A store that all processes read and write by key; `get` waits until there is a value."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def check(self, keys: list[str]) -> bool: ...


def _attempt(store: _Store, rank: int, size: int) -> str:
    """Agree on a name that no earlier group of processes had.

    When torchrun restarts a group (torch 2.13), it keeps the store, with the addresses of dead
    processes in it, and its count of restarts differs between machines. The first process therefore
    offers a name to the processes that it hears, until each has found itself in the offer.
    """
    ours = secrets.token_hex(8)
    others = range(1, size)
    give_up = time.monotonic() + _MEETING_S
    if rank:
        store.set(f"here/{rank}", ours)
    while time.monotonic() < give_up:
        if rank:
            name, *heard = store.get("offer").decode().split()
            if ours in heard:
                store.set(f"agreed/{rank}", name)
                return name
        else:
            heard = [store.get(f"here/{other}").decode() for other in others]
            store.set("offer", " ".join([ours, *heard]))
            agreed = [f"agreed/{other}" for other in others]
            if store.check(agreed) and all(store.get(key).decode() == ours for key in agreed):
                return ours
        time.sleep(_POLL_S)
    raise RuntimeError(f"not all {size} came within {_MEETING_S} s")


@contextmanager
def _peer_errors() -> Iterator[None]:
    """Convert the failure of a collective call to an error of one line."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            f"another process of the run has ended or cannot be reached ({_cause(error)}); "
            "the files of the run are older: go on with them",
            options=["resume=True"],
        ) from error


def _cause(error: Exception) -> str:
    """Return the first sentence of torch's message, without its place in torch's source."""
    return re.sub(r"^\[[^]]*\.cc:\d+\] ", "", first_line(error)).partition(". ")[0]
