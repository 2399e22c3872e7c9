"""Training examples: real scans bent, re-coloured class by class, and spoilt.

An example is a patch of 96 x 112 x 128 voxels of 2 mm: ``grey`` (uint8, 255 outside the field of view) and ``classes``.
About half of them keep the scan's own contrast (with the shifts that contrast phases and fat make), the others get a
random curve for all tissue or one for each class, so that contrast phase and modality do not matter.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from cases import CLASSES, LIVER, NAMES, NEAR_COPIES, TUMOUR
from torch.nn import functional as F

PATCH = (96, 112, 128)
VOXEL_MM = 2.0
OUTSIDE = 255


@dataclass(frozen=True)
class Recipe:
    """How examples are drawn: ``kinds`` are the shares of the scan's own contrast, of shifted organs, of one random
    curve and of one for each class; ``sources`` tells how often a scan is drawn; ``seed`` makes other examples."""

    name: str
    seed: int
    kinds: tuple[float, float, float, float]
    sources: dict[str, float]


#: For most of the fit, and for its end: mostly real contrast, and more MR.
RECIPES = {
    "broad": Recipe("broad", 0, (0.4, 0.2, 0.15, 0.25), {"sabs": 1.0, "lits": 0.75, "chaos": 1.1}),
    "finish": Recipe("finish", 1, (0.7, 0.15, 0.05, 0.10), {"sabs": 1.0, "lits": 0.75, "chaos": 1.6}),
}


def case_of(number: int, recipe: Recipe) -> str:
    """The scan that example ``number`` is made from."""
    weights = np.array([0.3 if name in NEAR_COPIES else recipe.sources[name.split("_")[0]] for name in NAMES])
    return NAMES[np.random.default_rng((5 + recipe.seed, number)).choice(len(NAMES), p=weights / weights.sum())]


class Cases:
    """The cached scans, read when first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[str, tuple[torch.Tensor, torch.Tensor, np.ndarray]] = {}

    def __getitem__(self, name: str) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        if name not in self.read:
            with np.load(self.folder / f"{name}.npz") as case:
                grey, classes = case["grey"], case["classes"]
            inside = np.argwhere((classes == LIVER) | (classes == TUMOUR))
            # classes + 1, so that 0 can mean outside the field of view
            shifted = np.where(grey == OUTSIDE, 0, classes + 1).astype(np.uint8)
            grey = np.where(grey == OUTSIDE, 0, grey)
            self.read[name] = torch.from_numpy(grey), torch.from_numpy(shifted), inside[::97]
        return self.read[name]


def small_field(random: np.random.Generator, size: tuple[int, int, int], shape: tuple[int, ...]) -> torch.Tensor:
    """A smooth random field of unit spread on its knots."""
    knots = torch.from_numpy(random.standard_normal((1, 1, *size)).astype(np.float32))
    return F.interpolate(knots, size=shape, mode="trilinear", align_corners=True)[0, 0]


def bent(cases: Cases, name: str, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey values 0 to 1 and classes + 1 (0 outside) of a rotated, scaled and bent patch."""
    grey, classes, liver = cases[name]
    if random.random() < 0.8:
        middle = liver.mean(axis=0) + random.uniform(-1, 1, 3) * (28, 22, 32)
        if random.random() < 0.3:
            middle = liver[random.integers(len(liver))] + random.uniform(-10, 10, 3)
    else:
        middle = random.uniform(0.1, 0.9, 3) * grey.shape
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(random.normal(0, (8, 5, 5)))):
        i, j = [a for a in range(3) if a != axis]
        one = np.eye(3)
        one[i, i] = one[j, j] = math.cos(angle)
        one[i, j], one[j, i] = -math.sin(angle), math.sin(angle)
        turn = turn @ one
    linear = torch.from_numpy((turn * random.uniform(0.85, 1.2) * random.uniform(0.93, 1.08, 3)).astype(np.float32))
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in PATCH]
    where = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) @ linear.T
    strength = random.uniform(0, 3.0)
    bend = torch.from_numpy((strength * random.standard_normal((1, 3, 5, 6, 6))).astype(np.float32))
    where += F.interpolate(bend, size=PATCH, mode="trilinear", align_corners=True)[0].permute(1, 2, 3, 0)
    where += torch.from_numpy(middle.astype(np.float32))
    flat = where.reshape(-1, 3)
    first = [max(0, int(v) - 2) for v in flat.amin(dim=0)]
    last = [min(n, int(v) + 3) for n, v in zip(grey.shape, flat.amax(dim=0), strict=True)]
    if any(b - a < 2 for a, b in zip(first, last, strict=True)):
        return torch.zeros(PATCH), torch.zeros(PATCH, dtype=torch.uint8)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    size = torch.tensor([b - a for a, b in zip(first, last, strict=True)], dtype=torch.float32)
    unit = ((where - torch.tensor(first, dtype=torch.float32)) * 2 / (size - 1) - 1).flip(-1)[None]
    value = F.grid_sample(grey[box].float()[None, None], unit, align_corners=True, padding_mode="border")[0, 0]
    label = F.grid_sample(classes[box].float()[None, None], unit, mode="nearest", align_corners=True)[0, 0]
    return value / 254.0, label.to(torch.uint8)


def curve(random: np.random.Generator, knots: int) -> np.ndarray:
    """A random grey curve on 256 values; seldom monotone."""
    places = np.sort(np.concatenate([[0, 1], random.uniform(0, 1, knots - 2)]))
    return np.interp(np.linspace(0, 1, 256), places, random.uniform(0, 1, knots))


def tables(value: torch.Tensor, label: torch.Tensor, random: np.random.Generator, kind: str) -> np.ndarray:
    """Grey curve of each class + 1, shape (classes + 1, 256)."""
    x = np.linspace(0, 1, 256)
    count = len(CLASSES) + 1
    if kind == "curve":
        if random.random() < 0.5:
            steps = random.exponential(1, 6)
            rising = np.interp(x, np.linspace(0, 1, 7), np.concatenate([[0], np.cumsum(steps)]) / steps.sum())
            return np.tile(1 - rising if random.random() < 0.4 else rising, (count, 1))
        return np.tile(curve(random, int(random.integers(4, 9))), (count, 1))
    table = np.empty((count, 256))
    if kind == "phase":
        # contrast phases and fat: each organ lighter or darker as a whole, other tissue as it is
        table[:] = x
        spread = {1: 0.10, 2: 0.10, 3: 0.2, 4: 0.2, 5: 0.05, 6: 0.05, 7: 0.25, 8: 0.15, 9: 0.12, 10: 0.08, 11: 0.12}
        for c, size in spread.items():
            table[c + 1] += random.normal(0, size)
        if random.random() < 0.2:
            table[LIVER + 1] -= random.uniform(0.05, 0.3)
        table[5] = table[4]
        return table
    table[:] = curve(random, int(random.integers(5, 11)))
    for c in range(1, len(CLASSES)):
        mask = label == c + 1
        if mask.any():
            middle = float(value[mask][::7].mean())
            slope = random.choice([-1, 1], p=[0.4, 0.6]) * random.uniform(0.2, 1.6)
            table[c + 1] = random.uniform(0.05, 0.95) + slope * (x - middle)
    if random.random() < 0.3:
        table[TUMOUR + 1] = table[LIVER + 1]
    return table


def coloured(value: torch.Tensor, label: torch.Tensor, random: np.random.Generator, kind: str) -> torch.Tensor:
    """The patch through the classes' grey curves."""
    index = label.long() * 256 + (value * 255).long()
    table = torch.from_numpy(tables(value, label, random, kind).astype(np.float32))
    result = table.reshape(-1)[index]
    if kind == "synthetic" and random.random() < 0.5:
        # other tissue wears a second curve in places, as unlike organs do
        second = torch.from_numpy(curve(random, 7).astype(np.float32))[(value * 255).long()]
        share = (small_field(random, (5, 6, 7), PATCH) * 3 + random.uniform(-1, 1)).sigmoid()
        result = torch.where(label == 1, result + share * (second - result), result)
    return result


def blurred(value: torch.Tensor, sigmas: tuple[float, float, float]) -> torch.Tensor:
    """Gaussian blur, spreads in voxels."""
    result = value[None, None]
    for axis, sigma in enumerate(sigmas):
        if sigma < 0.2:
            continue
        reach = max(1, math.ceil(2.2 * sigma))
        places = torch.arange(-reach, reach + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (places / sigma) ** 2)
        shape, pad = [1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]
        shape[2 + axis] = 2 * reach + 1
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = reach
        result = F.conv3d(F.pad(result, pad, mode="replicate"), (kernel / kernel.sum()).reshape(shape))
    return result[0, 0]


def paint_lesion(value: torch.Tensor, label: torch.Tensor, random: np.random.Generator, wild: bool) -> None:
    """A lesion, in place: uneven, with or without rim and dead core, inside the liver or bulging out of it."""
    liver = torch.nonzero(label == LIVER + 1)
    if len(liver) < 2000:
        return
    centre = liver[int(random.integers(len(liver)))].numpy()
    radius = math.exp(random.uniform(math.log(2.5), math.log(28)))
    first = [max(0, int(c - 1.5 * radius - 2)) for c in centre]
    last = [min(n, int(c + 1.5 * radius + 3)) for c, n in zip(centre, PATCH, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    axes = [torch.arange(a, b, dtype=torch.float32) - float(c) for a, b, c in zip(first, last, centre, strict=True)]
    shape = tuple(len(a) for a in axes)
    stretch = random.uniform(0.75, 1.3, 3)
    squares = [(axis * float(s)) ** 2 for axis, s in zip(axes, stretch, strict=True)]
    away = (squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]).sqrt()
    away = away / radius + random.uniform(0.05, 0.3) * small_field(random, (5, 5, 5), shape)
    there = label[box]
    within = away < 1
    own = (there == LIVER + 1) | (there == TUMOUR + 1)
    if random.random() < 0.35:
        # a bulge takes the place of loose tissue, not of air or a drawn organ
        own = own | ((there == 1) & (value[box] > 0.12) & (away < 0.95))
    within = within & own
    base = float(value[box][own].median())
    size = random.uniform(0.04, 0.25) if not wild else random.uniform(0.05, 0.6)
    level = base + size * random.choice([-1, 1], p=[0.65, 0.35])
    inner = torch.full(shape, level) + random.uniform(0, 0.08) * small_field(
        random, tuple(min(9, n) for n in shape), shape
    )
    if random.random() < 0.35:
        inner = torch.where(away > random.uniform(0.6, 0.9), inner + random.uniform(-0.2, 0.3), inner)
    if random.random() < 0.3:
        inner = torch.where(away < random.uniform(0.3, 0.7), inner - random.uniform(0.05, 0.3), inner)
    if random.random() < 0.12:
        # lipiodol: dense specks
        specks = small_field(random, tuple(min(14, n) for n in shape), shape) > random.uniform(-0.5, 1)
        inner = torch.where(specks, torch.tensor(random.uniform(0.8, 1.0)), inner)
    edge = ((1 - away) * radius / random.uniform(0.7, 3)).clamp(0, 1)
    texture = 0.6 * (value[box] - base)
    value[box] = torch.where(within, value[box] + edge * (inner + texture - value[box]), value[box])
    label[box] = torch.where(within, torch.tensor(LIVER + 1, dtype=torch.uint8), there)


def spoil_anatomy(value: torch.Tensor, label: torch.Tensor, random: np.random.Generator, wild: bool) -> None:
    """Lesions, ascites, a resected part: in place."""
    if random.random() < 0.45:
        for _ in range(int(random.integers(1, 5))):
            paint_lesion(value, label, random, wild)
    liver = label == LIVER + 1
    if random.random() < 0.07 and liver.any():
        near = blurred(liver.float(), (random.uniform(2, 6),) * 3)
        fluid = (near > random.uniform(0.05, 0.35)) & (label == 1) & (value > 0.1) & (value < 0.75)
        level = random.uniform(0.3, 0.42) if not wild else random.uniform(0, 1)
        value[fluid] = level + 0.15 * (value[fluid] - 0.3)
    if random.random() < 0.06 and liver.any():
        places = torch.nonzero(liver)[::53].float()
        normal = torch.from_numpy(random.standard_normal(3).astype(np.float32))
        cut = float(torch.quantile(places @ normal, random.uniform(0.6, 0.9)))
        axes = [torch.arange(n, dtype=torch.float32) * float(a) for n, a in zip(PATCH, normal, strict=True)]
        side = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]
        gone = liver & (side + 2 * small_field(random, (5, 5, 5), PATCH) > cut)
        value[gone] = random.uniform(0, 1) if wild else random.uniform(0.05, 0.4)
        label[gone] = 1


def spoil_image(value: torch.Tensor, random: np.random.Generator, kind: str, mr: bool) -> torch.Tensor:
    """Blur, thick slices, bias field, gain, noise."""
    if kind in ("synthetic", "phase"):
        value = blurred(value, (random.uniform(0.35, 0.7),) * 3)
    if random.random() < 0.2:
        value = blurred(value, tuple(random.uniform(0.2, 1.3, 3)))
    if random.random() < 0.35:
        thick = int(random.integers(2, 6))
        skip = int(random.integers(0, thick))
        padded = F.pad(value[None, None], (0, 0, 0, 0, skip, thick), mode="replicate")
        slices = F.avg_pool3d(padded, (thick, 1, 1))
        wide = F.interpolate(slices, scale_factor=(float(thick), 1.0, 1.0), mode="trilinear")
        value = wide[0, 0, skip : skip + PATCH[0]]
    if random.random() < (0.5 if mr or kind in ("synthetic", "curve") else 0.08):
        value = value * torch.exp(random.uniform(0, 0.35) * small_field(random, (3, 3, 4), PATCH))
    if kind in ("real", "phase"):
        gain = random.uniform(0.65, 1.4) if mr else random.uniform(0.85, 1.18)
        shift = random.normal(0, 0.03 if mr else 0.035)
        value = 0.5 + gain * (value - 0.5) + shift if not mr else gain * value + shift
        value = value.clamp(0, 1) ** math.exp(random.normal(0, 0.25 if mr else 0.12))
    if random.random() < 0.55:
        sigma = 0.16 * random.random() ** 2
        noise = torch.from_numpy(random.standard_normal(PATCH, dtype=np.float32)) * sigma
        if random.random() < 0.5:
            noise = blurred(noise, (random.uniform(0.2, 0.7),) * 3) * 1.6
        value = value + noise
    return value.clamp(0, 1)


def cut_field(label: torch.Tensor, random: np.random.Generator) -> None:
    """Field of view cut on some sides, in place; most often above and below."""
    for axis, chance in ((0, 0.12), (0, 0.12), (1, 0.04), (2, 0.06)):
        if random.random() < chance:
            gone = int(random.uniform(0.05, 0.4) * PATCH[axis])
            side = slice(0, gone) if random.random() < 0.5 else slice(PATCH[axis] - gone, PATCH[axis])
            label[tuple(side if a == axis else slice(None) for a in range(3))] = 0


def example(cases: Cases, number: int, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey values (255 outside) and classes of example ``number``; the same number gives the same example."""
    random = np.random.default_rng((17 + recipe.seed, number))
    name = case_of(number, recipe)
    value, label = bent(cases, name, random)
    if not label.any():
        return torch.full(PATCH, OUTSIDE, dtype=torch.uint8), torch.zeros(PATCH, dtype=torch.uint8)
    mr = name.startswith("chaos_mr")
    kind = str(random.choice(["real", "phase", "curve", "synthetic"], p=recipe.kinds))
    if mr and kind == "phase":
        kind = "real"
    if kind != "real":
        value = coloured(value, label, random, kind)
    spoil_anatomy(value, label, random, kind not in ("real", "phase"))
    value = spoil_image(value, random, kind, mr)
    cut_field(label, random)
    grey = (value * 254).round().to(torch.uint8)
    grey[label == 0] = OUTSIDE
    classes = (label.to(torch.int16) - 1).clamp(min=0).to(torch.uint8)
    classes[classes == TUMOUR] = LIVER
    return grey, classes


def stored_example(cases: Cases, pool: Path, number: int, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """The example, kept in ``pool`` for other networks."""
    path = pool / recipe.name / f"{number // 1000:03d}" / f"{number:06d}.z"
    if path.exists():
        raw = np.frombuffer(zlib.decompress(path.read_bytes()), np.uint8).reshape(2, *PATCH)
        both = torch.from_numpy(raw.copy())
        return both[0], both[1]
    grey, classes = example(cases, number, recipe)
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_suffix(f".{id(path)}")
    writing.write_bytes(zlib.compress(torch.stack([grey, classes]).numpy().tobytes(), 1))
    writing.replace(path)
    return grey, classes
