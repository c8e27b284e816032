"""Decides if a run can go on with another number of steps, and says what else to do."""

from widesr.train.recipe import Recipe
from widesr.train.schedule import Settings, learning_rate_at, settings_at

_LOOKED_AT = 1000
"""Steps of a run at which two schedules are compared, at most."""


def goes_on(then: Recipe, now: Recipe, *, step: int) -> bool:
    """Say whether a run that has taken `step` steps by one recipe can go on by another.

    It can if they differ in nothing but the number of steps, and each step so far would have been
    the same: so it ends as a run that had that number from its beginning.
    """
    optim = then.optim.model_copy(update={"steps": now.optim.steps})
    if then.model_copy(update={"optim": optim, "log": now.log}) != now or now.optim.steps < step:
        return False
    every = max(1, step // _LOOKED_AT)
    looked_at = {*range(0, step, every), max(step - 1, 0)}
    return all(_taken(then, at) == _taken(now, at) for at in looked_at)


def _taken(recipe: Recipe, step: int) -> tuple[float, Settings]:
    return learning_rate_at(recipe, step), settings_at(recipe, step)


def how_to_extend(recipe: Recipe, *, weights: str) -> str:
    """Say how more can be learned after the last step of a recipe; `weights` are what it gave."""
    more = recipe.model_copy(
        update={"optim": recipe.optim.model_copy(update={"steps": 2 * recipe.optim.steps})}
    )
    if goes_on(recipe, more, step=recipe.optim.steps):
        return "a larger optim.steps lets it go on"
    return (
        f'schedule = "{recipe.optim.schedule}" has come to its end, so a larger optim.steps would '
        f"be another run: begin a new one with the weights of this one, {weights}"
    )
