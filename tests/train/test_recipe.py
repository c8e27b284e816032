"""Recipes: complete, and every mistake in one named at once with the way out."""

import re
from pathlib import Path

import pytest

from facts import refused
from recipes import stage
from widesr.degrade.named import DEGRADATIONS
from widesr.train.changes import changed
from widesr.train.named_files import as_toml, read_recipe
from widesr.train.recipe import list_recipes, load_recipe, parse_recipe

pytestmark = pytest.mark.train


def test_every_recipe_of_the_package_is_complete_and_named_as_its_file():
    assert list_recipes()
    for name in list_recipes():
        assert load_recipe(name).name == name
        assert load_recipe(name).network.scale in (2, 3, 4, 8)


def test_a_recipe_says_only_what_differs_from_its_base(tmp_path):
    base = load_recipe("wdsr-a8-x2")
    file = tmp_path / "mine.toml"
    file.write_text('''base = "wdsr-a8-x2"
        [optim]
        steps = 5
        [[stage]]
        steps = 2
        loss = "mse"''')
    found = load_recipe(str(file))
    assert (found.name, found.optim.steps, found.stage[0].loss) == ("mine", 5, "mse")
    optim = found.optim.model_copy(update={"steps": base.optim.steps})
    restored = {"name": base.name, "optim": optim, "stage": ()}
    assert found.model_copy(update=restored) == base
    shown = tmp_path / "mine" / "mine.toml"
    shown.parent.mkdir()
    shown.write_text(as_toml(read_recipe(str(file))[1]))
    assert load_recipe(str(shown)) == found


@pytest.mark.parametrize("base", ['"wdsr-a8-x22"', '"mine.toml"', "3"])
def test_a_base_is_a_recipe_of_the_package(tmp_path, base):
    file = tmp_path / "mine.toml"
    file.write_text(f"base = {base}")
    with refused("recipe", "base", base.strip('"')):
        load_recipe(str(file))


@pytest.mark.parametrize(
    ("old", "new", "facts"),
    [
        ("n_feats = 4", "n_featz = 4", ["net.n_feats", "missing", "net.n_featz", "n_feats?"]),
        ("n_feats = 4", "n_feats = 'many'", ["net.n_feats", "'many'", "integer"]),
        ("n_feats = 4", "n_feats = -4", ["net.n_feats = -4", "equal to 1"]),
        ("expansion = 2", "expansion = inf", ["net.expansion = inf", "finite"]),
        ("expansion = 2", "expansion = 0.2", ["net", "expansion", "no channel"]),
        ('block = "a"', 'block = "A"', ["net.block", "'A'", "'a'", "'b'"]),
        ("steps = 12", "step = 12", ["optim.steps", "missing", "optim.step", "unknown", "steps?"]),
        ("steps = 12", 'steps = "12"', ["optim.steps", "'12'", "whole number"]),
        ("steps = 12", "steps = true", ["optim.steps", "True", "whole number"]),
        ("learning_rate = 1e-2", 'learning_rate = "fast"', ["optim.learning_rate", "'fast'"]),
        ("learning_rate = 1e-2", "learning_rate = inf", ["optim.learning_rate", "inf", "finite"]),
        ('loss = "l1"', 'loss = "l3"', ["optim.loss", "'l3'", "'l1'", "'charbonnier'", "'mse'"]),
        ('loss = "l1"', 'loss = "L1"', ["optim.loss", "'L1'", "'l1'", "l1?"]),
        ('precision = "fp32"', 'precision = "fp36"',
         ["optim.precision", "'fp36'", "'fp32'", "'bf16'", "'fp16'", "fp32?"]),
        ("betas = [0.9, 0.999]", "betas = [0.9]", ["optim.betas.1", "missing"]),
        ("betas = [0.9, 0.999]", "betas = 0.9", ["optim.betas", 0.9, "list"]),
        ("batch = 4", "batch = 0", ["data.batch = 0", "greater than 0"]),
        ("batch = 4", "btach = 4", ["data.btach", "unknown", "batch?"]),
        ("batch = 4", "batch = 4\nbetas = []", ["data.betas", "unknown", "[optim]"]),
        ("batch = 4", "batch = 4\nseed = 1", ["data.seed", "unknown", "first table"]),
        ('family = "wdsr"', 'family = "wsdr"', ["family", "'wsdr'", "edsr", "wdsr?"]),
        ("[data]", "[dataa]", ["dataa", "unknown", "data?"]),
        ("seed = 1", "seed = 1\nlog = 3", ["TOML"]),
        ('family = "wdsr"', "", ["family", "missing"]),
        ("[log]\nvalidate_every = 4", "[[log]]", ["log = [{}]", "table"]),
        ('schedule = "cosine"', 'schedule = "step"', ["optim", "decay_at", "decay"]),
        ("warmup = 2", "warmup = 2\ndecay = 0.5", ["optim.decay = 0.5", 'schedule = "step"']),
        ('schedule = "cosine"', 'schedule = "cosin"', ["optim.schedule", "'cosin'", "cosine?"]),
        ("warmup = 2", "warmup = 2\nweight_decay = 0.1", ["optim.weight_decay = 0.1", '"adamw"']),
        (*stage("steps = 13"), ["stage", "13 steps", "optim.steps = 12"]),
        (*stage("steps = 3\nbach = 2"), ["stage.0.bach", "unknown", "batch?"]),
        (*stage("steps = 3\nteacher_share = 0.5"), ["teacher_share", "[teacher]"]),
        ("warmup = 2", 'warmup = 2\noptimizer = "muon"', ['optimizer = "muon"', "[optim.muon]"]),
        ("warmup = 2", 'warmup = 2\noptimizer = "muon"\nweight_decay = 0.1',
         ["optim.weight_decay = 0.1", '"adamw"']),
        ("[log]", "[optim.muon]\nlearning_rate = 0.1\n[log]",
         ["optim.muon", 'optimizer = "muon"', '"adam"']),
        ("[log]", "[optim.muon]\nmomenta = 0.1\n[log]",
         ["optim.muon.momenta", "unknown", "momentum?"]),
        ("[log]", '[teacher]\nmodel = "best"\nshare = 1.5\n[log]', ["teacher.share = 1.5"]),
        ("2\nschedule = \"cosine\"", '1\nschedule = "one-cycle"', ["warmup", "steps = 12"]),
        ("scale = 2", "scale = 5", ["net.scale = 5", "2, 3, 4 or 8"]),
        ("[log]", "[log", ["TOML"]),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_named(recipe_file, old, new, facts):
    with refused("recipe", *facts):
        load_recipe(recipe_file((old, new)))


def test_all_mistakes_of_a_recipe_are_named_at_once(recipe_file):
    file = recipe_file(
        ("seed = 1", "seed = 'x'"),
        ("n_feats = 4", "n_featz = 4"),
        ('block = "a"', 'block = "c"'),
        ("batch = 4", "batch = 0"),
        ("warmup = 2", "warmpu = 2"),
        ("betas = [0.9, 0.999]", "betas = [0.9, 0.999]\nweight_decay = 1"),
        ('schedule = "cosine"', 'schedule = "cosine"\ndecay = 0.1'),
        ("[log]", "[lgo]"),
    )
    with refused("recipe") as error:
        load_recipe(file)
    head, *mistakes = re.split(r": \d+ mistakes: |; ", str(error.value))
    assert head == file
    assert f"{len(mistakes)} mistakes" in str(error.value)
    keys = {re.split(r"[:= ]", mistake)[0] for mistake in mistakes}
    assert keys == {
        "seed", "net.n_feats", "net.n_featz", "net.block", "data.batch", "optim.warmup",
        "optim.warmpu", "optim.weight_decay", "optim.decay", "lgo",
    }  # fmt: skip


def test_a_misspelt_family_hides_no_mistake_in_its_network(recipe_file):
    file = recipe_file(('family = "wdsr"', 'family = "wsdr"'), ("n_feats = 4", "n_featz = 4"))
    with refused("recipe", "3 mistakes", "family = 'wsdr'", "net.n_feats: missing", "net.n_featz"):
        load_recipe(file)


def test_steps_that_a_recipe_cannot_have_are_refused(recipe_file):
    recipe = load_recipe(recipe_file(stage('steps = 5\nloss = "mse"')))
    assert changed(recipe, ["optim.steps=5"]).optim.steps == 5
    with refused("recipe", "stage", "5 steps", "optim.steps = 4"):
        changed(recipe, ["optim.steps=4"])


def test_a_table_that_is_off_is_begun_by_its_keys(recipe_file):
    recipe = load_recipe(recipe_file())
    made = changed(recipe, ["teacher.model=best", "teacher.share=0.5"])
    assert (made.teacher.model, made.teacher.share) == ("best", 0.5)


def test_keys_that_decide_what_is_learned_have_no_default(recipe_file):
    recipe = load_recipe(recipe_file())
    needed = {
        "family", "net", "data", "optim", "data.degradation", "data.lr_patch", "data.batch",
        "optim.steps", "optim.learning_rate", "optim.warmup", "optim.schedule",
        "optim.ema_decay", "optim.precision",
    }  # fmt: skip
    without = {
        "name": "tiny", "source": "not stated", "seed": 0, "data.validation": 12,
        "data.exclude": (), "optim.betas": (0.9, 0.999), "log.validate_every": 1000,
    }  # fmt: skip
    for key in [*needed, *without, "log"]:
        values = recipe.model_dump()
        *table, last = key.split(".")
        del (values[table[0]] if table else values)[last]
        if key in needed:
            with refused("recipe", f"{key}: missing"):
                parse_recipe(values, origin="a recipe")
        elif key not in ("name", "log"):
            made = parse_recipe(values, origin="a recipe")
            assert getattr(getattr(made, table[0]) if table else made, last) == without[key]


def test_a_recipe_without_a_name_has_that_of_its_file(recipe_file):
    assert load_recipe(recipe_file(('name = "tiny-x2"', ""))).name == "tiny"


def test_the_recipe_that_the_page_shows_is_whole(tmp_path):
    page = Path(__file__).parents[2] / "docs/how-to/train.md"
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    (block,) = (block for block in blocks if "family" in block)
    (tmp_path / "my.toml").write_text(block)
    recipe = load_recipe(str(tmp_path / "my.toml"))
    assert (recipe.name, recipe.network.scale) == ("my", 2)
    assert f"runs/{recipe.name}/{recipe.name}.safetensors" in page.read_text()


def test_every_value_of_a_recipe_can_be_set_in_words(recipe_file):
    recipe = load_recipe(recipe_file())
    made = changed(
        recipe,
        [
            "optim.steps=40", 'optim.schedule="step"', "optim.decay_at = [10, 20]",
            "optim.decay=0.5", "optim.loss=mse", "net.n_feats=8", "data.exclude=[]", "seed=7",
            "name=my-x2",
        ],
    )  # fmt: skip
    assert made.optim.decay_at == (10, 20)
    assert (made.optim.steps, made.optim.schedule, made.optim.loss) == (40, "step", "mse")
    assert (made.network.n_feats, made.data.exclude, made.seed, made.name) == (8, (), 7, "my-x2")
    assert recipe == load_recipe(recipe_file())


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ("optim.steps", ["KEY=VALUE"]),
        ("=3", ["KEY=VALUE"]),
        ("optim.=3", ["KEY=VALUE"]),
        ("optim.steps=", ["KEY=VALUE"]),
        ("optim.step=3", ["tiny-x2", "optim.step", "unknown", "steps?"]),
        ("optim.steps=many", ["tiny-x2", "optim.steps = 'many'", "whole number"]),
        ("optim.steps=0", ["tiny-x2", "optim.steps = 0", "greater than 0"]),
        ("optm.steps=3", ["no table", "[optm]", "optim"]),
        ("steps=3", ["tiny-x2", "steps: unknown", "[optim]"]),
        ("optim.loss.l1=3", ["no table", "[loss]"]),
        ('optim.finish_loss="mse"', ["tiny-x2", "optim.finish_loss", "unknown"]),
    ],
)
def test_what_a_recipe_cannot_have_is_refused_by_its_key(recipe_file, change, facts):
    with refused("recipe", change, *facts):
        changed(load_recipe(recipe_file()), [change])


@pytest.mark.parametrize("value", ["[" * 3000, "1" * 5000])
def test_values_too_deep_or_long_to_read_are_mistakes(recipe_file, value):
    with refused("recipe", "TOML"):
        load_recipe(recipe_file(("seed = 1", f"seed = {value}")))
    with refused("recipe", "seed", "whole number"):
        changed(load_recipe(recipe_file()), [f"seed={value}"])


def test_a_name_too_long_for_a_file_is_unknown():
    with refused("recipe", "no such"):
        load_recipe("a" * 300)


def test_an_unknown_recipe_is_answered_with_the_nearest_name():
    with refused("recipe", "wdsr-a8-x22", "wdsr-a8-x2?"):
        load_recipe("wdsr-a8-x22")


def test_recipes_of_the_package_leave_the_examples_out():
    held_out = (Path(__file__).parents[2] / "training" / "held_out.txt").read_text().splitlines()
    names = {Path(line).name for line in held_out if line and not line.startswith("#")}
    assert names
    for name in list_recipes():
        assert names <= set(load_recipe(name).data.exclude)


@pytest.mark.parametrize("name", [*DEGRADATIONS, "given"])
def test_every_degradation_can_be_learned(recipe_file, name):
    recipe = load_recipe(recipe_file(('"bicubic"', f'"{name}"')))
    assert recipe.data.degradation == name
