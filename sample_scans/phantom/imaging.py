"""From tissues to voxels: brightness per phase, partial volume, blur and correlated noise, all in whole numbers.

Every step after the tissue labels is integer arithmetic (the noise comes from raw PCG64 words), so the same voxels come
out on any machine and with any numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livervol.grid import Grid

from .lesions import LesionShape
from .scene import paint_scene, subdivided
from .tissues import Tissue

__all__ = [
    "CT_PHASES",
    "HU",
    "MR_CONTRASTS",
    "MR_SIGNAL",
    "SUBSAMPLES_ZYX",
    "Exposure",
    "SubsampledScene",
    "ct_voxels",
    "mr_voxels",
]

T = Tissue
Ints = NDArray[np.int64]

#: Parts of a voxel along z, y, x at whose centres the tissue is looked up (partial volume).
SUBSAMPLES_ZYX = (2, 2, 2)

CT_PHASES = ("native", "late_arterial", "portal_venous", "delayed")

#: HU by tissue in the order of ``CT_PHASES``: typical of a late arterial (about 35 s), a portal venous (70 s) and
#: a delayed (3 min) phase at 120 kVp; viable tumour is brighter than liver in the arterial phase and washes out after.
HU: dict[Tissue, tuple[int, int, int, int]] = {
    T.AIR: (-1000, -1000, -1000, -1000),
    T.TABLE: (-820, -820, -820, -820),
    T.SKIN: (15, 20, 30, 30),
    T.FAT: (-104, -103, -101, -102),
    T.MUSCLE: (54, 58, 66, 65),
    T.CORTICAL_BONE: (480, 482, 485, 483),
    T.MARROW: (165, 172, 180, 176),
    T.DISC: (85, 86, 90, 90),
    T.CANAL: (28, 30, 34, 34),
    T.LUNG: (-860, -855, -852, -853),
    T.LUNG_VESSEL: (20, 110, 70, 60),
    T.MYOCARDIUM: (46, 112, 118, 96),
    T.LEFT_HEART: (42, 280, 155, 118),
    T.RIGHT_HEART: (42, 215, 155, 118),
    T.AORTA: (42, 290, 156, 118),
    T.ARTERY: (42, 280, 154, 116),
    T.CAVA_LOW: (40, 62, 100, 112),
    T.CAVA_HIGH: (40, 112, 146, 116),
    T.STOMACH_WALL: (38, 88, 92, 78),
    T.STOMACH_FLUID: (8, 8, 9, 9),
    T.GAS: (-980, -980, -980, -980),
    T.BOWEL_WALL: (36, 78, 96, 80),
    T.BOWEL_CONTENT: (18, 18, 20, 20),
    T.STOOL: (28, 28, 29, 29),
    T.SPLEEN: (47, 98, 124, 104),
    T.SPLEEN_BAND: (47, 152, 126, 104),
    T.KIDNEY_CORTEX: (33, 188, 188, 158),
    T.KIDNEY_MEDULLA: (32, 72, 166, 162),
    T.KIDNEY_PELVIS: (6, 7, 10, 260),
    T.PANCREAS: (40, 104, 92, 76),
    T.GALLBLADDER: (9, 9, 10, 10),
    T.PORTAL_TRUNK: (42, 138, 168, 122),
    T.HEPATIC_TRUNK: (42, 72, 166, 120),
    T.LIVER: (56, 69, 112, 96),
    T.PORTAL_BRANCH: (42, 136, 168, 122),
    T.HEPATIC_BRANCH: (42, 70, 168, 120),
    T.VIABLE: (46, 132, 90, 74),
    T.NECROSIS: (26, 28, 30, 29),
}

MR_CONTRASTS = ("t1_native", "t1_late_arterial", "t1_portal_venous", "t2")

#: MR signal in arbitrary units in the order of ``MR_CONTRASTS``: fat-suppressed gradient echo T1, fast spin echo T2.
MR_SIGNAL: dict[Tissue, tuple[int, int, int, int]] = {
    T.AIR: (0, 0, 0, 0),
    T.TABLE: (0, 0, 0, 0),
    T.SKIN: (90, 110, 130, 90),
    T.FAT: (70, 74, 78, 160),
    T.MUSCLE: (190, 215, 250, 90),
    T.CORTICAL_BONE: (20, 20, 22, 20),
    T.MARROW: (95, 115, 140, 110),
    T.DISC: (120, 122, 130, 240),
    T.CANAL: (80, 82, 88, 620),
    T.LUNG: (12, 14, 16, 14),
    T.LUNG_VESSEL: (60, 300, 220, 40),
    T.MYOCARDIUM: (170, 360, 380, 130),
    T.LEFT_HEART: (130, 760, 520, 60),
    T.RIGHT_HEART: (130, 640, 520, 60),
    T.AORTA: (120, 820, 540, 25),
    T.ARTERY: (120, 760, 520, 30),
    T.CAVA_LOW: (120, 190, 380, 60),
    T.CAVA_HIGH: (120, 300, 500, 60),
    T.STOMACH_WALL: (180, 340, 380, 150),
    T.STOMACH_FLUID: (60, 60, 62, 640),
    T.GAS: (4, 4, 4, 4),
    T.BOWEL_WALL: (180, 320, 380, 160),
    T.BOWEL_CONTENT: (110, 112, 114, 480),
    T.STOOL: (210, 210, 212, 220),
    T.SPLEEN: (170, 360, 480, 330),
    T.SPLEEN_BAND: (170, 520, 490, 330),
    T.KIDNEY_CORTEX: (205, 620, 640, 300),
    T.KIDNEY_MEDULLA: (140, 260, 560, 360),
    T.KIDNEY_PELVIS: (60, 60, 62, 640),
    T.PANCREAS: (290, 520, 460, 190),
    T.GALLBLADDER: (80, 80, 82, 660),
    T.PORTAL_TRUNK: (120, 430, 560, 50),
    T.HEPATIC_TRUNK: (120, 150, 550, 50),
    T.LIVER: (260, 305, 430, 150),
    T.PORTAL_BRANCH: (130, 420, 560, 70),
    T.HEPATIC_BRANCH: (130, 160, 550, 70),
    T.VIABLE: (215, 500, 370, 260),
    T.NECROSIS: (150, 152, 156, 330),
}

_BYTES_SUMMED = 8
#: Standard deviation of a sum of eight uniform bytes: sqrt(8 (256^2 - 1) / 12).
_RAW_SD = math.sqrt(_BYTES_SUMMED * (256**2 - 1) / 12.0)
_SCALE_BITS = 24
#: Mottle at its random points, as a share of the noise's sd.
_MOTTLE_SHARE = 0.35


@dataclass(frozen=True)
class Exposure:
    """One acquisition: column of the brightness table, noise sd (HU or MR units) and the seed of its noise."""

    column: int
    noise_sd: float
    seed: int


def _smooth(values: Ints, axis: int, kernel: tuple[int, int, int]) -> Ints:
    """Three-tap whole-number filter, edges repeated; the result is ``sum(kernel)`` times as large."""
    moved = np.moveaxis(values, axis, 0)
    padded = np.concatenate([moved[:1], moved, moved[-1:]])
    result = kernel[0] * padded[:-2] + kernel[1] * padded[1:-1] + kernel[2] * padded[2:]
    return np.moveaxis(result, 0, axis)


def _divide(values: Ints, by: int) -> Ints:
    """Division rounded to the nearest whole number, halves upward."""
    result: Ints = (2 * values + by) // (2 * by)
    return result


def noise(shape_zyx: tuple[int, int, int], exposure: Exposure) -> Ints:
    """Correlated noise times 2**24, sd ``noise_sd``: eight raw bytes a voxel, (1 2 1) in-plane, (1 8 1) in z."""
    count = math.prod(shape_zyx)
    words = np.random.PCG64(exposure.seed).random_raw(count)
    raw = words.view(np.uint8).reshape(count, _BYTES_SUMMED).sum(axis=1, dtype=np.int64)
    values = (raw - _BYTES_SUMMED * 255 // 2).reshape(shape_zyx)
    sd = _RAW_SD
    for axis, kernel in ((0, (1, 8, 1)), (1, (1, 2, 1)), (2, (1, 2, 1))):
        values = _smooth(values, axis, kernel)
        sd *= math.sqrt(sum(k * k for k in kernel))
    return values * round(exposure.noise_sd * 2**_SCALE_BITS / sd)


def _twice(values: Ints, axis: int, length: int) -> Ints:
    """Linear interpolation to twice as many points along an axis, cut to ``length``; the result is twice as large."""
    moved = np.moveaxis(values, axis, 0)
    doubled = np.empty((2 * len(moved) - 1, *moved.shape[1:]), dtype=np.int64)
    doubled[0::2] = 2 * moved
    doubled[1::2] = moved[:-1] + moved[1:]
    return np.moveaxis(doubled[:length], 0, axis)


def mottle(shape_zyx: tuple[int, int, int], exposure: Exposure) -> Ints:
    """Slow unevenness times 2**24 (uneven parenchyma): random values 2 slices and 8 pixels apart, interpolated."""
    steps = (1, 3, 3)
    coarse = tuple((n - 1) // 2**k + 2 for n, k in zip(shape_zyx, steps, strict=True))
    words = np.random.PCG64(exposure.seed + 500_000_000).random_raw(math.prod(coarse))
    raw = words.view(np.uint8).reshape(-1, _BYTES_SUMMED).sum(axis=1, dtype=np.int64)
    values = (raw - _BYTES_SUMMED * 255 // 2).reshape(coarse)
    for axis, times in enumerate(steps):
        for left in range(times - 1, -1, -1):
            values = _twice(values, axis, (shape_zyx[axis] - 1) // 2**left + (2 if left else 1))
    return values * round(exposure.noise_sd * _MOTTLE_SHARE * 2**_SCALE_BITS / (_RAW_SD * 2 ** sum(steps)))


def _mean_brightness(labels: NDArray[np.uint8], table: Ints, shape_zyx: tuple[int, int, int]) -> Ints:
    """Brightness of each voxel times the number of its subsamples."""
    (kz, ky, kx), (nz, ny, nx) = SUBSAMPLES_ZYX, shape_zyx
    total = np.zeros(shape_zyx, dtype=np.int64)
    narrow = table.astype(np.int16)
    for a in range(kz):
        for b in range(ky):
            for c in range(kx):
                total += narrow[labels[a::kz, b::ky, c::kx]]
    assert total.shape == (nz, ny, nx)
    return total


def _blurred(total: Ints) -> Ints:
    """The scanner's blur: (1 4 1) in-plane, times 36."""
    return _smooth(_smooth(total, 1, (1, 4, 1)), 2, (1, 4, 1))


class SubsampledScene:
    """Tissues at a grid's subsamples, with one voxel to spare on each side so that the patient may move in steps."""

    def __init__(
        self, grid: Grid, lesions: tuple[LesionShape, ...], shift_lps_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ) -> None:
        self.grid = grid
        roomy = grid.pad((1, 1, 1), (1, 1, 1))
        self._labels = paint_scene(subdivided(roomy, SUBSAMPLES_ZYX), lesions, shift_lps_mm)

    def moved(self, steps_zyx: tuple[int, int, int] = (0, 0, 0)) -> NDArray[np.uint8]:
        """Tissues with the patient moved by whole subsamples along the grid's axes, at most one voxel."""
        cut = tuple(
            slice(k - step, k - step + n * k)
            for n, k, step in zip(self.grid.shape_zyx, SUBSAMPLES_ZYX, steps_zyx, strict=True)
        )
        return self._labels[cut]


def ct_voxels(labels: NDArray[np.uint8], shape_zyx: tuple[int, int, int], exposure: Exposure) -> NDArray[np.int16]:
    """CT voxels in HU from subsampled tissue labels, int16, clipped to -1024..3071.

    Noise is half as strong in lung, where fewer photons are lost, and a sixteenth in air, which keeps the files small.
    """
    table = np.zeros(256, dtype=np.int64)
    for tissue, values in HU.items():
        table[tissue] = values[exposure.column]
    parts = math.prod(SUBSAMPLES_ZYX) * 36
    sharp = _blurred(_mean_brightness(labels, table, shape_zyx))
    strength = np.where(sharp < -900 * parts, 1, np.where(sharp < -500 * parts, 8, 16))
    grain = (noise(shape_zyx, exposure) + mottle(shape_zyx, exposure)) * strength // 16
    values = _divide((sharp << _SCALE_BITS) // parts + grain, 1 << _SCALE_BITS)
    return np.clip(values, -1024, 3071).astype(np.int16)


def _bias_field(shape_zyx: tuple[int, int, int]) -> Ints:
    """Smooth coil sensitivity times 4096: brighter in front and on the right, 0.8 to 1.2."""
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.int64) for n in shape_zyx), indexing="ij", sparse=True)
    nz, ny, nx = shape_zyx
    front = 4096 * (ny - 2 * y) // ny
    right = 4096 * (nx - 2 * x) // nx
    up = 4096 * (nz - 2 * z) // nz
    return (
        4096 + front * 10 // 100 + right * 7 // 100 + (up * up >> 12) * (-6) // 100 + (front * right >> 12) * 4 // 100
    )


def mr_voxels(labels: NDArray[np.uint8], shape_zyx: tuple[int, int, int], exposure: Exposure) -> NDArray[np.int16]:
    """MR voxels in arbitrary units from subsampled tissue labels, int16: coil bias, noise, magnitude."""
    table = np.zeros(256, dtype=np.int64)
    for tissue, values in MR_SIGNAL.items():
        table[tissue] = values[exposure.column]
    parts = math.prod(SUBSAMPLES_ZYX) * 36
    sharp = _blurred(_mean_brightness(labels, table, shape_zyx)) * _bias_field(shape_zyx) >> 12
    values = _divide((sharp << _SCALE_BITS) // parts + noise(shape_zyx, exposure), 1 << _SCALE_BITS)
    return np.clip(np.abs(values), 0, 4095).astype(np.int16)
