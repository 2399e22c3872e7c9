"""Ball morphology against offsets tried one by one, and against scipy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels import slabs
from livervol.kernels.morphology import ball_half_widths, close_mm, dilate_mm, erode_mm, open_mm

SPACING_MM = (2.5, 0.8, 0.7)
SHAPES = [(5, 7, 9), (3, 6, 67), (1, 4, 64), (9, 1, 11), (6, 5, 1), (1, 1, 1), (4, 9, 129)]

Spacing = tuple[float, float, float]


def ball(radius_mm: float, spacing_mm: Spacing) -> NDArray[np.bool_]:
    """Offsets of the ball as scipy's structuring element; the sphere itself belongs to it."""
    reach = [int(radius_mm / s + 1e-6) for s in spacing_mm]
    offsets = np.mgrid[tuple(slice(-n, n + 1) for n in reach)]
    square = sum((k * s) ** 2 for k, s in zip(offsets, spacing_mm, strict=True))
    return np.asarray(square <= (radius_mm * (1 + 1e-9)) ** 2)


def shifted_dilation(mask: NDArray[np.bool_], radius_mm: float, spacing_mm: Spacing) -> NDArray[np.bool_]:
    """The slow obvious twin: one shifted copy of the mask for each offset of the ball."""
    element = ball(radius_mm, spacing_mm)
    reach = [n // 2 for n in element.shape]
    framed = np.pad(mask, [(n, n) for n in reach])
    result = np.zeros(mask.shape, bool)
    for offset in np.argwhere(element):
        result |= framed[tuple(slice(k, k + n) for k, n in zip(offset, mask.shape, strict=True))]
    return result


def shifted_erosion(mask: NDArray[np.bool_], radius_mm: float, spacing_mm: Spacing) -> NDArray[np.bool_]:
    return ~shifted_dilation(~mask, radius_mm, spacing_mm)


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    shape = draw(st.sampled_from(SHAPES))
    filled = draw(st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.99, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(shape) < filled


@given(masks(), st.sampled_from([0.0, 0.5, 0.7, 0.8, 1.6, 2.5, 3.1]))
def test_all_four_equal_the_twin(mask: NDArray[np.bool_], radius_mm: float) -> None:
    dilated = shifted_dilation(mask, radius_mm, SPACING_MM)
    eroded = shifted_erosion(mask, radius_mm, SPACING_MM)
    assert dilate_mm(mask, radius_mm, SPACING_MM).dtype == np.uint8
    np.testing.assert_array_equal(dilate_mm(mask, radius_mm, SPACING_MM), dilated)
    np.testing.assert_array_equal(erode_mm(mask, radius_mm, SPACING_MM), eroded)
    np.testing.assert_array_equal(open_mm(mask, radius_mm, SPACING_MM), shifted_dilation(eroded, radius_mm, SPACING_MM))
    np.testing.assert_array_equal(
        close_mm(mask, radius_mm, SPACING_MM), shifted_erosion(dilated, radius_mm, SPACING_MM)
    )


@given(masks(), st.sampled_from([0.8, 2.5]))
def test_closing_never_removes_and_opening_never_adds(mask: NDArray[np.bool_], radius_mm: float) -> None:
    assert (close_mm(mask, radius_mm, SPACING_MM) >= mask).all()
    assert (open_mm(mask, radius_mm, SPACING_MM) <= mask).all()


@pytest.mark.parametrize("radius_mm", [1.5, 4.0, 9.0])
def test_a_blob_agrees_with_scipy(radius_mm: float) -> None:
    # several words a row, both slabs, a box away from the border on some sides and cut on others
    z, y, x = np.ogrid[:36, :61, :150]
    blob = (((z - 30) / 14) ** 2 + ((y - 25) / 20) ** 2 + ((x - 75) / 50) ** 2 < 1) & ((z + y + x) % 23 > 1)
    assert blob.size > slabs.LEAST_VOXELS
    element = ball(radius_mm, SPACING_MM)
    dilated = ndimage.binary_dilation(blob, element)
    eroded = ndimage.binary_erosion(blob, element, border_value=1)
    np.testing.assert_array_equal(dilate_mm(blob, radius_mm, SPACING_MM), dilated)
    np.testing.assert_array_equal(erode_mm(blob, radius_mm, SPACING_MM), eroded)
    np.testing.assert_array_equal(
        close_mm(blob, radius_mm, SPACING_MM), ndimage.binary_erosion(dilated, element, border_value=1)
    )
    np.testing.assert_array_equal(open_mm(blob, radius_mm, SPACING_MM), ndimage.binary_dilation(eroded, element))


def test_one_voxel_becomes_the_ball() -> None:
    mask = np.zeros((9, 21, 31), np.uint8)
    mask[4, 10, 15] = 1
    grown = dilate_mm(mask, 5.0, SPACING_MM)
    index = (np.argwhere(grown) - (4, 10, 15)) * np.asarray(SPACING_MM)
    assert len(index) == ball(5.0, SPACING_MM).sum()
    assert np.linalg.norm(index, axis=1).max() <= 5.0 * (1 + 1e-9)


def test_a_centre_on_the_sphere_belongs_to_the_ball() -> None:
    # 3 * 0.7 and 0.1 * 21 differ in the last digits
    assert ball_half_widths(2.1, (2.1, 2.1, 0.7)).tolist() == [[3, 0], [0, -1]]
    assert ball_half_widths(0.0, SPACING_MM).tolist() == [[0]]


def test_the_border_is_foreground_to_erosion_and_background_to_dilation() -> None:
    full = np.ones((3, 5, 70), np.uint8)
    assert erode_mm(full, 10.0, SPACING_MM).all()
    assert not dilate_mm(np.zeros((3, 5, 70), np.uint8), 10.0, SPACING_MM).any()


@pytest.mark.parametrize("threads", [1, 2])
def test_views_threads_and_concurrent_calls_agree(threads: int) -> None:
    stored = (np.random.default_rng(8).random((40, 60, 139)) < 0.1).astype(np.uint8)
    view = stored[::-1, :, ::-1]
    expected = ndimage.binary_dilation(view, ball(2.5, SPACING_MM))
    slabs.set_threads(threads)
    try:
        with ThreadPoolExecutor(2) as pool:
            for grown in pool.map(lambda _: dilate_mm(view, 2.5, SPACING_MM), range(3)):
                np.testing.assert_array_equal(grown, expected)
    finally:
        slabs.set_threads(2)
