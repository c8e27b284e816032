"""Chooses the device to train on: the CPU, or a CUDA GPU where torch sees one."""

import os
import shutil
from typing import Literal

import torch

from widesr.errors import TrainingError
from widesr.system.machine import this_machine
from widesr.train.parallel import is_launched, local_rank

Device = Literal["auto", "cpu", "cuda"]


def find_device(name: Device) -> torch.device:
    """Find a device by name; "auto" is a GPU if there is one.

    If several processes run on a machine, each gets a GPU of its own.

    Raises:
        TrainingError: There is no GPU, there are too few, or this torch cannot use any.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        why = "sees no GPU" if torch.version.cuda else "is built for the CPU alone"
        raise TrainingError(
            f"device cuda: torch {torch.__version__} {why}; train on the CPU, or install torch "
            "for CUDA as pytorch.org says",
            options=["device=cpu"],
        )
    if name == "cpu" or not there:
        return torch.device("cpu")
    # cuBLAS sums repeatably only with a workspace of its own, requested before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if not is_launched():
        return torch.device("cuda")
    if (ours := local_rank()) >= (found := torch.cuda.device_count()):
        raise TrainingError(
            f"{found} GPUs here, and process {ours + 1} on this machine needs one of its own; "
            f"start no more than {found} (torchrun's nproc-per-node)"
        )
    return torch.device("cuda", ours)


def require_compiler(device: torch.device) -> None:
    """Check early that `torch.compile` finds the compiler that it needs.

    Raises:
        TrainingError: The device is a CPU, and there is no C++ compiler.
    """
    names = (os.environ.get("CXX", ""), "g++", "clang++")
    if device.type == "cpu" and not any(shutil.which(name) for name in names if name):
        raise TrainingError(
            "optim.compile needs a C++ compiler: install g++, or name one in $CXX, or leave "
            "optim.compile out of the recipe"
        )


def describe(device: torch.device) -> str:
    """Describe the CPU or GPU, the threads and the version of torch, for the model's card."""
    here = this_machine()
    software = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {here.cpu}, {here.cores} CPUs, {software}"
    return f"{here.cpu}, {here.cores} CPUs, {software}"
