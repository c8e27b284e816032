"""Writes a network as a folder for a model hub: weights, configuration, ONNX, and its card."""

import json
import re
from collections.abc import Sequence
from os.path import lexists  # unlike Path.exists, False also for a name that is too long
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from widesr.errors import output_exists
from widesr.exchange.export import Stored, write_error, write_onnx
from widesr.exchange.sources import read_source
from widesr.models.catalog import ModelCard
from widesr.nets import Network
from widesr.system.files import give_name
from widesr.system.version import __version__
from widesr.train.checkpoint import WEIGHTS, save_weights

_KNOWN_LICENCES = {
    "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0",
    "cc-by-nc-4.0", "isc", "mit", "mpl-2.0", "unlicense",
}  # fmt: skip
"""SPDX names that Hugging Face lists, in its lower case; it takes others as `license_name`."""


def export_hub(
    weights: Path,
    folder: Path,
    *,
    licence: str = "",
    source: str = "",
    notes: str = "",
    stored: Stored = "fp16",
    iterations: int | None = None,
    overwrite: bool = False,
) -> ModelCard:
    """Write the folder of a model as Hugging Face's hub and its library expect it.

    The folder gets `model.safetensors`, which training and exporting take; `config.json`, which
    rebuilds the network; the model as ONNX with its margin in the graph; and `README.md`, whose
    front matter has licence and figures. Other files in the folder stay.

    Args:
        weights: Trained weights or a model, as for `read_source`.
        folder: The folder to write, created if it is missing; its parent must exist.
        licence: The licence, as an SPDX expression, as for `export_onnx`.
        source: The origin of the model, as for `export_onnx`.
        notes: Text for the card, as for `export_onnx`.
        stored: The type of the weights in the ONNX file, as for `export_onnx`.
        iterations: Number of times that a recurrent network runs its weights, as for `export_onnx`.
        overwrite: Replace existing files of these names.

    Raises:
        CheckpointError: The weights cannot be loaded.
        ExportError: The ONNX file's pictures differ from the network's, or the folder takes no
            files.
        ModelFileError: The model cannot be used.
        ModelNotFoundError: There is no such model.
        OutputExistsError: One of the files exists already.
        UsageError: The network takes no other number of iterations.
    """
    read = read_source(weights, iterations=iterations)
    onnx = f"{read.name}.onnx"
    names = (WEIGHTS, "config.json", onnx, "README.md")
    for there in (folder / name for name in names):
        if lexists(there) and not overwrite:
            raise output_exists(there)
    try:
        with TemporaryDirectory(prefix=".widesr-", dir=folder.parent) as made:
            parts = Path(made)
            card = write_onnx(
                read.network,
                parts / onnx,
                facts=read.facts(licence=licence, source=source, notes=notes),
                stored=stored,
                margin=True,
            )
            save_weights(parts / WEIGHTS, read.network, read.provenance)
            config = json.dumps(_config(read.network, card), indent=2) + "\n"
            (parts / "config.json").write_text(config, encoding="utf-8")
            readme = _readme(card, onnx, has_noise=read.network.noise > 0)
            (parts / "README.md").write_text(readme, encoding="utf-8")
            folder.mkdir(exist_ok=True)
            for name in names:
                give_name(parts / name, folder / name, overwrite=overwrite)
    except OSError as error:
        raise write_error(folder, error) from error
    return card


def _config(network: Network, card: ModelCard) -> dict[str, Any]:
    return {
        "model_type": card.family,
        "architectures": [type(network).__name__],
        "library_name": "widesr",
        "widesr_version": __version__,
        "net": network.cfg.values(),
    }


def _readme(card: ModelCard, onnx: str, *, has_noise: bool = False) -> str:
    """Write the page of the model: front matter, use, figures, and how it was made."""
    facts = {
        "network": f"{card.family}, {card.parameters_fused:,} parameters as run",
        "scale": f"x{card.scale}",
        "made for": card.notes,
        "learned from": f"LR by `{card.degradation}`",
        "recipe": f"`{card.recipe}`, {card.steps:,} steps, {card.machine}" if card.recipe else "",
        "began with": card.started_from,
        "teacher": card.teacher,
        "source": card.source,
        "licence": card.licence,
    }
    scores = [
        (each.dataset, f"{each.psnr:.2f}", f"{each.ssim:.4f}", f"`{each.protocol}`")
        for each in card.scores
    ]
    data = [(each.name, str(each.n), each.licence) for each in card.training_data]
    is_for_clips = card.frames > 1
    return f"""---
{_front_matter(card)}
---

# {card.name}

Makes pictures {card.scale} times as large on each side, by widesr.

{_table(("", ""), [(what, value) for what, value in facts.items() if value])}

## Use

```sh
widesr upscale {"clip.mp4" if is_for_clips else "photo.png"} -s {card.scale} -n ./{onnx}
```
{"" if is_for_clips or has_noise else _without_widesr(card, onnx)}
`{WEIGHTS}` is what `widesr train` goes on from and `widesr export` takes.

## Figures

{_table(("set", "PSNR, dB", "SSIM", "protocol of widesr"), scores) or "Not measured."}

## Photographs that it was trained on

{_table(("from", "number", "licence"), data) or "Not stated."}
"""


def _without_widesr(card: ModelCard, onnx: str) -> str:
    """Write how other programs use the file of a network that reads one picture alone."""
    return f"""
Without widesr, by ONNX Runtime: RGB in [0, 1], any size. The file puts mirrored pixels around the
picture by itself.

```python
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("{onnx}")
lr = np.asarray(Image.open("photo.png").convert("RGB"), np.float32) / 255
(sr,) = session.run(None, {{"lr": lr.transpose(2, 0, 1)[None]}})
sr = np.floor(sr[0].transpose(1, 2, 0).clip(0, 1) * 255 + 0.5).astype(np.uint8)
Image.fromarray(sr).save("photo_x{card.scale}.png")
```
"""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Format a table in Markdown; return "" for no rows."""
    lines = [head, ("---",) * len(head), *rows] if rows else []
    plain = ([" ".join(cell.replace("|", "\\|").split()) for cell in cells] for cells in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in plain)


def _front_matter(card: ModelCard) -> str:
    """Format the fields that the hub reads as YAML, with JSON values, which are YAML as well."""
    licence = card.licence.lower()
    fields: dict[str, Any] = {"license": "unknown" if licence == "not stated" else licence}
    if licence not in (*_KNOWN_LICENCES, "not stated"):
        name = re.sub(r"[^a-z0-9.]+", "-", licence).strip("-")
        fields = {"license": "other", "license_name": name}
    fields |= {
        "library_name": "widesr",
        "pipeline_tag": "image-to-image",
        "tags": ["super-resolution", card.family, "onnx"],
    }
    if card.scores:
        fields["model-index"] = [{"name": card.name, "results": _results(card)}]
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())


def _results(card: ModelCard) -> list[dict[str, Any]]:
    task = {"type": "image-to-image", "name": f"x{card.scale} super-resolution"}
    return [
        {
            "task": task,
            "dataset": {"type": score.dataset.lower(), "name": score.dataset},
            "metrics": [
                {"type": "psnr", "value": score.psnr, "name": f"PSNR, {score.protocol}"},
                {"type": "ssim", "value": score.ssim, "name": f"SSIM, {score.protocol}"},
            ],
        }
        for score in card.scores
    ]
