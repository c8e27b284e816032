"""The order of batches is the seed's, whoever makes them, and however far ahead."""

import hashlib
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waiting import until
from widesr.data.loader import Loader
from widesr.data.patches import Pair, mean_gradient


def made_pairs():
    pairs = []
    for i, (height, width) in enumerate([(17, 40), (12, 12), (33, 25)]):
        lr = np.arange(height * width * 3).reshape(height, width, 3) * (7 + i) % 256
        lr = lr.astype(np.uint8)
        pairs.append(Pair(str(i), lr, lr.repeat(2, axis=0).repeat(2, axis=1)))
    return pairs


def loader(**options):
    return Loader(made_pairs(), scale=2, lr_patch=12, **({"batch": 5, "seed": 5} | options))


def digest(batches):
    return hashlib.sha256(b"".join(part.tobytes() for batch in batches for part in batch[:2]))


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_batches_are_those_that_were_always_drawn_from_a_seed(workers):
    # Golden: PatchSampler of widesr at bc19adb, six batches from these pairs.
    golden = "0b5b7b00cd3990ea402f5ea840e3f4e981a05113040d831c0e94d75f0cdc1d6a"
    with loader(workers=workers) as batches:
        assert digest([batches.next() for _ in range(6)]).hexdigest() == golden


@settings(max_examples=30)
@given(
    st.integers(0, 9), st.integers(1, 4), st.integers(0, 7), st.integers(1, 4), st.integers(1, 9)
)
def test_a_run_goes_on_from_the_batch_that_was_consumed(seed, workers, before, others, batch):
    with loader(seed=seed, workers=workers, batch=batch) as whole:
        for _ in range(before):
            whole.next()
        state = json.loads(json.dumps(whole.state))
        following = [whole.next() for _ in range(3)]
        assert whole.state != state
    with loader(seed=seed + 1, workers=others, batch=batch) as resumed:
        resumed.next()  # a loader that is at work may be set back too
        resumed.state = state
        assert resumed.state == state
        assert digest(resumed.next() for _ in range(3)).digest() == digest(following).digest()


def test_a_closed_loader_goes_on_where_it_stood():
    with loader() as whole:
        expected = [whole.next() for _ in range(4)]
    parts = loader(workers=3)
    seen = []
    for _ in range(4):
        seen.append(parts.next())
        parts.close()
    assert digest(seen).digest() == digest(expected).digest()


@given(st.integers(1, 7), st.integers(1, 12))
@settings(max_examples=20)
def test_the_shares_of_all_ranks_are_the_batch_of_one_process(world_size, batch):
    with loader(batch=batch) as alone:
        whole = [alone.next() for _ in range(2)]
    shares = [[], []]
    for rank in range(world_size):
        with loader(batch=batch, rank=rank, world_size=world_size) as its:
            for share in shares:
                share.append(its.next())
    for (lr, hr, *_), share in zip(whole, shares, strict=True):
        assert np.array_equal(np.concatenate([part[0] for part in share]), lr)
        assert np.array_equal(np.concatenate([part[1] for part in share]), hr)
        sizes = [len(part[0]) for part in share]
        assert max(sizes) - min(sizes) <= 1


def test_all_ranks_stand_at_the_same_place():
    states = []
    for rank in range(2):
        with loader(rank=rank, world_size=2) as its:
            its.next()
            states.append(its.state)
    assert states[0] == states[1]


def test_batches_come_ahead_but_only_so_many_and_no_thread_stays(monkeypatch, new_threads):
    drawn = []
    with loader(workers=2) as ahead:
        draw = ahead._sampler.draw
        monkeypatch.setattr(ahead._sampler, "draw", lambda n: (drawn.append(n), draw(n))[1])
        ahead.next()
        until(lambda: len(drawn) >= 4)
        time.sleep(0.05)  # in which more would be drawn
        assert len(drawn) == 4  # the one taken, and workers + 1
    assert not new_threads()


def test_what_goes_wrong_in_a_thread_is_raised_where_the_batch_is_wanted():
    pairs = [Pair("cut short", np.zeros((20, 20, 3), np.uint8), np.zeros((9, 9, 3), np.uint8))]
    with (
        Loader(pairs, scale=2, lr_patch=12, batch=5, seed=5) as broken,
        pytest.raises(ValueError, match="broadcast"),
    ):
        broken.next()


def test_waiting_is_measured(monkeypatch):
    with loader() as slow:
        cut = slow._cut
        monkeypatch.setattr(slow, "_cut", lambda patches: (time.sleep(0.2), cut(patches))[1])
        assert slow.waited == 0
        for _ in range(3):
            slow.next()
        assert slow.waited > 0.4
    with loader() as quick:
        cut_quick, made = quick._cut, []
        monkeypatch.setattr(quick, "_cut", lambda patches: (made.append(1), cut_quick(patches))[1])
        quick.next()
        first = quick.waited
        for taken in range(1, 4):
            time.sleep(0.1)  # a step of training, which does not count as waiting
            until(lambda taken=taken: len(made) >= taken + 2)  # the next one is ready by then
            quick.next()
        assert quick.waited - first < 0.2


def test_batches_of_another_size_go_on_with_the_same_random_sequence():
    with loader() as batches:
        batches.next()
        state = batches.state
        batches.rearrange(lr_patch=10, batch=3)
        lr, hr, *_ = batches.next()
        assert lr.shape == (3, 10, 10, 3)
        assert hr.shape == (3, 20, 20, 3)
        end = batches.state
    with loader() as resumed:  # as a run that was stopped there
        resumed.state = state
        resumed.rearrange(lr_patch=10, batch=3)
        assert digest([resumed.next()]).digest() == digest([(lr, hr)]).digest()
        assert resumed.state == end


def test_patches_with_more_to_see_are_drawn_more_often():
    flat = np.full((24, 48, 3), 100, np.uint8)
    flat[:, 24:] = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    pairs = [Pair("half", flat, flat.repeat(2, axis=0).repeat(2, axis=1))]

    def share_of_flat(candidates):
        options = {"scale": 2, "lr_patch": 4, "batch": 400, "seed": 1, "candidates": candidates}
        with Loader(pairs, **options) as batches:
            lr, *_ = batches.next()
        return np.mean([patch.min() == patch.max() for patch in lr])

    plain, hard = share_of_flat(1), share_of_flat(2)
    assert plain == pytest.approx(0.45, abs=0.08)
    assert hard == pytest.approx(plain**2, abs=0.06)  # both candidates were flat


def test_the_gradient_of_a_patch_is_the_mean_step_between_neighbours():
    ramp = np.zeros((5, 6, 3), np.uint8)
    ramp[..., 1] = 2 * np.arange(5)[:, None] + 7 * np.arange(6)
    assert mean_gradient(ramp) == 9
