"""Where a network is trained: the CPU, or a CUDA GPU where torch sees one."""

import os
from typing import Literal

import torch

from widesr.errors import TrainingError
from widesr.report import machine

Device = Literal["auto", "cpu", "cuda"]


def find_device(name: Device) -> torch.device:
    """Find the device of a name; "auto" is a GPU where there is one.

    Raises:
        TrainingError: No GPU, or none that this torch can use.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        why = "sees no GPU" if torch.version.cuda else "is built for the CPU alone"
        raise TrainingError(
            f"device cuda: torch {torch.__version__} {why}; train with --device cpu, or install "
            "torch for CUDA as pytorch.org says"
        )
    if name == "cpu" or not there:
        return torch.device("cpu")
    # cuBLAS has repeatable sums only with a workspace of its own, asked for before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda")


def describe(device: torch.device) -> str:
    """Name processor or GPU, threads and torch, for the model's card."""
    here = machine()
    software = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {here.cpu}, {here.cores} CPUs, {software}"
    return f"{here.cpu}, {here.cores} CPUs, {software}"
