"""Turns the weights of other programs into weights of widesr, as `widesr import`."""

from pathlib import Path
from typing import Annotated

import typer

from widesr.cli import options
from widesr.cli.terminal import print_line
from widesr.errors import MissingExtraError, UsageError

_SUFFIX = ".safetensors"


def import_network(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The weights of another program: .pth, .safetensors or .h5."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar=f"W{_SUFFIX}",
            help=f"The file to write. Default: FILE with {_SUFFIX}.",
        ),
    ] = None,
    res_scale: Annotated[
        float | None,
        typer.Option(
            metavar="FACTOR",
            help="The factor on residual branches, which no tensor shows, where the program had an "
            "option for it. Default: that of the authors.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Read WDSR, EDSR, RDN, SPAN or SMFANet as other programs keep them, to export or train on.

    JiahuiYu, ychfan, krasserm, EDSR-PyTorch, BasicSR, hongyuanyu and Zheng-MJ are known. The
    network and its sizes are found from the tensors, and you are told what no tensor shows. Nothing
    in the file is run.
    """
    output = output or file.with_suffix(_SUFFIX)
    if output.suffix != _SUFFIX:
        raise UsageError(f"{output}: expected a name that ends in {_SUFFIX}")
    options.check_output(output, inputs=(file,), overwrite=overwrite)
    try:
        from widesr.exchange.importers import import_file
        from widesr.nets import family_of
        from widesr.train.checkpoint import save_weights
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra="train", needed_for="importing") from error

    network, origin, assumed = import_file(file, res_scale=res_scale)
    save_weights(output, network, None)
    for line in assumed:
        print_line(line, err=True)
    parameters = sum(p.numel() for p in network.parameters())
    print_line(
        f"{file} -> {output}  {origin}  {family_of(network.cfg)} x{network.cfg.scale}  "
        f"{parameters:,} parameters"
    )
