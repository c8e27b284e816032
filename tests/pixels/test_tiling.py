"""Tiles: every pixel once, enough context, and no more work than needed."""

from math import ceil, prod

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from facts import refused
from widesr.pixels.tiling import plan_tiles

SIDES = st.integers(1, 60)
TILES = st.integers(1, 20)
HALOS = st.integers(0, 9)
MARGINS = st.integers(0, 5)
STREAMS = st.integers(1, 4)


def _sides(tile):
    return tuple(read.stop - read.start for read in (tile.read_y, tile.read_x))


def _top(tile):
    return tile.core_y.start


def _left(tile):
    return tile.core_x.start


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS)
def test_tile_cores_cover_every_pixel_exactly_once(height, width, tile, halo):
    seen = np.zeros((height, width), int)
    for t in plan_tiles(height, width, tile=tile, halo=halo):
        seen[t.core_y, t.core_x] += 1
    assert (seen == 1).all()


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS, MARGINS, STREAMS)
def test_a_tile_reads_every_pixel_within_the_halo_of_its_core_up_to_the_margin(
    height, width, tile, halo, margin, streams
):
    for t in plan_tiles(height, width, tile=tile, halo=halo, margin=margin, streams=streams):
        for core, read, end in [(t.core_y, t.read_y, height), (t.core_x, t.read_x, width)]:
            assert -margin <= read.start <= max(core.start - halo, -min(margin, halo))
            assert min(core.stop + halo, end + min(margin, halo)) <= read.stop <= end + margin


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS, MARGINS, STREAMS)
def test_all_tiles_of_a_picture_are_read_in_one_size(height, width, tile, halo, margin, streams):
    tiles = plan_tiles(height, width, tile=tile, halo=halo, margin=margin, streams=streams)
    assert len({_sides(t) for t in tiles}) == 1


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS)
def test_tiles_are_as_few_as_can_be_and_none_is_read_larger_than_a_core_and_its_halos(
    height, width, tile, halo
):
    tiles = plan_tiles(height, width, tile=tile, halo=halo)
    assert len(tiles) == prod(max(1, ceil((n - 2 * halo) / tile)) for n in (height, width))
    assert max(_sides(tiles[0])) <= tile + 2 * halo


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS)
def test_no_more_is_read_than_the_picture_and_the_halos_along_the_cuts(height, width, tile, halo):
    tiles = plan_tiles(height, width, tile=tile, halo=halo)
    rows, columns = (len({start(t) for t in tiles}) for start in (_top, _left))
    for side, n, length in zip(_sides(tiles[0]), (rows, columns), (height, width), strict=True):
        assert n * side < length + (n - 1) * 2 * halo + n


@settings(deadline=None)
@given(SIDES, SIDES, TILES, HALOS, STREAMS, st.integers(1, 12))
def test_no_stream_is_left_idle_unless_tiles_would_get_too_small(
    height, width, tile, halo, streams, least
):
    tiles = plan_tiles(height, width, tile=tile, halo=halo, least=least, streams=streams)
    fewest = plan_tiles(height, width, tile=tile, halo=halo)
    assert len(fewest) <= len(tiles)
    longer, start = (width, _left) if width > height else (height, _top)
    n = len({start(t) for t in tiles})
    assert len(tiles) % streams == 0 or (longer - 2 * halo) < least * (n + 1)
    assert len(tiles) == len(fewest) or (longer - 2 * halo) >= least * n


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
    starts = [(t.core_y.start, t.core_x.start) for t in plan_tiles(6, 6, tile=3, halo=1)]
    assert starts == [(0, 0), (0, 3), (3, 0), (3, 3)]


def test_a_plan_that_cannot_be_is_refused():
    with refused("shape", "0x4"):
        plan_tiles(4, 0, tile=None, halo=1)
    with refused("usage", "tile", 0):
        plan_tiles(4, 4, tile=0, halo=1)
    with refused("usage", "halo", -1):
        plan_tiles(4, 4, tile=4, halo=-1)
