"""What the benchmark scripts share: a synthetic abdomen and interleaved medians with a check for equality first."""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FULL_ZYX = (220, 512, 512)
SPACING_MM = (1.5, 0.75, 0.7)
#: A peer that takes longer is timed once, and nothing is timed for more than twice as long.
LONG_S = 5.0
TINY_ZYX = (22, 47, 51)
TINY_SPACING_MM = (15.0, 8.1, 7.0)


class Abdomen(NamedTuple):
    spacing_mm: tuple[float, float, float]
    ct: NDArray[np.int16]
    body: NDArray[np.uint8]
    liver: NDArray[np.uint8]  # with vessels as holes
    lesions: NDArray[np.uint8]
    noisy: NDArray[np.uint8]  # a threshold through the noise: the worst case for runs
    crop: tuple[slice, slice, slice]  # the liver's box with a margin

    def cropped(self, volume: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.ascontiguousarray(volume[self.crop])


def abdomen(tiny: bool) -> Abdomen:
    """Body, liver of two lobes with vessels, twelve lesions, spine and noise; the same voxels every time."""
    shape, spacing = (TINY_ZYX, TINY_SPACING_MM) if tiny else (FULL_ZYX, SPACING_MM)
    rng = np.random.default_rng(7)
    extent = [n * s for n, s in zip(shape, spacing, strict=True)]
    z, y, x = (
        ((np.arange(n) + 0.5) * s).reshape([-1 if k == axis else 1 for k in range(3)]).astype(np.float32)
        for axis, (n, s) in enumerate(zip(shape, spacing, strict=True))
    )

    def ball(cz: float, cy: float, cx: float, rz: float, ry: float, rx: float) -> NDArray[np.bool_]:
        centre = (cz * extent[0], cy * extent[1], cx * extent[2])
        return ((z - centre[0]) / rz) ** 2 + ((y - centre[1]) / ry) ** 2 + ((x - centre[2]) / rx) ** 2 <= 1

    body = np.broadcast_to(ball(0.5, 0.5, 0.5, 1e6, 130.0, 165.0), shape)
    liver = (ball(0.55, 0.45, 0.33, 80, 75, 70) | ball(0.62, 0.38, 0.52, 45, 45, 75)) & ~ball(
        0.4, 0.75, 0.5, 90, 70, 60
    )
    vessels = np.zeros(shape, bool)
    for angle in np.linspace(-0.6, 0.6, 7):
        path = np.hypot(y - (0.45 + 0.1 * angle) * extent[1] - angle * (x - 0.4 * extent[2]), z - 0.55 * extent[0])
        vessels |= path < 4.0
    lesions = np.zeros(shape, bool)
    for _ in range(12):
        at = rng.uniform([0.4, 0.35, 0.25], [0.7, 0.55, 0.45])
        lesions |= ball(*at, *rng.uniform(5, 16, 3))
    lesions &= liver
    ct = np.full(shape, -1000, np.float32)
    ct[body] = 40
    ct[liver] = 110
    ct[liver & vessels] = 170
    ct[lesions] = 70
    ct[np.broadcast_to(ball(0.5, 0.78, 0.5, 1e6, 22, 25), shape)] = 400
    noise = rng.standard_normal(shape, dtype=np.float32)
    ct += 20 * noise
    voxels = np.rint(ct).astype(np.int16)
    crop = _crop_of(liver)
    masks = (np.ascontiguousarray(m).astype(np.uint8) for m in (body, liver & ~vessels, lesions, body & (voxels > 60)))
    return Abdomen(spacing, voxels, *masks, crop)


def _crop_of(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    box = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis)))
        box.append(slice(max(0, inside[0] - 8), min(mask.shape[axis], inside[-1] + 9)))
    return tuple(box)


def optional(name: str) -> ModuleType | None:
    """A peer that need not be installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        print(f"{name} is not installed: left out")
        return None


def itk(mask: NDArray[np.generic], spacing_mm: tuple[float, float, float]) -> Any:
    """The array as a SimpleITK image, made before the clock starts."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(mask)
    image.SetSpacing(spacing_mm[::-1])
    return image


def _chosen(text: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--tiny", action="store_true", help="small input, one repetition: checks equality only")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    return parser.parse_args()


def is_tiny(text: str | None) -> bool:
    return bool(_chosen(text).tiny)


def floor_seconds(read_bytes: int, written_bytes: int) -> float:
    """Least time numpy takes to read so many bytes once and write so many, one thread."""
    source = np.ones(max(read_bytes // 8, 1), np.uint64)
    target = np.empty(max(written_bytes // 8, 1), np.uint64)
    target[:] = 0
    best = [np.inf, np.inf]
    for _ in range(5):
        start = time.perf_counter()
        np.bitwise_or.reduce(source)
        between = time.perf_counter()
        target[:] = 1
        end = time.perf_counter()
        best = [min(best[0], between - start), min(best[1], end - between)]
    return best[0] + best[1] * (written_bytes > 0)


def extra_mb(runner: Callable[[], object]) -> float:
    """How far the resident memory rises above what it was while ``runner`` works, its result included."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident_mb("VmRSS:")
    runner()
    return max(0.0, _resident_mb("VmHWM:") - before)


def _resident_mb(name: str) -> float:
    return int(Path("/proc/self/status").read_text().partition(name)[2].split()[0]) / 1024


class Race:
    """Collects differences; ``finish`` exits 1 when there were any."""

    def __init__(self, tiny: bool, repeats: int = 5) -> None:
        self.repeats = 1 if tiny else repeats
        self.tiny = tiny
        self.wrong: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def run(
        self,
        title: str,
        ours: Callable[[], object],
        peers: dict[str, Callable[[], object]],
        same: Callable[[object, object], bool] | None = None,
        *,
        one_pass: tuple[int, int] | None = None,
    ) -> None:
        """Check every peer's result against ours, then print the medians of interleaved runs and the ratios.

        Peers that are slow or far behind the best one are timed once.
        ``one_pass`` are the bytes that must be read and written at the least: the time is compared with that too.
        """
        runners = {"livervol": ours, **peers}
        mine = ours()
        seconds: dict[str, list[float]] = {name: [] for name in runners}
        for name, peer in peers.items():
            start = time.perf_counter()
            theirs = peer()
            seconds[name].append(time.perf_counter() - start)
            if same is not None and not same(mine, theirs):
                self.wrong.append(f"{title}: {name}")
            del theirs
        del mine
        # a peer far behind the best or slow is not timed again: it does not decide the ratio
        best_first = min((taken[0] for taken in seconds.values() if taken), default=0.0)
        again = [n for n, t in seconds.items() if not t or (t[0] < 2 * best_first and t[0] < LONG_S)]
        for _ in range(self.repeats):
            for name in again:
                if sum(seconds[name]) < 2 * LONG_S:
                    gc.collect()
                    start = time.perf_counter()
                    runners[name]()
                    seconds[name].append(time.perf_counter() - start)
        medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
        best = min((m for name, m in medians.items() if name != "livervol"), default=float("nan"))
        row = {
            "title": title,
            "seconds": medians,
            "ratio": best / medians["livervol"],
            "equal": None if same is None else not any(w.startswith(f"{title}: ") for w in self.wrong),
            "extra_mb": 0.0 if self.tiny else extra_mb(ours),
            "floor_s": None if one_pass is None else floor_seconds(*one_pass),
        }
        self.rows.append(row)
        parts = ", ".join(f"{name} {medians[name] * 1e3:.1f}" for name in runners)
        floor = f"; {medians['livervol'] / row['floor_s']:.1f}x the memory floor" if row["floor_s"] else ""
        print(f"{title}: {row['ratio']:.1f}x the best peer ({parts} ms{floor})", flush=True)

    def finish(self) -> None:
        path = _chosen().json
        if path is not None:
            path.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        if self.wrong:
            print("different results: " + "; ".join(self.wrong))
            sys.exit(1)


def values_of(result: Any) -> NDArray[Any]:
    """A result as an array; SimpleITK images are converted here, after the clock has stopped."""
    if hasattr(result, "GetPixelIDValue"):
        import SimpleITK as sitk

        return np.asarray(sitk.GetArrayFromImage(result))
    return np.asarray(result)


def identical(a: Any, b: Any) -> bool:
    return bool(np.array_equal(values_of(a), values_of(b)))


def close(a: Any, b: Any) -> bool:
    return bool(np.allclose(values_of(a), values_of(b), rtol=1e-4, atol=1e-4))
