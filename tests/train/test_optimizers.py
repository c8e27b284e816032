"""Muon: what a step of it is, and which parameters are whose."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from facts import refused
from recipes import MUON
from widesr.nets import WDSRConfig, build
from widesr.train.loop import prepare
from widesr.train.optimizers import Muon, orthogonalized
from widesr.train.recipe import load_recipe

pytestmark = pytest.mark.train


@given(
    st.integers(1, 20),
    st.integers(1, 40),
    st.integers(0, 99),
    st.floats(1e-4, 1e4),
    st.sampled_from([torch.bfloat16, torch.float32]),
)
def test_singular_values_come_near_one_and_directions_stay(rows, columns, seed, size, precision):
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((rows, columns)).astype(np.float32) * size
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    made = orthogonalized(torch.from_numpy(matrix)[None].to(precision))[0].float().numpy()
    sizes = np.diag(left.T @ made @ right.T)
    clear = values > 0.05 * np.linalg.norm(values)  # five steps leave what is far smaller behind
    assert np.all((sizes[clear] > 0.6) & (sizes[clear] < 1.3))


def test_a_matrix_of_zeros_stays_one():
    assert not orthogonalized(torch.zeros(2, 3, 5)).any()


def test_a_step_of_muon_is_the_orthogonalised_look_ahead_of_the_momentum():
    torch.manual_seed(0)
    kernels = [nn.Parameter(torch.randn(shape)) for shape in [(8, 4, 3, 3), (2, 8, 1, 1)] * 2]
    before = [kernel.detach().clone() for kernel in kernels]
    optimizer = Muon(kernels, lr=0.1, momentum=0.9, precision=torch.float32)
    for kernel in kernels:
        kernel.grad = torch.randn_like(kernel)
    optimizer.step()
    for kernel, old in zip(kernels, before, strict=True):
        ahead = kernel.grad * (0.1 + 0.9 * 0.1)  # (1 - 0.9) g, and 0.9 of the mean so far
        u = orthogonalized(ahead.flatten(1)[None])[0]
        scale = max(1.0, u.shape[0] / u.shape[1]) ** 0.5
        assert torch.allclose(kernel, old - 0.1 * scale * u.view_as(old), atol=1e-5)


def test_muon_learns_the_kernels_of_the_body_and_adam_the_rest(recipe_file):
    run = prepare(load_recipe(recipe_file(*MUON)), init=None, threads=1, device="cpu")
    adam, muon = run.optimizers
    names = {id(p): name for name, p in run.network.named_parameters()}

    def of(optimizer):
        return {names[id(p)] for group in optimizer.param_groups for p in group["params"]}

    assert of(muon) == {"body.0.0.weight", "body.0.2.weight"}
    assert of(adam) == set(names.values()) - of(muon)
    run.optimizers.set_learning_rate(5e-3)
    assert muon.param_groups[0]["lr"] == pytest.approx(3e-3)  # as 6e-3 to 1e-2


def test_layers_that_are_not_there_are_refused(recipe_file):
    *others, table = MUON
    wrong = (table[0], table[1].replace("6e-3", '6e-3\nlayers = ["bodies"]'))
    recipe = load_recipe(recipe_file(*others, wrong))
    with refused("training", "optim.muon.layers", "bodies", "body"):
        prepare(recipe, init=None, threads=1, device="cpu")


def test_a_network_without_weight_norm_starts_with_the_kernels_of_one_with_it():
    sizes = {"scale": 2, "block": "a", "n_resblocks": 4, "n_feats": 8, "expansion": 2}

    def kernels(**options):
        torch.manual_seed(3)
        network = build(WDSRConfig(**sizes, **options))
        assert hasattr(network.head, "weight") == bool(options)
        return network.fused().state_dict()

    normed, plain = kernels(), kernels(norm="none")
    assert normed.keys() == plain.keys()
    assert all(torch.allclose(normed[name], plain[name], atol=1e-6) for name in normed)
