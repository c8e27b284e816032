"""Recipes: complete, and every mistake in one named at once with the way out."""

import re
from pathlib import Path

import pytest

from recipes import stage
from widesr.degrade.named import DEGRADATIONS
from widesr.errors import RecipeError
from widesr.train.changes import changed
from widesr.train.recipe import list_recipes, load_recipe, parse_recipe

pytestmark = pytest.mark.train


def test_every_recipe_of_the_package_is_complete_and_named_as_its_file():
    assert list_recipes()
    for name in list_recipes():
        assert load_recipe(name).name == name
        assert load_recipe(name).network.scale in (2, 3, 4, 8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_feats = 4", "n_featz = 4", r"net\.n_feats: missing; net\.n_featz: .* mean n_feats\?"),
        ("n_feats = 4", "n_feats = 'many'", r"net\.n_feats = 'many': expected a valid integer"),
        ("n_feats = 4", "n_feats = -4", r"net = .*: expected more than 0 for n_feats"),
        ('block = "a"', 'block = "A"', r"net\.block = 'A': expected 'a' or 'b'"),
        ("steps = 12", "step = 12", r"steps: missing; .*step: unknown key, did you mean steps\?"),
        ("steps = 12", 'steps = "12"', r"optim\.steps = '12': expected a whole number$"),
        ("steps = 12", "steps = true", r"optim\.steps = True: expected a whole number$"),
        ("learning_rate = 1e-2", 'learning_rate = "fast"', r"learning_rate = 'fast': expected a"),
        ("learning_rate = 1e-2", "learning_rate = inf", r"learning_rate = inf: expected a fin"),
        ('loss = "l1"', 'loss = "l3"', r"optim\.loss = 'l3': expected 'l1', 'charbonnier' or"),
        ('loss = "l1"', 'loss = "L1"', r"expected 'l1', 'charbonnier' or 'mse', did you mean l1\?"),
        ('precision = "fp32"', 'precision = "fp36"', "expected 'fp32', 'bf16' or 'fp16', did"),
        ("betas = [0.9, 0.999]", "betas = [0.9]", r"optim\.betas\.1: missing"),
        ("betas = [0.9, 0.999]", "betas = 0.9", r"optim\.betas = 0\.9: expected a list"),
        ("batch = 4", "batch = 0", r"data\.batch = 0: expected greater than 0"),
        ("batch = 4", "btach = 4", r"data\.btach: unknown key, did you mean batch\?"),
        ("batch = 4", "batch = 4\nbetas = []", r"data\.betas: .*it belongs in \[optim\]"),
        ("batch = 4", "batch = 4\nseed = 1", r"data\.seed: .* it belongs above the first table"),
        ('family = "wdsr"', 'family = "wsdr"', r"expected one of .* did you mean wdsr\?"),
        ("[data]", "[dataa]", r"dataa: unknown key, did you mean data\?"),
        ("seed = 1", "seed = 1\nlog = 3", "not TOML"),
        ('family = "wdsr"', "", "family: missing"),
        ("[log]\nvalidate_every = 4", "[[log]]", r"log = \[{}\]: expected a table"),
        ('schedule = "cosine"', 'schedule = "step"', "needs decay_at and decay"),
        ("warmup = 2", "warmup = 2\ndecay = 0.5", 'decay = 0.5: only schedule = "step" has it'),
        ('schedule = "cosine"', 'schedule = "cosin"', "did you mean cosine"),
        ("warmup = 2", "warmup = 2\nweight_decay = 0.1", 'weight_decay = 0.1: .* "adamw"'),
        (*stage("steps = 13"), "13 steps, more than optim.steps = 12"),
        (*stage("steps = 3\nbach = 2"), r"stage\.0\.bach: unknown key, did you mean batch"),
        (*stage("steps = 3\nteacher_share = 0.5"), r"needs the table \[teacher\]"),
        ("warmup = 2", 'warmup = 2\noptimizer = "muon"', r"needs the table \[optim\.muon\]"),
        ("[log]", "[optim.muon]\nlearning_rate = 0.1\n[log]", 'only optimizer = "muon" has it'),
        ("[log]", "[optim.muon]\nmomenta = 0.1\n[log]", r"momenta: unknown key, .* momentum"),
        ("[log]", '[teacher]\nmodel = "best"\nshare = 1.5\n[log]', r"teacher\.share = 1\.5"),
        ("2\nschedule = \"cosine\"", '1\nschedule = "one-cycle"', "needs a warmup"),
        ("scale = 2", "scale = 5", r"net\.scale = 5: expected 2, 3, 4 or 8"),
        ("[log]", "[log", "not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_named(recipe_file, old, new, message):
    with pytest.raises(RecipeError, match=message) as refused:
        load_recipe(recipe_file((old, new)))
    assert "\n" not in str(refused.value)


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
    with pytest.raises(RecipeError) as refused:
        load_recipe(file)
    head, *mistakes = re.split(r": \d+ mistakes: |; ", str(refused.value))
    assert head == file
    assert f"{len(mistakes)} mistakes" in str(refused.value)
    keys = {re.split(r"[:= ]", mistake)[0] for mistake in mistakes}
    assert keys == {
        "seed", "net.n_feats", "net.n_featz", "net.block", "data.batch", "optim.warmup",
        "optim.warmpu", "optim.weight_decay", "optim.decay", "lgo",
    }  # fmt: skip


def test_a_misspelt_family_hides_no_mistake_in_its_network(recipe_file):
    file = recipe_file(('family = "wdsr"', 'family = "wsdr"'), ("n_feats = 4", "n_featz = 4"))
    message = r"3 mistakes: family = 'wsdr': .*; net\.n_feats: missing; net\.n_featz: unknown key"
    with pytest.raises(RecipeError, match=message):
        load_recipe(file)


def test_steps_that_a_recipe_cannot_have_are_refused(recipe_file):
    recipe = load_recipe(recipe_file(stage('steps = 5\nloss = "mse"')))
    assert changed(recipe, ["optim.steps=5"]).optim.steps == 5
    with pytest.raises(RecipeError, match=r"stage = .* 5 steps, more than"):
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
            with pytest.raises(RecipeError, match=f"{key}: missing"):
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
    ("change", "message"),
    [
        ("optim.steps", "sets nothing; expected KEY=VALUE"),
        ("=3", "sets nothing"),
        ("optim.=3", "sets nothing"),
        ("optim.steps=", "sets nothing"),
        ("optim.step=3", r"^tiny-x2 with optim\.step=3: .*unknown key, did you mean steps\?"),
        ("optim.steps=many", r"optim\.steps = 'many': expected a whole number"),
        ("optim.steps=0", r"optim\.steps = 0: expected greater than 0"),
        ("optm.steps=3", r"no table \[optm\]"),
        ("steps=3", r"steps: unknown key, it belongs in \[optim\]"),
        ("optim.loss.l1=3", r"no table \[loss\]"),
        ('optim.finish_loss="mse"', r"optim\.finish_loss: unknown key"),
    ],
)
def test_what_a_recipe_cannot_have_is_refused_by_its_key(recipe_file, change, message):
    with pytest.raises(RecipeError, match=message) as refused:
        changed(load_recipe(recipe_file()), [change])
    assert "\n" not in str(refused.value)


def test_an_unknown_recipe_is_answered_with_the_nearest_name():
    with pytest.raises(RecipeError, match=r"no such recipe .*, did you mean wdsr-a8-x2\?"):
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
