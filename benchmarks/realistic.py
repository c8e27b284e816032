"""Score models on held-out photographs that were spoilt in known ways; draw a sheet of examples/.

    python benchmarks/realistic.py DATA [MODEL ...]     # measure, then draw
    python benchmarks/realistic.py --draw               # draw what the result has

DATA is the folder of training photographs, of which those named in training/held_out.txt are taken:
their middles, which no model learned from and nothing was chosen by. MODEL is what `widesr upscale
-n` takes, bicubic, default and realistic if none is named. The same photographs are spoilt in the
same ways for each, by seeds that hang on the photograph's name alone.

PSNR-Y and SSIM by protocol `benchmark-y`. PSNR-B counts the steps along JPEG's blocks as an error
more: Yim and Bovik, "Quality Assessment of Deblocked Images", 2011.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from widesr.degrade.bicubic import cropped_to_multiple, degrade
from widesr.degrade.named import photograph_seed
from widesr.degrade.steps import blurred, gaussian, gaussian_noise, resized, rounded, through_jpeg
from widesr.engine import native_scales
from widesr.models.catalog import BICUBIC
from widesr.pictures.picture import Picture
from widesr.pictures.reading import read_picture
from widesr.pictures.writing import write_picture
from widesr.pixels.drawing import enlarged, joined, titled
from widesr.pixels.metrics import PROTOCOLS, luma, psnr, ssim
from widesr.system.commit import which_commit
from widesr.upscaling.upscaler import Upscaler

ROOT = Path(__file__).parents[1]
HELD_OUT = ROOT / "training" / "held_out.txt"
RESULT = ROOT / "benchmarks" / "results" / "realistic.json"
PAGE = ROOT / "docs" / "benchmarks" / "realistic.md"
SHEET = ROOT / "docs" / "assets" / "realistic.jpg"
START, END = "<!-- table:start -->\n", "<!-- table:end -->"

MODELS = (BICUBIC, "default", "realistic")
SCALES = (2, 3, 4)
CROP = 768
"""Side of the middle of a photograph, in HR pixels at most; a multiple of all scales."""
PROTOCOL = PROTOCOLS["benchmark-y"]
BLOCK = 8
"""Side of a JPEG block, in LR pixels."""

WINDOWS = (
    ("shuttle.jpg", "JPEG 50", 2, (48, 45)),
    ("drill.jpg", "telephone", 2, (200, 270)),
    ("kitten.jpg", "noise 10", 2, (170, 210)),
    ("chapel.jpg", "JPEG 75", 4, (90, 340)),
    ("blossom.jpg", "clean", 2, (190, 370)),
)
"""Photograph, way, scale, and the top and left of what the sheet shows, in HR pixels."""
SIDE, ZOOM = 112, 3


def clean(hr, scale, _random):
    return degrade(hr, scale=scale)


def saved(quality):
    def spoil(hr, scale, _random):
        return through_jpeg(degrade(hr, scale=scale), quality=quality, subsampled=True)

    return spoil


def noisy(sigma):
    def spoil(hr, scale, random):
        lr = degrade(hr, scale=scale).astype(np.float32)
        return rounded(gaussian_noise(lr, random, sigma=sigma, grey=False))

    return spoil


def soft_and_saved(hr, scale, random):
    soft = blurred(hr.astype(np.float32), gaussian((0.6 * scale, 0.6 * scale), angle=0))
    return saved(75)(rounded(soft), scale, random)


def sent_on(hr, scale, _random):
    """Made a quarter smaller, saved, made smaller again and saved again."""
    height, width, _ = hr.shape
    once = resized(hr.astype(np.float32), (3 * height // 4, 3 * width // 4), by="area")
    once = through_jpeg(rounded(once), quality=85, subsampled=True).astype(np.float32)
    lr = rounded(resized(once, (height // scale, width // scale), by="bicubic"))
    return through_jpeg(lr, quality=75, subsampled=True)


def in_dim_light(hr, scale, random):
    """Spoil as a telephone does: a little soft, with smoothed noise, and saved as a good JPEG."""
    lr = resized(hr.astype(np.float32), (hr.shape[0] // scale, hr.shape[1] // scale), by="area")
    noise = gaussian_noise(np.zeros_like(lr), random, sigma=8, grey=False)
    lr += blurred(noise, gaussian((0.5, 0.5), angle=0))
    return through_jpeg(rounded(lr), quality=90, subsampled=True)


WAYS = {
    "clean": clean,
    "JPEG 90": saved(90),
    "JPEG 75": saved(75),
    "JPEG 50": saved(50),
    "JPEG 30": saved(30),
    "noise 5": noisy(5),
    "noise 10": noisy(10),
    "noise 15": noisy(15),
    "soft, JPEG 75": soft_and_saved,
    "sent on": sent_on,
    "telephone": in_dim_light,
}
"""Ways to make LR, uint8, of HR, uint8 (H, W, 3), by name."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--no-result", action="store_true", help="only print")
    options = parser.parse_args()
    if not options.draw:
        result = measured(options.data, list(options.models))
        if options.no_result:
            return
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    PAGE.write_text(before + START + table(result) + END + rest.split(END)[1], encoding="utf-8")
    draw_sheet()


def measured(data, models):
    commit = which_commit()
    lines = HELD_OUT.read_text(encoding="utf-8").splitlines()
    photographs = [data / line for line in lines if line and not line.startswith("#")]
    rows = []
    for scale in SCALES:
        upscalers = {
            name: Upscaler.load(name, scale=scale, precision="fp32")
            for name in models
            if name == BICUBIC or scale in native_scales(name)
        }
        for way in WAYS:
            for name, found in scored(photographs, way, scale, upscalers).items():
                rows.append({"scale": scale, "way": way, "model": name} | found)
                print(f"x{scale}  {way:14} {name:12} {found['psnr']:7.3f} dB  {found['ssim']:.4f}  "
                      f"PSNR-B {found['psnr_b']:7.3f}", flush=True)  # fmt: skip
    return {
        "command": " ".join(["python", *sys.argv]),
        "commit": commit,
        "photographs": [path.name for path in photographs],
        "crop": CROP,
        "protocol": PROTOCOL.name,
        "rows": rows,
    }


def scored(photographs, way, scale, upscalers):
    """Means over the photographs, and each photograph's PSNR, by the model."""
    each = {name: [] for name in upscalers}
    for path in photographs:
        hr, lr = spoilt(path, way, scale, crop=CROP)
        for name, upscaler in upscalers.items():
            sr = upscaler(lr)
            each[name].append(
                (
                    psnr(sr, hr, protocol=PROTOCOL, scale=scale),
                    ssim(sr, hr, protocol=PROTOCOL, scale=scale),
                    psnr_b(sr, hr, block=BLOCK * scale),
                )
            )
    return {name: summary(np.array(scores)) for name, scores in each.items()}


def summary(scores):
    means = scores.mean(axis=0)
    return {
        "psnr": round(means[0], 4),
        "ssim": round(means[1], 5),
        "psnr_b": round(means[2], 4),
        "psnr_each": [round(score, 3) for score in scores[:, 0]],
    }


def spoilt(path, way, scale, *, crop=None):
    """HR and LR of a photograph."""
    hr = cropped_to_multiple(read_picture(path).pixels, 4)
    if crop is not None:
        top, left = (max(0, (side - crop) // 2) for side in hr.shape[:2])
        hr = np.ascontiguousarray(hr[top : top + crop, left : left + crop])
    random = np.random.default_rng(photograph_seed(path.name))
    return hr, WAYS[way](hr, scale, random)


def psnr_b(sr, hr, *, block):
    """PSNR-Y of whole pictures whose steps along the blocks' borders count as errors too."""
    y, truth = (luma(pixels, rounded=False)[..., 0] for pixels in (sr, hr))
    at_borders, elsewhere = [], []
    for lines in (y, y.T):
        steps = np.diff(lines, axis=1) ** 2
        is_border = np.arange(1, lines.shape[1]) % block == 0
        at_borders.append(steps[:, is_border].ravel())
        elsewhere.append(steps[:, ~is_border].ravel())
    excess = np.concatenate(at_borders).mean() - np.concatenate(elsewhere).mean()
    weight = np.log2(block) / np.log2(min(y.shape))
    return 10 * np.log10(255**2 / (np.mean((y - truth) ** 2) + weight * max(excess, 0)))


def table(result):
    """The result as Markdown: PSNR-Y, and SSIM and PSNR-B of the last two models."""
    rows = {(row["scale"], row["way"], row["model"]): row for row in result["rows"]}
    models = list(dict.fromkeys(row["model"] for row in result["rows"]))
    lines = []
    for scale in SCALES:
        lines += [
            f"### x{scale}",
            "",
            "| what was done | " + " | ".join(models) + " | against default | SSIM | PSNR-B |",
            "|---|" + "---|" * (len(models) + 3),
        ]
        for way in WAYS:
            found = [rows[scale, way, model] for model in models]
            before, after = rows[scale, way, "default"], found[-1]
            lines.append(
                f"| {way} | "
                + " | ".join(f"{row['psnr']:.2f}" for row in found)
                + f" | {after['psnr'] - before['psnr']:+.2f}"
                + f" | {before['ssim']:.4f}, {after['ssim']:.4f}"
                + f" | {before['psnr_b']:.2f}, {after['psnr_b']:.2f} |"
            )
        lines.append("")
    return "\n".join(lines)


def draw_sheet():
    sheet = []
    for file, way, scale, (top, left) in WINDOWS:
        hr, lr = spoilt(ROOT / "examples" / file, way, scale)
        panels = {f"{way}, x{scale}: original": hr}
        for name in MODELS:
            panels[name] = Upscaler.load(name, scale=scale, precision="fp32")(lr)
        sheet.append(
            joined(
                [
                    titled(text, enlarged(pixels[top : top + SIDE, left : left + SIDE], zoom=ZOOM),
                           width=SIDE * ZOOM)
                    for text, pixels in panels.items()
                ],
                axis=1,
            )
        )  # fmt: skip
    write_picture(SHEET, Picture(pixels=joined(sheet, axis=0)), quality=80, overwrite=True)


if __name__ == "__main__":
    main()
