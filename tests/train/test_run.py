"""One step of a run by every optimiser and precision, and that a state is all of it."""

import shutil

import numpy as np
import pytest
import torch

from facts import refused
from recipes import MUON, stage
from widesr.data.patches import Batch
from widesr.nets import build
from widesr.train import device
from widesr.train.checkpoint import load_newest_state, state_from_bytes, state_to_bytes
from widesr.train.loop import prepare, train
from widesr.train.recipe import load_recipe
from widesr.train.run import ExplosionError, Run, as_tensor

pytestmark = pytest.mark.train

WARM = ("warmup = 2", "warmup = 0")


def batch(seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    lr = random.integers(0, 256, (4, 12, 12, 3), np.uint8)
    hr = lr.repeat(2, axis=1).repeat(2, axis=2)
    return Batch(lr, hr, taught=random.integers(0, 256, hr.shape, np.uint8))


@pytest.fixture
def started(recipe_file):
    def start(*changes) -> Run:
        recipe = load_recipe(recipe_file(*changes))
        return prepare(recipe, init=None, threads=1, device="cpu")

    return start


def test_adamw_is_adam_and_a_pull_to_zero(started):
    adam = started(WARM)
    adamw = started(("warmup = 2", 'warmup = 0\noptimizer = "adamw"\nweight_decay = 0.3'))
    before = [p.detach().clone() for p in adam.network.parameters()]
    assert adam.advance(batch()) == adamw.advance(batch())
    after = zip(before, adam.network.parameters(), adamw.network.parameters(), strict=True)
    for start, plain, decayed in after:
        assert torch.allclose(decayed, plain - 1e-2 * 0.3 * start, atol=1e-6)


def test_gradients_are_clipped_to_a_norm(started):
    free, clipped = started(), started(("warmup = 2", "warmup = 2\nclip_grad_norm = 0.01"))
    norms = [run.advance(batch()).gradient_norm for run in (free, clipped)]
    assert norms[0] == norms[1] > 0.01  # what is reported is the norm before

    def norm(run):
        grads = [p.grad.flatten() for p in run.network.parameters()]
        return float(torch.linalg.vector_norm(torch.cat(grads)))

    assert norm(free) == pytest.approx(norms[0])
    assert norm(clipped) == pytest.approx(0.01, rel=1e-4)


def test_the_loss_changes_for_the_finish(started):
    run = started(stage('steps = 11\nloss = "mse"'))
    run.advance(batch())
    lr, hr, *_ = batch()
    with torch.no_grad():
        errors = run.network(as_tensor(lr, run.device)) - as_tensor(hr, run.device)
    assert run.advance(Batch(lr, hr)).loss == pytest.approx(float(errors.square().mean()))


def test_a_step_learns_from_the_teacher_as_far_as_its_share_goes(started):
    teacher = (
        "[log]",
        '[teacher]\nmodel = "best"\nshare = 0.75\n[[stage]]\nsteps = 11\nteacher_share = 0\n[log]',
    )
    run = started(teacher)
    lr, hr, taught, _ = batch()

    def off(target):
        with torch.no_grad():
            sr = run.network(as_tensor(lr, run.device))
        return float((sr - target).abs().mean())

    mixed = 0.25 * as_tensor(hr, run.device) + 0.75 * as_tensor(taught, run.device)
    for target in (mixed, as_tensor(hr, run.device)):  # the stage follows at once
        expected = off(target)
        assert run.advance(Batch(lr, hr, taught)).loss == pytest.approx(expected, rel=1e-5)


def test_a_step_that_overflows_in_fp16_is_passed_over_with_a_smaller_scale(started):
    run = started(('"fp32"', '"fp16"'))
    run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    before = [p.detach().clone() for p in run.network.parameters()]
    learned = run.advance(batch())
    assert np.isfinite(learned.loss)
    assert not np.isfinite(learned.gradient_norm)
    assert run.scaler.get_scale() == 2.0**99
    assert all(map(torch.equal, before, run.network.parameters()))


def test_overflow_at_any_scale_is_an_explosion(started):
    run = started(('"fp32"', '"fp16"'))
    run.scaler = torch.amp.GradScaler("cpu", init_scale=0.5)
    next(run.network.parameters()).register_hook(lambda grad: grad * float("inf"))
    with pytest.raises(ExplosionError, match=r"finite.* step 0"):
        run.advance(batch())


@pytest.mark.parametrize(
    "changes",
    [
        (('"fp32"', '"fp16"'),),
        (
            ("warmup = 2", 'warmup = 2\noptimizer = "adamw"\nweight_decay = 0.1'),
            ('"cosine"', '"one-cycle"\nclip_grad_norm = 0.1'),
            ('loss = "l1"', 'loss = "charbonnier"'),
            stage('steps = 3\nloss = "mse"'),
        ),
        (*MUON, ('"fp32"', '"bf16"')),
        (stage("steps = 6\nbatch = 2\nlr_patch = 16\n[[stage]]\nsteps = 3\nlearning_rate = 1e-3"),),
        (("validation = 1", "validation = 1\ncandidates = 3"),),
    ],
    ids=["fp16", "adamw, one-cycle, clipped, finished", "muon", "stages", "hard patches"],
)
def test_a_run_of_every_kind_goes_on_as_if_it_had_not_stopped(
    photographs, recipe_file, tmp_path, changes
):
    recipe = load_recipe(recipe_file(*changes))
    goes_on_as_if_it_had_not_stopped(recipe, photographs, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs g++")
@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_run_goes_on_as_if_it_had_not_stopped(
    photographs, recipe_file, tmp_path, precision
):
    compiled = ('precision = "fp32"', f'precision = "{precision}"\ncompile = true')
    recipe = load_recipe(recipe_file(compiled))
    goes_on_as_if_it_had_not_stopped(recipe, photographs, tmp_path)


def goes_on_as_if_it_had_not_stopped(recipe, photographs, folder):
    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.step == 8:
            raise StoppedError

    train(recipe, data=photographs, out=folder / "whole", threads=1)
    with pytest.raises(StoppedError):
        train(recipe, data=photographs, out=folder / "parts", threads=1, on_progress=stop)
    assert load_newest_state(folder / "parts")[1]["step"] == 4
    torch._dynamo.reset()  # as another process begins
    train(recipe, data=photographs, out=folder / "parts", threads=1, resume=True)
    (ours, plain), (theirs, other) = (load_newest_state(folder / n) for n in ("whole", "parts"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert plain["scaler"] == other["scaler"]
    assert plain["losses"] == other["losses"]


def test_a_state_travels_whole(started):
    run = started()
    run.advance(batch())
    tensors, plain = run.state()
    there, values = state_from_bytes(state_to_bytes(tensors, plain))
    assert there.keys() == tensors.keys()
    assert all(torch.equal(there[name], tensors[name]) for name in tensors)
    other = started()
    other.restore(there, values)
    assert other.advance(batch(1)) == run.advance(batch(1))


def test_a_state_of_before_a_key_came_is_gone_on_from(started):
    run = started()
    run.advance(batch())
    tensors, plain = run.state()
    for key in ("best", "scores", "losses", "rewinds", "scaler", "processes"):
        del plain[key]
    for key in ("optimizer", "clip_grad_norm", "muon", "compile"):
        del plain["recipe"]["optim"][key]
    other = started()
    other.restore(tensors, plain)
    assert other.step == 1
    del plain["recipe"]["optim"]["steps"]
    with refused("checkpoint", "version"):
        other.restore(tensors, plain)


def test_how_a_run_is_logged_may_change_and_nothing_else(started):
    run = started()
    started(("validate_every = 4", "validate_every = 3")).restore(*run.state())
    with refused("checkpoint", "optim.ema_decay 0.9", "now 0.5"):
        started(("ema_decay = 0.9", "ema_decay = 0.5")).restore(*run.state())


def test_a_compiler_that_is_not_there_is_said_before_the_start(started, monkeypatch):
    monkeypatch.setattr(device.shutil, "which", lambda _: None)
    with refused("training", "optim.compile", "g++"):
        started(('precision = "fp32"', 'precision = "fp32"\ncompile = true'))


def test_what_is_compiled_is_the_network_that_is_kept(started):
    run = started()
    assert {n for n, _ in run.network.named_parameters()} == {
        n for n, _ in build(run.recipe.network).named_parameters()
    }
