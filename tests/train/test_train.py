"""Recipes, patches, the loop and its checkpoints: what someone who trains relies on."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage.metrics import structural_similarity

import widesr
from examples import EXAMPLES
from facts import names, refused
from widesr.data.loader import Loader
from widesr.data.packing import write_pack
from widesr.data.patches import Batch
from widesr.data.photographs import Folder
from widesr.system import commit as commit_of
from widesr.train import checkpoint, loop
from widesr.train.checkpoint import list_states, load_newest_state, load_weights
from widesr.train.device import find_device
from widesr.train.loop import train
from widesr.train.losses import LOSSES, lattice
from widesr.train.recipe import load_recipe

pytestmark = pytest.mark.train


def tensors_of(folder):
    return load_newest_state(folder)[0]


def same_tensors(one, other):
    one, other = tensors_of(one), tensors_of(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_writes_weights_that_beat_their_start_and_say_how_they_came_to_be(
    photographs, recipe_file, tmp_path
):
    recipe = load_recipe(recipe_file(("steps = 12", "steps = 60")))
    seen = []
    weights = train(
        recipe, data=photographs, out=tmp_path / "run", threads=1, on_progress=seen.append
    )
    network, provenance = load_weights(weights)
    assert network.cfg == recipe.network
    assert provenance.recipe == recipe
    assert provenance.steps == 60
    assert sum(source.n for source in provenance.training_data) == 3  # 5, less 1 held, 1 left out
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in log]
    assert [line["step"] for line in lines] == list(range(4, 61, 4))
    assert lines[-1]["psnr"] > lines[0]["psnr"] + 3
    assert [report.step for report in seen if report.validated] == list(range(4, 61, 4))


def test_two_runs_of_one_recipe_give_the_same_weights(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file())
    for name in ("one", "two"):
        train(recipe, data=photographs, out=tmp_path / name, threads=1)
    assert same_tensors(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    photographs, recipe_file, tmp_path, precision
):
    recipe = load_recipe(recipe_file(('precision = "fp32"', f'precision = "{precision}"')))
    train(recipe, data=photographs, out=tmp_path / "whole", threads=1)

    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.step == 8:
            raise StoppedError  # at a validation, before its checkpoint: step 4 is what is left

    with pytest.raises(StoppedError):
        train(recipe, data=photographs, out=tmp_path / "parts", threads=1, on_progress=stop)
    assert load_newest_state(tmp_path / "parts")[1]["step"] == 4
    train(recipe, data=photographs, out=tmp_path / "parts", threads=1, resume=True)
    assert same_tensors(tmp_path / "whole", tmp_path / "parts")


def test_a_run_in_the_folder_of_its_photographs_does_not_learn_from_its_sheets(
    photographs, recipe_file, tmp_path
):
    data = tmp_path / "photographs"
    shutil.copytree(photographs, data)
    recipe = load_recipe(recipe_file())
    train(recipe, data=data, out=data / "run", threads=1)
    whole = shutil.copytree(data / "run", tmp_path / "whole")
    for state in list_states(data / "run")[1:]:
        state.unlink()
    train(recipe, data=data, out=data / "run", threads=1, resume=True)
    assert same_tensors(whole, data / "run")


def during(monkeypatch, cls, name, call, act):
    """Let `act` happen in the middle of the given call of a method."""
    method = getattr(cls, name)
    calls = []

    def wrapped(self, *arguments):
        calls.append(name)
        if len(calls) == call:
            act()
        return method(self, *arguments)

    monkeypatch.setattr(cls, name, wrapped)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("cls", "name", "call"),
    [
        (Loader, "next", 7),  # between drawing and learning
        (torch.optim.Adam, "step", 7),  # between gradients and weights
    ],
)
def test_ctrl_c_in_a_step_ends_the_run_after_it_and_no_bit_is_lost(
    photographs, recipe_file, tmp_path, monkeypatch, number, cls, name, call
):
    recipe = load_recipe(recipe_file())
    train(recipe, data=photographs, out=tmp_path / "whole", threads=1)
    seen = []
    before = signal.signal(number, lambda number, _: seen.append(number))
    try:
        with monkeypatch.context() as patch:
            during(patch, cls, name, call, lambda: signal.raise_signal(number))
            train(recipe, data=photographs, out=tmp_path / "parts", threads=1)
        assert seen == [number]  # delivered, once the files were there
        assert load_newest_state(tmp_path / "parts")[1]["step"] == 7
        train(recipe, data=photographs, out=tmp_path / "parts", threads=1, resume=True)
    finally:
        signal.signal(number, before)
    assert same_tensors(tmp_path / "whole", tmp_path / "parts")


def test_ctrl_c_raises_what_it_always_does(photographs, recipe_file, tmp_path, monkeypatch):
    during(monkeypatch, Loader, "next", 3, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "run", threads=1)
    assert load_newest_state(tmp_path / "run")[1]["step"] == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_the_run_at_once(photographs, recipe_file, tmp_path, monkeypatch):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    during(monkeypatch, Loader, "next", 6, twice)
    with pytest.raises(KeyboardInterrupt):
        train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "run", threads=1)
    assert load_newest_state(tmp_path / "run")[1]["step"] == 4  # of the last validation


def test_ctrl_c_in_another_thread_is_not_ours_to_hold(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file())
    with ThreadPoolExecutor(1) as pool:
        weights = pool.submit(
            train, recipe, data=photographs, out=tmp_path / "run", threads=1
        ).result()
    assert weights.is_file()


KILLED = """
import sys
from pathlib import Path
from widesr.train.device import find_device
from widesr.train.loop import train
from widesr.train.losses import LOSSES, lattice
from widesr.train.recipe import load_recipe
recipe, data, out = sys.argv[1:]
print("started", flush=True)
train(
    load_recipe(recipe),
    data=Path(data),
    out=Path(out),
    threads=1,
    resume=any(Path(out).glob("state-*")),
    on_progress=lambda now: print(now.step, flush=True),
)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)  # three processes start, each with torch
def test_200_steps_are_a_run_that_was_killed_and_resumed_byte_for_byte(
    photographs, recipe_file, tmp_path
):
    file = recipe_file(("steps = 12", "steps = 200"), ("validate_every = 4", "validate_every = 5"))
    whole = train(load_recipe(file), data=photographs, out=tmp_path / "whole", threads=1)
    out = tmp_path / "killed"
    random = np.random.default_rng()  # other moments each time, for none may be the wrong one
    command = [sys.executable, "-c", KILLED, file, str(photographs), str(out)]
    kills = 0
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            reached = process.stdout.readline()
            for line in process.stdout:
                reached = line
                if kills < 2 and int(line) >= 60 * (kills + 1):
                    time.sleep(random.uniform(0, 0.1))
                    process.kill()
                    break
            process.stdout.read()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, reached
        kills += 1
        assert 0 < load_newest_state(out)[1]["step"] <= 200
    assert kills >= 1
    assert same_tensors(tmp_path / "whole", out)
    log = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert log == list(range(5, 201, 5))
    ours, theirs = (safetensors_tensors(path) for path in (whole, out / whole.name))
    assert ours == theirs


def safetensors_tensors(path):
    """The bytes of a safetensors file behind its header, which holds seconds."""
    data = path.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]


def states_of(folder):
    return [int(path.stem.removeprefix("state-")) for path in list_states(folder)]


def test_half_files_of_a_killed_run_are_removed(photographs, recipe_file, tmp_path):
    half = tmp_path / ".widesr-0123456789abcdef.part"
    half.write_bytes(b"half a state")
    train(load_recipe(recipe_file()), data=photographs, out=tmp_path, threads=1)
    assert not half.exists()


def test_the_last_three_run_states_are_kept(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file(("steps = 12", "steps = 20")))
    copy = tmp_path / "run" / "state-before-I-tried-this.safetensors"
    copy.parent.mkdir()
    copy.write_bytes(b"the user's own")
    train(recipe, data=photographs, out=tmp_path / "run", threads=1)
    assert states_of(tmp_path / "run") == [12, 16, 20]
    assert copy.exists()


@pytest.mark.parametrize("header", ["no JSON", "[" * 100_000, "[1]", '{"family": "wdsr"}'])
def test_a_file_that_is_no_run_state_is_passed_over(tmp_path, header):
    save_file({"a": torch.zeros(1)}, tmp_path / "state-1.safetensors", {"widesr": header})
    said = []
    with refused("checkpoint", tmp_path, "new run"):
        load_newest_state(tmp_path, on_notice=said.append)
    assert names(said[0], "state-1.safetensors", "no run")


@pytest.mark.parametrize("lost", ["network.head.bias", "torch_rng", "sampler"])
def test_a_state_that_lacks_something_is_one_line(recipe_file, lost):
    run = loop.prepare(load_recipe(recipe_file()), init=None, threads=1, device="cpu")
    tensors, plain = run.state()
    (tensors if lost in tensors else plain).pop(lost)
    with refused("checkpoint", "run state", "another version"):
        run.restore(tensors, plain)


def cut(data):
    return data[: len(data) // 2]


def flipped(data):
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


@pytest.mark.parametrize("damage", [cut, flipped, lambda _: b""])
def test_a_damaged_state_is_passed_over_for_the_one_before_it(
    photographs, recipe_file, tmp_path, damage
):
    recipe = load_recipe(recipe_file())
    train(recipe, data=photographs, out=tmp_path / "whole", threads=1)
    out = tmp_path / "run"
    shutil.copytree(tmp_path / "whole", out)
    newest = list_states(out)[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    said = []
    train(recipe, data=photographs, out=out, threads=1, resume=True, on_notice=said.append)
    (line,) = said
    assert names(line, newest, "before")
    assert "\n" not in line
    assert same_tensors(tmp_path / "whole", out)
    assert states_of(out) == [4, 8, 12]


def test_a_state_of_a_past_that_did_not_come_goes(photographs, recipe_file, tmp_path, monkeypatch):
    recipe = load_recipe(recipe_file())
    out = tmp_path / "run"
    train(recipe, data=photographs, out=out, threads=1)
    for state in list_states(out)[1:]:
        state.write_bytes(b"")
    during(monkeypatch, Loader, "next", 1, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data=photographs, out=out, threads=1, resume=True)
    assert states_of(out) == [4, 5]


def test_a_log_goes_on_where_the_state_stands(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file())
    out = tmp_path / "run"
    train(recipe, data=photographs, out=out, threads=1)
    list_states(out)[-1].write_bytes(b"")
    with (out / "log.jsonl").open("a") as log:
        log.write('{"step": 16, "lo')  # killed while it wrote
    train(recipe, data=photographs, out=out, threads=1, resume=True)
    lines = (out / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 8, 12]


def test_when_all_states_are_damaged_that_is_said(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file())
    train(recipe, data=photographs, out=tmp_path / "run", threads=1)
    for state in list_states(tmp_path / "run"):
        state.write_bytes(flipped(state.read_bytes()))
    with refused("checkpoint", tmp_path / "run", 3, "damaged"):
        train(recipe, data=photographs, out=tmp_path / "run", threads=1, resume=True)


def test_weights_in_which_a_bit_flipped_are_refused(photographs, recipe_file, tmp_path):
    weights = train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "run", threads=1)
    weights.write_bytes(flipped(weights.read_bytes()))
    with refused("checkpoint", weights, "damaged"):
        load_weights(weights)


def test_weights_that_may_not_be_read_are_one_line(tmp_path, monkeypatch):
    def closed(*_, **__):
        raise FileNotFoundError("No such file")  # as safetensors says of a file that is closed

    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    monkeypatch.setattr(checkpoint, "safe_open", closed)
    with refused("checkpoint", tmp_path / "w.safetensors", "be read"):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("wrong", [{"n_feats": 0}, {"n_feats": 10**9}, {"expansion": 1e308}])
def test_weights_that_name_a_network_that_cannot_be_are_refused(tmp_path, wrong):
    net = {"scale": 2, "block": "a", "n_resblocks": 1, "n_feats": 4, "expansion": 2, **wrong}
    header = json.dumps({"family": "wdsr", "net": net, "provenance": None})
    save_file({"head.bias": torch.zeros(4)}, tmp_path / "w.safetensors", {"widesr": header})
    with refused("checkpoint", tmp_path / "w.safetensors", "no network"):
        load_weights(tmp_path / "w.safetensors")


def test_a_network_of_another_scale_starts_from_the_body_it_is_given(
    photographs, recipe_file, tmp_path
):
    x2 = train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "x2", threads=1)
    x3_file = recipe_file(("scale = 2", "scale = 3"), ('"tiny-x2"', '"tiny-x3"'), ("1e-2", "1e-9"))
    x3 = train(load_recipe(x3_file), data=photographs, out=tmp_path / "x3", threads=1, init=x2)
    given_network, _ = load_weights(x2)
    network, provenance = load_weights(x3)
    assert provenance.started_from.startswith("tiny-x2.safetensors sha256:")
    assert torch.allclose(network.body[0][0].weight_v, given_network.body[0][0].weight_v, atol=1e-6)
    assert network.tail.weight_v.shape != given_network.tail.weight_v.shape


def test_a_run_says_what_the_network_it_began_with_had(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file())
    seen = []
    first = train(recipe, data=photographs, out=tmp_path / "a", threads=1, on_progress=seen.append)
    assert {now.psnr_at_start for now in seen} == {None}
    train(
        recipe,
        data=photographs,
        out=tmp_path / "b",
        threads=1,
        init=first,
        on_progress=seen.append,
    )
    assert seen[-1].psnr_at_start == pytest.approx(load_weights(first)[1].validation_psnr, abs=1e-4)


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(
    photographs, recipe_file, tmp_path
):
    train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "run", threads=1)
    with refused("checkpoint") as caught:
        train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "run")
    assert caught.value.options == ("resume=True", "out")
    other = load_recipe(recipe_file(("seed = 1", "seed = 2"), ("batch = 4", "batch = 5")))
    with refused("checkpoint", "data.batch 4, now 5", "seed 1, now 2"):
        train(other, data=photographs, out=tmp_path / "run", resume=True)
    with refused("checkpoint", tmp_path / "nothing here", "no run"):
        train(other, data=photographs, out=tmp_path / "nothing here", resume=True)


def test_a_run_is_not_resumed_with_other_photographs(photographs, recipe_file, tmp_path):
    fewer = tmp_path / "fewer"
    shutil.copytree(photographs, fewer)
    recipe = load_recipe(recipe_file())
    train(recipe, data=fewer, out=tmp_path / "run", threads=1)
    (fewer / f"{EXAMPLES[0].stem}.png").unlink()
    with refused("checkpoint", "photographs") as caught:
        train(recipe, data=fewer, out=tmp_path / "run", resume=True, threads=1)
    assert caught.value.options == ("data", "init")
    train(recipe, data=photographs, out=tmp_path / "run", resume=True, threads=1)


def test_two_runs_do_not_write_to_one_folder(photographs, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file())
    refusals = []

    def begin_another(_):
        with refused("checkpoint", tmp_path / "run", "another run") as caught:
            train(recipe, data=photographs, out=tmp_path / "run", resume="auto", threads=1)
        refusals.append(caught.value.options)

    run = tmp_path / "run"
    train(recipe, data=photographs, out=run, threads=1, on_progress=begin_another)
    assert set(refusals) == {("out",)}
    assert sorted(p.name for p in run.glob("*.safetensors"))[0].startswith("state-")


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_learned_from(
    photographs, recipe_file, tmp_path, monkeypatch
):
    recipe = load_recipe(recipe_file())
    run = loop.prepare(recipe, init=None, threads=1, device="cpu")
    before = {n: t.clone() for n, t in run.network.state_dict().items()}
    monkeypatch.setitem(LOSSES, "l1", lambda sr, _: sr.sum() * float("nan"))
    batch = Batch(np.zeros((1, 12, 12, 3), np.uint8), np.zeros((1, 24, 24, 3), np.uint8))
    with refused("training", "finite", "step 0"):
        run.advance(batch)
    assert all(torch.equal(t, before[n]) for n, t in run.network.state_dict().items())


def test_a_device_that_is_not_there_is_said_with_the_way_out(photographs, recipe_file, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with refused("training", "device cuda") as caught:
        train(load_recipe(recipe_file()), data=photographs, out=tmp_path / "run", device="cuda")
    assert caught.value.options == ("device=cpu",)
    assert find_device("auto").type == "cpu"
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_the_same_twice_and_what_it_writes_loads_anywhere(
    photographs, recipe_file, tmp_path
):
    recipe = load_recipe(recipe_file(('"fp32"', '"bf16"')))
    for name in ("one", "two"):
        weights = train(recipe, data=photographs, out=tmp_path / name, device="cuda")
    assert same_tensors(tmp_path / "one", tmp_path / "two")
    network, provenance = load_weights(weights)
    assert next(network.parameters()).device.type == "cpu"
    assert "NVIDIA" in provenance.machine
    longer = load_recipe(recipe_file(('"fp32"', '"bf16"')))
    train(longer, data=photographs, out=tmp_path / "two", device="cpu", resume=True)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("missing", ["no such"]),
        ("empty", ["no pictures"]),
        ("one pixel", ["all", "24x24", "one.png", "1x1"]),
        ("broken", ["broken.png"]),
        ("16 bits", ["deep.png", "16-bit"]),
    ],
)
def test_photographs_that_cannot_be_used_are_named(recipe_file, tmp_path, photographs, kind, facts):
    folder = tmp_path / "data"
    if kind != "missing":
        folder.mkdir()
    if kind not in ("missing", "empty"):
        for file in photographs.glob("[!l]*.png"):
            shutil.copy(file, folder)
    match kind:
        case "one pixel":
            for file in folder.iterdir():
                file.unlink()
            Image.new("RGB", (1, 1)).save(folder / "one.png")
        case "broken":
            whole = next(photographs.glob("*.png")).read_bytes()
            (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
        case "16 bits":
            Image.fromarray(np.zeros((99, 99), np.uint16)).save(folder / "deep.png")
    with refused("data", folder, *facts):
        train(load_recipe(recipe_file()), data=folder, out=tmp_path / "run", threads=1)


def test_a_photograph_too_small_for_a_patch_is_left_out_and_counted(
    recipe_file, tmp_path, photographs
):
    folder = tmp_path / "data"
    shutil.copytree(photographs, folder)
    for name in ("a.png", "deeper/b.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (99, 23)).save(folder / name)
    said = []
    recipe = load_recipe(recipe_file())
    train(recipe, data=folder, out=tmp_path / "run", threads=1, on_notice=said.append)
    train(recipe, data=photographs, out=tmp_path / "without", threads=1)
    assert same_tensors(tmp_path / "run", tmp_path / "without")
    (line,) = said
    assert names(line, folder, "2 of 6", "24x24", "a.png", "99x23")


def test_a_pack_trains_as_its_folder_does(recipe_file, tmp_path, photographs):
    packed = Folder(photographs, scales=[3, 2], degradation="bicubic")
    write_pack(packed, tmp_path / "pack")
    recipe = load_recipe(recipe_file())
    for data in (photographs, tmp_path / "pack"):
        train(recipe, data=data, out=tmp_path / data.name / "run", threads=1)
        weights = tmp_path / data.name / "run" / "tiny-x2.safetensors"
        (source,) = load_weights(weights)[1].training_data
        assert (source.name, source.n) == (photographs.name, 3)
    assert same_tensors(tmp_path / photographs.name / "run", tmp_path / "pack" / "run")


def test_weights_are_never_unpickled(tmp_path):
    pickled = tmp_path / "weights.safetensors"
    torch.save({"a": torch.zeros(3)}, pickled)
    with refused("checkpoint", pickled, "whole safetensors"):
        load_weights(pickled)


def test_losses_are_what_they_are_called():
    sr, hr = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.8, 0.6])
    assert LOSSES["l1"](sr, hr) == pytest.approx(0.7 / 3)
    assert LOSSES["mse"](sr, hr) == pytest.approx(0.25 / 3)
    charbonnier = (1e-3 + (0.09 + 1e-6) ** 0.5 + (0.16 + 1e-6) ** 0.5) / 3
    assert LOSSES["charbonnier"](sr, hr) == pytest.approx(charbonnier)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_least_for_the_picture_itself_and_leads_there(name):
    random = torch.Generator().manual_seed(0)
    hr = torch.rand((2, 3, 24, 32), generator=random)
    noise = torch.rand(hr.shape, generator=random) - 0.5
    loss = LOSSES[name]
    assert loss(hr, hr) <= 1e-3
    assert loss(hr + 0.1 * noise, hr) < loss(hr + 0.4 * noise, hr)
    if name != "overshoot":  # which knows which of them is HR
        assert loss(hr + noise, hr) == pytest.approx(loss(hr, hr + noise))
    sr = (hr + 0.2 * noise).requires_grad_()
    before = loss(sr, hr)
    before.backward()
    step = 1e-2 / sr.grad.abs().max()
    assert loss(sr.detach() - step * sr.grad, hr) < before


def test_a_lattice_counts_far_more_than_noise_of_its_power():
    random = torch.Generator().manual_seed(0)
    hr = torch.rand((2, 3, 128, 128), generator=random)
    noise = 0.1 * torch.randn(hr.shape, generator=random)
    pattern = 0.1 * torch.randn((2, 3, 4, 4), generator=random).repeat(1, 1, 32, 32)
    found = [float(lattice(hr + each, hr, scale=4)) for each in (noise, pattern)]
    assert found[0] == pytest.approx(float(noise.square().mean()), rel=0.3)
    assert found[1] == pytest.approx(256 * float(pattern.square().mean()), rel=1e-3)
    assert lattice(hr[:, :, :24, :24], hr[:, :, :24, :24], scale=4) == 0


def test_overshoot_is_what_lies_beyond_the_pixels_around():
    hr = torch.full((1, 1, 9, 9), 0.9)
    hr[..., :4] = 0.1  # ink to the left of paper
    assert LOSSES["overshoot"](hr, hr) == 0
    soft = hr.clone()
    soft[..., 3:5] = 0.5
    assert LOSSES["overshoot"](soft, hr) == 0
    ringing = hr.clone()
    ringing[..., 3], ringing[..., 4] = 0.0, 1.0
    assert LOSSES["overshoot"](ringing, hr) == pytest.approx(2 * 0.1 / 9)


def test_ms_ssim_on_one_scale_is_ssim():
    random = np.random.default_rng(0)
    hr = random.random((16, 16, 3))
    sr = (hr + 0.1 * random.random((16, 16, 3))).clip(0, 1)
    expected = structural_similarity(
        sr, hr, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, win_size=11, full=True,
    )[1][5:-5, 5:-5].mean()  # fmt: skip
    ours = LOSSES["ms_ssim"](
        *(torch.from_numpy(each).permute(2, 0, 1)[None].float() for each in (sr, hr))
    )
    assert float(1 - ours) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", ["charbonnier", "mse"])
def test_a_network_learns_by_every_loss(photographs, recipe_file, tmp_path, loss):
    assert loss in LOSSES
    recipe = load_recipe(recipe_file(('"l1"', f'"{loss}"'), ("steps = 12", "steps = 40")))
    seen = []
    train(recipe, data=photographs, out=tmp_path / "run", threads=1, on_progress=seen.append)
    validated = [now.psnr for now in seen if now.validated]
    assert validated[-1] > validated[0] + 1


def test_the_licences_of_the_photographs_go_into_the_weights(photographs, recipe_file, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(photographs, folder / "hr")
    rows = [f"hr/{path.name},CC0-1.0,here" for path in (folder / "hr").glob("*.png")]
    (folder / "MANIFEST.csv").write_text("file,licence,origin\n" + "\n".join(rows) + "\n")
    weights = train(load_recipe(recipe_file()), data=folder, out=tmp_path / "run", threads=1)
    (source,) = load_weights(weights)[1].training_data
    assert (source.name, source.licence, source.n) == ("here", "CC0-1.0", 3)
    (folder / "MANIFEST.csv").write_text("file,licence,origin\n")
    with refused("data", "MANIFEST.csv", "row"):
        train(load_recipe(recipe_file()), data=folder, out=tmp_path / "again", threads=1)


def test_weights_name_the_commit_only_of_widesr_itself(tmp_path, monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|widesr .*", commit_of.which_commit())
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    commit = ["commit", "-q", "--allow-empty", "-m", "theirs"]
    subprocess.run(["git", "-C", tmp_path, *author, *commit], check=True)
    installed = tmp_path / ".venv" / "widesr" / "system" / "commit.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(commit_of, "__file__", str(installed))
    assert commit_of.which_commit() == f"widesr {widesr.__version__}"
