"""Tiles: every pixel once, enough context, and no more work than needed."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widesr.errors import ShapeError, UsageError
from widesr.tiling import plan_tiles

SIDES = st.integers(1, 60)
TILES = st.integers(1, 20)
HALOS = st.integers(0, 9)


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS)
def test_tile_cores_cover_every_pixel_exactly_once(height, width, tile, halo):
    seen = np.zeros((height, width), int)
    for t in plan_tiles(height, width, tile=tile, halo=halo):
        seen[t.core_y, t.core_x] += 1
    assert (seen == 1).all()


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS)
def test_a_tile_reads_its_core_and_every_pixel_within_the_halo_and_no_other(
    height, width, tile, halo
):
    ys, xs = np.mgrid[:height, :width]
    for t in plan_tiles(height, width, tile=tile, halo=halo):
        near_y = (ys >= t.core_y.start - halo) & (ys < t.core_y.stop + halo)
        near_x = (xs >= t.core_x.start - halo) & (xs < t.core_x.stop + halo)
        read = np.zeros((height, width), bool)
        read[t.read_y, t.read_x] = True
        np.testing.assert_array_equal(read, near_y & near_x)


@settings(deadline=None)
@given(SIDES, SIDES, TILES)
def test_tiles_are_as_few_as_can_be_and_none_is_larger_than_asked(height, width, tile):
    tiles = plan_tiles(height, width, tile=tile, halo=0)
    assert len(tiles) == ceil(height / tile) * ceil(width / tile)
    for t in tiles:
        assert 1 <= t.core_y.stop - t.core_y.start <= tile
        assert 1 <= t.core_x.stop - t.core_x.start <= tile


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS, st.integers(1, 4))
def test_kept_pixels_put_in_their_place_make_the_whole_picture(height, width, tile, halo, scale):
    lr = np.arange(height * width).reshape(height, width)
    whole = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    sr = np.full_like(whole, -1)
    for t in plan_tiles(height, width, tile=tile, halo=halo):
        part = lr[t.read_y, t.read_x].repeat(scale, axis=0).repeat(scale, axis=1)
        sr[t.placed(scale)] = part[t.kept(scale)]
    np.testing.assert_array_equal(sr, whole)


def test_no_tile_is_one_tile_of_the_whole_picture():
    (t,) = plan_tiles(7, 5000, tile=None, halo=3)
    whole = (slice(0, 7), slice(0, 5000))
    assert (t.core_y, t.core_x) == (t.read_y, t.read_x) == whole


def test_tiles_come_row_by_row():
    starts = [(t.core_y.start, t.core_x.start) for t in plan_tiles(4, 6, tile=3, halo=1)]
    assert starts == [(0, 0), (0, 3), (2, 0), (2, 3)]


def test_a_plan_that_cannot_be_is_refused():
    with pytest.raises(ShapeError, match="0x4"):
        plan_tiles(4, 0, tile=None, halo=1)
    with pytest.raises(UsageError, match="at least 1 pixel, got 0"):
        plan_tiles(4, 4, tile=0, halo=1)
    with pytest.raises(UsageError, match="got -1"):
        plan_tiles(4, 4, tile=4, halo=-1)
