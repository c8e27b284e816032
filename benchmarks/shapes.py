"""Time networks of any shape on the engine that we ship, as a share of SPAN's time.

    python benchmarks/shapes.py 'net.n_resblocks=6 net.n_feats=48 net.expansion=2' wdsr-a16-x2
    python benchmarks/shapes.py 'family=edsr net.n_resblocks=8 net.n_feats=64' --scale 4

Each argument is the keys of a recipe that matter here (family is wdsr with block A if nothing else
is said), or the name or path of a model or of a recipe. Prints parameters and the processor time
of each on one thread, in bf16 and fp32, best of several rounds in which all take turns with SPAN.
Weights are random: needs the `train` extra. Nothing is written.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from contest import config_of, load_average, photograph, random_model, runner, take_turns
from widesr.engine import find_model
from widesr.models.catalog import list_shipped
from widesr.nets import SPANConfig
from widesr.train.recipe import list_recipes, load_recipe

PRECISIONS = ("bf16", "fp32")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="+", metavar="SHAPE")
    parser.add_argument("--scale", type=int, default=2, help="where a shape does not say it")
    parser.add_argument("--size", default="480x270", help="of the LR picture")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    lr = photograph(height, width)
    with tempfile.TemporaryDirectory() as folder:
        span = random_model(SPANConfig(scale=options.scale), Path(folder) / "span.onnx")
        models = {"SPAN": span}
        for index, shape in enumerate(options.shapes):
            file = Path(folder) / f"{index}.onnx"
            models[shape] = model_of(shape, scale=options.scale, file=file)
        loaded = {
            (name, precision): runner(model, precision=precision, threads=options.threads)
            for name, model in models.items()
            for precision in PRECISIONS
        }
        runs = {key: partial(run, lr) for key, run in loaded.items()}
        times = take_turns(runs, rounds=options.rounds)
    print(f"of SPAN's, bf16 / fp32        parameters   milliseconds (load {load_average()})")
    for name, model in models.items():
        cpu = [times[name, precision].cpu for precision in PRECISIONS]
        of_span = [times["SPAN", precision].cpu for precision in PRECISIONS]
        ratios = " / ".join(f"{a / b:5.2f}" for a, b in zip(cpu, of_span, strict=True))
        milliseconds = " / ".join(f"{1000 * seconds:5.0f}" for seconds in cpu)
        print(f"{ratios:>24} {model.card.parameters_fused:15,}   {milliseconds}   {name}")


def model_of(shape, *, scale, file):
    """The model file of a shape: one that there is, or of random weights."""
    if shape in list_recipes() and shape not in {model.card.name for model in list_shipped()}:
        return random_model(load_recipe(shape).network, file)
    if "=" not in shape:
        return find_model(shape, scale=None)
    return random_model(config_of(shape, scale=scale), file)


if __name__ == "__main__":
    main()
