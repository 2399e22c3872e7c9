"""Tubeness against eigenvalues of the Hessian voxel by voxel, and against tubes, sheets and balls of known profile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels.smooth import TRUNCATE_SIGMAS
from livervol.kernels.tubeness import tubeness

SPACING_MM = (2.5, 0.8, 0.7)
SHAPES = [(5, 7, 9), (3, 6, 67), (1, 4, 64), (9, 1, 11), (6, 5, 1), (2, 2, 2)]


def hessians(smooth: NDArray[Any], spacing_mm: tuple[float, float, float]) -> NDArray[Any]:
    padded = np.pad(smooth, 1, mode="edge")
    place = np.indices(smooth.shape) + 1

    def shifted(*steps: tuple[int, int]) -> NDArray[Any]:
        index = place.copy()
        for axis, step in steps:
            index[axis] += step
        return padded[tuple(index)]

    result = np.empty((*smooth.shape, 3, 3))
    for a in range(3):
        for b in range(3):
            if a == b:
                result[..., a, a] = (shifted((a, 1)) + shifted((a, -1)) - 2 * smooth) / spacing_mm[a] ** 2
            else:
                same = shifted((a, 1), (b, 1)) + shifted((a, -1), (b, -1))
                cross = shifted((a, 1), (b, -1)) + shifted((a, -1), (b, 1))
                result[..., a, b] = (same - cross) / (4 * spacing_mm[a] * spacing_mm[b])
    return result


def slow_tubeness(
    values: NDArray[Any], spacing_mm: tuple[float, float, float], scales_mm: list[float]
) -> NDArray[np.float64]:
    """The slow obvious twin: one scale after the other, eigenvalues by numpy, in double precision."""
    responses = []
    for scale in scales_mm:
        smooth = ndimage.gaussian_filter(
            values.astype(np.float64), [scale / s for s in spacing_mm], mode="nearest", truncate=TRUNCATE_SIGMAS
        )
        least, middle, _ = np.moveaxis(np.linalg.eigvalsh(hessians(smooth, spacing_mm)), -1, 0)
        responses.append(scale**2 * np.sqrt(np.where(middle < 0, least * middle, 0)))
    return np.array(responses)


@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.sampled_from([[0.7], [1.5, 0.9], [1.0, 2.0, 4.0]]))
def test_response_equals_the_twin(shape: tuple[int, int, int], seed: int, scales: list[float]) -> None:
    values = np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)
    found, scale_of = tubeness(values, SPACING_MM, scales)
    expected = slow_tubeness(values, SPACING_MM, scales)
    # single precision values of about 200, divided by steps of 0.7 mm squared and multiplied by scale squared; near
    # b = 0 the root of the product magnifies: sqrt(1e-3 x 30)
    np.testing.assert_allclose(found, expected.max(axis=0), rtol=1e-3, atol=0.2)
    assert ((scale_of > 0) == (found > 0)).all()
    clear = expected.max(axis=0) > 1.0
    chosen = np.take_along_axis(expected, np.maximum(scale_of.astype(int) - 1, 0)[None], axis=0)[0]
    np.testing.assert_allclose(chosen[clear], expected.max(axis=0)[clear], rtol=1e-2, atol=0.2)


def test_slabs_over_two_threads_equal_the_twin() -> None:
    rng = np.random.default_rng(3)
    values = ndimage.gaussian_filter(rng.normal(0, 300, (41, 80, 90)), 1.0).astype(np.float32)
    found, _ = tubeness(values, SPACING_MM, [1.2, 2.4])
    expected = slow_tubeness(values, SPACING_MM, [1.2, 2.4]).max(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.05)


def test_a_mask_only_leaves_out_and_its_box_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    values = rng.integers(-100, 200, (12, 40, 44)).astype(np.int16)
    mask = np.zeros(values.shape, bool)
    mask[5:8, 12:20, 9:30] = rng.random((3, 8, 21)) > 0.3
    whole, scales = tubeness(values, SPACING_MM, [1.0, 1.6])
    part, scales_part = tubeness(values, SPACING_MM, [1.0, 1.6], mask)
    np.testing.assert_allclose(part, np.where(mask, whole, 0), rtol=1e-4, atol=1e-2)
    assert (scales_part == np.where(mask & (part > 0), scales, 0))[~mask | (part > 1)].all()
    assert not tubeness(values, SPACING_MM, [1.0], np.zeros(values.shape, bool))[0].any()
    with pytest.raises(ValueError, match="does not fit"):
        tubeness(values, SPACING_MM, [1.0], mask[1:])


def profiles(spacing: float = 0.5, shape: tuple[int, int, int] = (61, 65, 69)) -> tuple[NDArray[Any], ...]:
    z, y, x = ((np.arange(n) - n // 2) * spacing for n in shape)
    return z[:, None, None], y[None, :, None], x[None, None, :]


@pytest.mark.parametrize("width_mm", [2.0, 3.0])
def test_a_gaussian_tube_answers_with_its_closed_form(width_mm: float) -> None:
    z, y, x = profiles()
    # along the diagonal of y and x; across it the distances are z and (y - x) / sqrt 2
    across = z**2 + (y - x) ** 2 / 2
    tube = (100.0 * np.exp(-across / (2 * width_mm**2))).astype(np.float32)
    for scale in (1.0, 2.0, 3.0, 4.0):
        found, _ = tubeness(tube, (0.5, 0.5, 0.5), [scale])
        # smoothed: amplitude w^2/(w^2+s^2), both curvatures amplitude/(w^2+s^2)
        total = width_mm**2 + scale**2
        expected = 100.0 * scale**2 * width_mm**2 / total**2
        # second differences fall short by (h^2/4) x third-moment terms: relative h^2 / (4 total) x 1..2, h = 0.5 mm
        assert found[30, 32, 34] == pytest.approx(expected, rel=0.5**2 / total)


def test_the_greatest_scale_is_the_tubes_own_and_a_sheet_or_a_dark_tube_answers_nothing() -> None:
    z, y, x = profiles()
    tube = (100.0 * np.exp(-(z**2 + y**2) / (2 * 2.0**2)) + 0 * x).astype(np.float32)
    _, scale_of = tubeness(tube, (0.5, 0.5, 0.5), [1.0, 2.0, 4.0])
    assert scale_of[30, 32, 34] == 2
    sheet = (100.0 * np.exp(-(z**2) / (2 * 2.0**2)) + 0 * y + 0 * x).astype(np.float32)
    assert tubeness(sheet, (0.5, 0.5, 0.5), [2.0])[0][30, 32, 34] < 0.5
    assert tubeness(-tube, (0.5, 0.5, 0.5), [2.0])[0][30, 32, 34] == 0
