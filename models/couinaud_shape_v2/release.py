"""Makes this folder from a finished fit: weights, self-test, boundary spread, typical shapes and the card's numbers.

    python release.py --labels LABELS/couinaud --weights WORK/weights.onnx [--jobs 2]

Spread and typical shapes come from the livers of the training split alone (those fitted on and those that watched the
fit); the test split is not opened here. ``evaluate.py`` then measures the release on the test livers. Needs the
``onnx`` extra.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from livervol.io.images import read_labels
from livervol.kernels.lattice import argmax_trilinear
from livervol.kernels.tally import overlap_counts
from livervol.measure.resection import STANDARD
from livervol.scan import Segmentation
from livervol.segment.couinaud import read_shape
from livervol.segment.couinaud_spread import SPREAD_BOUNDARIES, boundary_shares, half_widths
from livervol.segment.couinaud_typical import DESCRIPTORS
from livervol.segment.model import predict, read_card

FOLDER = Path(__file__).resolve().parent
NEAR_COPIES = {"006", "007", "008", "009", "010", "079", "100", "103"}
WATCHED = {"012", "021", "048", "057", "066", "081", "091", "112"}

#: Case number, mixing, segment confusion (predicted, true) as shares of the liver, shape descriptors, confidence.
Read = tuple[str, np.ndarray, np.ndarray, np.ndarray, float]

CARD = """\
name = "couinaud_shape_v2"
task = "couinaud"
version = "2"
weights = "weights.onnx"
sha256 = "{weights}"
licence = "CC BY-SA 4.0"
training_data = [
  "Couinaud-Segmentation label maps (Zhang et al., MICCAI 2023, MIT)",
  "livers of LiTS / MSD Task03_Liver (CC BY-SA 4.0), which those maps divide",
]
intended_use = "Couinaud segments I to VIII from a liver mask, CT or MR, for research. Not a medical device."
fitted_on = {fitted}
watched = {watched}

[input]
name = "shape"
shape = [1, 8, 56, 64, 72]
meaning = "livervol.segment.couinaud_shape.shape_channels on a 4 mm box"

[output]
name = "logits"
shape = [1, 8, 56, 64, 72]
meaning = "score of segments I to VIII"

[selftest]
input = "selftest/input.npz"
output = "selftest/output.npz"
tolerance = 0.1

# 95 % half width of the volume beyond each boundary, per ml of mixing (sum of P(s) P(t) across it); together: what
# moves segment I's boundary and the left fissure at once, as a share of the sum of their spreads
[spread]
{spread}
together = {together}
floor = {floor}
method = "boundary spread fitted by operation on the {livers} training livers, {fitted} of which fitted the weights"

# shapes farther away than the limit, and answers less sure than the least sure typical one, are doubted
[typical]
file = "typical.npz"
sha256 = "{typical}"
limit = {limit}
least_sure = {least_sure}
"""

#: The part of the standardised errors that the half widths are fitted to: round 95 %.
QUANTILES = np.linspace(0.93, 0.97, 9)
#: The least mean probability over the training livers, less what resampling the mask may change (0.0015, twice).
RESAMPLED = 0.003


def training_livers(labels: Path) -> list[str]:
    """File names of the training split."""
    with (labels / "split.csv").open() as table:
        return [row["file"] for row in csv.DictReader(table) if row["split"] == "train"]


def read_one(path: Path) -> Read:
    """One liver's reading in numbers."""
    truth = read_labels(path)
    mask = (truth.labels != 0).view(np.uint8)
    reading = read_shape(Segmentation(mask, truth.grid, {1: "liver"}), read_card(FOLDER))
    matrix = (np.linalg.inv(reading.box.matrix) @ truth.grid.matrix)[:3]
    confusion = overlap_counts(argmax_trilinear(reading.logits, matrix, mask), truth.labels)[1:9, 1:9]
    return path.name[5:8], reading.mixing, confusion / confusion.sum(), reading.descriptors, reading.confidence


def readings(labels: Path, jobs: int) -> Iterator[Read]:
    """The training livers, in order."""
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(read_one, [labels / name for name in training_livers(labels)])


def crossings(mixing: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Mixing that each operation's cut meets per boundary, shape (livers, operations, boundaries); who stays."""
    stays = [~np.isin(np.arange(1, 9), op.removed) for op in STANDARD if 42 not in op.removed]
    shares = np.stack([boundary_shares(m) for m in mixing])
    return np.stack([shares[:, :, k][:, :, :, ~k].sum(axis=(2, 3)) for k in stays], axis=1), stays


def fit_spread(mixing: np.ndarray, confusion: np.ndarray, weight: np.ndarray, watched: np.ndarray) -> np.ndarray:
    """95 % half widths per unit of mixing for each boundary, the joint cause's share, and the floor.

    ``mixing`` (livers, 8, 8), ``confusion`` (livers, 8, 8). First by likelihood: errors of remnants normal, boundaries
    independent, deviations times the 95 % quantile of the standardised errors. Then by operation: scales and joint
    cause are changed until 95 % of every operation's errors lie within. Were the watched livers worse than the fitted
    ones by more than so few livers differ by chance (the relative error of a deviation, 1 / sqrt(2 n)), all would grow
    by the excess.
    """
    crossing, stays = crossings(mixing)
    off = np.array([[m[k].sum() - m[:, k].sum() for k in stays] for m in confusion])

    def variance(logs: np.ndarray) -> np.ndarray:
        return crossing**2 @ np.exp(2 * logs[:-1]) + np.exp(2 * logs[-1])

    def likelihood(logs: np.ndarray) -> float:
        spread = variance(logs)
        return float((weight[:, None] * (off**2 / spread + np.log(spread))).sum())

    logs = minimize(likelihood, np.append(np.zeros(len(SPREAD_BOUNDARIES)), np.log(0.002))).x
    first = np.exp(logs) * float(np.quantile(np.abs(off) / np.sqrt(variance(logs)), 0.95))
    scales, floor = first[:-1], float(first[-1])

    def widths(logs: np.ndarray) -> np.ndarray:
        causes = np.stack([half_widths(m, scales * np.exp(logs[:-1]), float(np.exp(logs[-1]))) for m in mixing])
        return np.stack([np.linalg.norm(causes[:, :, k][:, :, :, ~k].sum(axis=(2, 3)), axis=1) for k in stays], axis=1)

    def cost(logs: np.ndarray) -> float:
        z = np.abs(off) / widths(logs)
        return float(sum(np.log(quantile(row, weight)) ** 2 for row in z.T) + 0.02 * (logs[:-1] ** 2).sum())

    start = np.append(np.zeros(len(SPREAD_BOUNDARIES)), -0.5)
    logs = minimize(cost, start, method="Nelder-Mead", options={"maxiter": 3000, "xatol": 1e-3, "fatol": 1e-5}).x
    z = np.abs(off) / widths(logs)
    ratio = float(np.sqrt((z[watched] ** 2).mean() / (z[~watched] ** 2).mean()))
    excess = max(1.0, ratio / (1.0 + 1.0 / np.sqrt(2.0 * watched.sum())))
    print(f"watched over fitted {ratio:.3f}, excess {excess:.3f}; of all {100 * (z <= excess).mean():.1f} % within, "
          f"of the watched {100 * (z[watched] <= excess).mean():.1f} %")  # fmt: skip
    return np.concatenate([scales * np.exp(logs[:-1]) * excess, [np.exp(logs[-1]), floor * excess]])


def quantile(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted quantile round 95 % with one more liver at infinity (Vovk 2005), averaged over ``QUANTILES``."""
    order = np.argsort(values)
    up_to = np.cumsum(weight[order]) / (weight.sum() + 1.0)
    places = np.minimum(np.searchsorted(up_to, QUANTILES), len(values) - 1)
    return float(values[order][places].mean())


def fit_typical(descriptors: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean, precision and the largest usual distance of shapes; correlations are shrunk by 0.3."""

    def gaussian(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.average(rows, axis=0, weights=weights)
        covariance = np.cov(rows.T, aweights=weights)
        covariance = 0.7 * covariance + 0.3 * np.diag(np.diag(covariance))
        return mean, np.linalg.inv(covariance)

    # each liver's distance from the others: a liver is nearer to statistics that it took part in
    left_out = []
    for i in range(len(descriptors)):
        others = np.arange(len(descriptors)) != i
        mean, precision = gaussian(descriptors[others], weight[others])
        off = descriptors[i] - mean
        left_out.append(float(np.sqrt(off @ precision @ off)))
    mean, precision = gaussian(descriptors, weight)
    limit = float(np.quantile(left_out, 0.96))
    return mean, precision, limit


def write_selftest(labels: Path) -> None:
    """The first watched liver's box as input, the network's answer as expected output, rounded to be small."""
    from livervol.segment.couinaud_shape import box_grid, box_occupancy, shape_channels

    truth = read_labels(labels / f"lits_{min(WATCHED)}.nii.gz")
    liver = Segmentation((truth.labels != 0).view(np.uint8), truth.grid, {1: "liver"})
    box = box_grid(liver)
    channels = shape_channels(box_occupancy(liver, box), box.spacing_mm[0])[None].astype(np.float16)
    (FOLDER / "selftest").mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "selftest" / "input.npz", values=channels)
    expected = predict(read_card(FOLDER), channels.astype(np.float32), threads=1)
    np.savez_compressed(FOLDER / "selftest" / "output.npz", values=(np.round(expected * 16) / 16).astype(np.float16))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(spread: np.ndarray, limit: float, least_sure: float, livers: int) -> None:
    lines = [f"{name} = {value:.4f}" for name, value in zip(SPREAD_BOUNDARIES, spread[:-2], strict=True)]
    typical = FOLDER / "typical.npz"
    text = CARD.format(
        weights=sha256(FOLDER / "weights.onnx"),
        fitted=livers - len(WATCHED),
        watched=len(WATCHED),
        spread="\n".join(lines),
        together=f"{spread[-2]:.4f}",
        floor=f"{spread[-1]:.5f}",
        livers=livers,
        typical=sha256(typical) if typical.exists() else "",
        limit=f"{limit:.3f}",
        least_sure=f"{least_sure:.4f}",
    )
    (FOLDER / "model.toml").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    chosen = parser.parse_args()
    if chosen.weights.resolve() != FOLDER / "weights.onnx":
        shutil.copyfile(chosen.weights, FOLDER / "weights.onnx")
    livers = len(training_livers(chosen.labels))
    write_card(np.ones(len(SPREAD_BOUNDARIES) + 2), 1.0, 0.0, livers)
    found = list(readings(chosen.labels, chosen.jobs))
    cases, mixing, confusion, descriptors, sure = (list(column) for column in zip(*found, strict=True))
    weight = np.array([1 / len(NEAR_COPIES) if case in NEAR_COPIES else 1.0 for case in cases])
    watched = np.array([case in WATCHED for case in cases])
    spread = fit_spread(np.stack(mixing), np.stack(confusion), weight, watched)
    mean, precision, limit = fit_typical(np.stack(descriptors), weight)
    assert mean.shape == (len(DESCRIPTORS),)
    np.savez(FOLDER / "typical.npz", mean=mean, precision=precision)
    write_card(spread, limit, min(sure) - RESAMPLED, livers)
    write_selftest(chosen.labels)
    print((FOLDER / "model.toml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
