"""Batches: each picture in one of them, and none too large."""

from hypothesis import given
from hypothesis import strategies as st

from widesr.bulk.listing import BYTES, Item, Listing, in_batches
from widesr.bulk.manifest import Keys, key_of
from widesr.bulk.store import Found, Store


def put(store, *names):
    for name in names:
        store.put(name, name.encode(), overwrite=False)


@given(st.lists(st.integers(0, 2 * BYTES)), st.integers(1, 9))
def test_each_picture_is_in_one_batch_and_no_batch_is_too_large(sizes, most):
    items = [Item(n, b"", Found(str(n), size, "")) for n, size in enumerate(sizes)]
    batches = list(in_batches(items, most=most))
    assert [item for batch in batches for item in batch.items] == items
    assert len({batch.id for batch in batches}) == len(batches)
    for batch in batches:
        total = sum(item.found.size for item in batch.items)
        assert 0 < len(batch.items) <= most
        assert total <= BYTES or len(batch.items) == 1


def test_a_batch_is_made_only_when_it_is_asked_for():
    taken = []

    def items():
        for number in range(1_000_000):
            taken.append(number)
            yield Item(number, b"", Found(str(number), 1, ""))

    batches = in_batches(items(), most=10)
    next(batches)
    assert len(taken) <= 11


def test_what_is_no_picture_is_hidden_or_is_our_own_is_left_out(tmp_path):
    inputs, outputs = Store(str(tmp_path)), Store(str(tmp_path / "out"))
    put(inputs, "a.png", "deep/b.JPG", "notes.txt", ".hidden/c.png", "out/d.png", "_widesr/e.png")
    put(inputs, "outside/f.png")
    listing = Listing(inputs, outputs)
    (batch,) = listing.batches(Keys())
    assert [item.found.name for item in batch.items] == ["a.png", "deep/b.JPG", "outside/f.png"]
    assert listing.others == 1


def test_what_is_settled_is_passed_over_and_the_numbers_stay(tmp_path):
    inputs, outputs = Store(str(tmp_path / "in")), Store(str(tmp_path / "out"))
    put(inputs, "a.png", "b.png", "c.png")
    first, _, third = Listing(inputs, outputs).pictures()
    listing = Listing(inputs, outputs)
    (batch,) = listing.batches(Keys([key_of(first), key_of(third)]))
    assert [(item.number, item.found.name) for item in batch.items] == [(1, "b.png")]
    assert listing.settled == 2


def test_a_link_that_leads_round_in_a_ring_is_not_followed(tmp_path):
    inputs = Store(str(tmp_path / "in"))
    put(inputs, "a.png")
    (tmp_path / "in" / "ring").symlink_to(tmp_path / "in")
    assert [found.name for found in inputs.list()] == ["a.png"]


def test_after_a_loss_what_is_settled_is_left_out():
    items = tuple(Item(n, b"", Found(str(n), 1, "")) for n in range(3))
    (batch,) = in_batches(items, most=3)
    again = batch.again(frozenset({1}))
    assert [item.number for item in again.items] == [0, 2]
    assert again.losses == 1
    assert again.id != batch.id
    assert [len(each.items) for each in again.apart()] == [1, 1]
