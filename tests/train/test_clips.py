"""Training of networks that look at several frames: exact resume, recipes, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from facts import refused
from killed import KILLED, train_until_killed
from recipes import rewritten
from widesr.data.clips import write_clips
from widesr.data.photographs import Folder
from widesr.train.checkpoint import load_newest_state, load_weights
from widesr.train.dry_run import plan
from widesr.train.loop import train
from widesr.train.photographs import load_photographs
from widesr.train.recipe import list_recipes, load_recipe
from widesr.train.validation import bicubic_psnr, validate

pytestmark = pytest.mark.train

WINDOWED = (("expansion = 2", "expansion = 2\ntemporal_size = 3"),)
RECURRENT = (('"wdsr"', '"recurrent"'), ("batch = 4", "batch = 4\nframes = 3"))
KINDS = {"windowed": WINDOWED, "recurrent": RECURRENT}


@pytest.fixture(scope="module")
def clips(photographs, tmp_path_factory):
    """Clips of four frames, one of each photograph."""
    out = tmp_path_factory.mktemp("clips")
    folder = Folder(photographs, scales=[1], degradation="bicubic")
    write_clips(folder, out, seed=0, frames=4, side=48, each=1)
    return out


@pytest.mark.slow
@pytest.mark.timeout(900)  # two processes start, each with torch
@pytest.mark.parametrize("kind", KINDS)
def test_200_steps_are_100_a_kill_and_100_bit_for_bit(clips, recipe_file, tmp_path, kind):
    file = recipe_file(
        *KINDS[kind], ("steps = 12", "steps = 200"), ("validate_every = 4", "validate_every = 50")
    )
    train(load_recipe(file), data=clips, out=tmp_path / "whole", threads=1)
    out = tmp_path / "killed"
    train_until_killed(file, clips, out, after=100)
    command = [sys.executable, "-c", KILLED, file, str(clips), str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    one, other = (load_newest_state(folder)[0] for folder in (tmp_path / "whole", out))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_learns_and_says_of_what(clips, recipe_file, tmp_path, kind):
    recipe = load_recipe(recipe_file(*KINDS[kind], ("steps = 12", "steps = 40")))
    seen = []
    weights = train(recipe, data=clips, out=tmp_path, threads=1, on_progress=seen.append)
    scores = [now.psnr for now in seen if now.validated]
    assert scores[-1] > scores[0] + 1
    network, provenance = load_weights(weights)
    assert network.cfg == recipe.network
    assert sum(source.n for source in provenance.training_data) == 3  # 5, 1 held, 1 left out


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_validated_against_their_own_originals(clips, recipe_file, kind):
    recipe = load_recipe(recipe_file(*KINDS[kind]))
    held_out = load_photographs(clips, recipe).held_out
    frames = 4 if kind == "recurrent" else 1
    (pair,) = held_out
    assert pair.hr.shape[2] == 3 * frames

    class Repeats(torch.nn.Module):
        """Stands for a network that repeats the pixels of the frames to learn."""

        cfg, noise = recipe.network, 0

        def fused(self):
            return self

        def forward(self, lr):
            own = lr if frames > 1 else lr[:, 3:6]
            return own.repeat_interleave(2, 2).repeat_interleave(2, 3)

    found = validate(Repeats(), held_out, device=torch.device("cpu"))
    assert len(found.pictures) == frames
    first = pair.lr[..., :3] if frames > 1 else pair.lr[..., 3:6]
    assert np.array_equal(found.pictures[0], first.repeat(2, 0).repeat(2, 1))
    assert abs(found.scores.psnr - bicubic_psnr(held_out, scale=2)) < 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_takes_steps_of_all_frames(clips, recipe_file, kind):
    recipe = load_recipe(recipe_file(*KINDS[kind]))
    assert plan(recipe, data=clips, threads=1).training == 3


def test_recipes_say_frames_exactly_where_a_network_remembers(recipe_file):
    with refused("recipe", "data", "needs frames"):
        load_recipe(recipe_file(('"wdsr"', '"recurrent"')))
    with refused("recipe", "data", "has frames"):
        load_recipe(recipe_file(("batch = 4", "batch = 4\nframes = 3")))
    teacher = ("[log]", '[teacher]\nmodel = "default"\nshare = 0.5\n[log]')
    with refused("recipe", "teacher", "frames"):
        load_recipe(recipe_file(*WINDOWED, teacher))


def test_clips_too_short_are_left_out_or_refused(clips, recipe_file):
    recipe = load_recipe(recipe_file(*rewritten_frames(5)))
    with refused("data", "5 frames", "data.frames"):
        load_photographs(clips, recipe)


def rewritten_frames(n):
    return RECURRENT[0], (RECURRENT[1][0], rewritten(RECURRENT[1][1], ("3", str(n))))


def test_photographs_are_no_clips(photographs, recipe_file):
    with refused("data", photographs, "no clips"):
        load_photographs(photographs, load_recipe(recipe_file(*WINDOWED)))


def test_the_package_has_recipes_for_both_kinds():
    recipes = [load_recipe(name) for name in list_recipes()]
    learned = {
        (each.network.is_recurrent, each.network.scale) for each in recipes if each.learns_clips
    }
    assert learned == {(False, 4), (True, 4), (True, 2)}
