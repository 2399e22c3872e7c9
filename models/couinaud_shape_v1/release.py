"""Makes this folder from a finished fit: weights, self-test, boundary spread, typical shapes and the card's numbers.

    python release.py --labels LABELS/couinaud --weights WORK/weights.onnx

Spread and typical shapes come from the livers of the training split alone (those fitted on and those that watched the
fit); the test split is not opened here. ``evaluate.py`` then measures the release on the test livers. Needs the
``onnx`` extra.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from livervol.io.images import read_labels
from livervol.kernels.lattice import argmax_trilinear
from livervol.kernels.tally import overlap_counts
from livervol.measure.resection import STANDARD
from livervol.scan import Segmentation
from livervol.segment.couinaud import SPREAD_BOUNDARIES, ShapeReading, boundary_shares, read_shape
from livervol.segment.couinaud_typical import DESCRIPTORS
from livervol.segment.model import predict, read_card

FOLDER = Path(__file__).resolve().parent
NEAR_COPIES = {"006", "007", "008", "009", "010", "079", "100", "103"}
WATCHED = {"012", "021", "048", "057", "066", "081", "091", "112"}

CARD = """\
name = "couinaud_shape_v1"
task = "couinaud"
version = "1"
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

# 95 % half width of the volume beyond each boundary, per ml of mixing (sum of P(s) P(t) across it)
[spread]
{spread}
floor = {floor}
method = "boundary spread fitted on the {livers} training livers, {fitted} of which also fitted the weights"

# shapes farther away than the limit are doubted
[typical]
file = "typical.npz"
sha256 = "{typical}"
limit = {limit}
"""


def training_livers(labels: Path) -> list[str]:
    """File names of the training split."""
    with (labels / "split.csv").open() as table:
        return [row["file"] for row in csv.DictReader(table) if row["split"] == "train"]


def readings(labels: Path) -> Iterator[tuple[str, ShapeReading, np.ndarray]]:
    """Each training liver's case number, reading, and segment confusion (predicted, true) as shares of the liver."""
    card = read_card(FOLDER)
    for name in training_livers(labels):
        truth = read_labels(labels / name)
        mask = (truth.labels != 0).view(np.uint8)
        reading = read_shape(Segmentation(mask, truth.grid, {1: "liver"}), card)
        matrix = (np.linalg.inv(reading.box.matrix) @ truth.grid.matrix)[:3]
        confusion = overlap_counts(argmax_trilinear(reading.logits, matrix, mask), truth.labels)[1:9, 1:9]
        yield name[5:8], reading, confusion / confusion.sum()


def fit_spread(mixing: np.ndarray, confusion: np.ndarray, weight: np.ndarray, watched: np.ndarray) -> np.ndarray:
    """95 % half widths per unit of mixing for each boundary, and the floor.

    ``mixing`` (livers, 8, 8), ``confusion`` (livers, 8, 8). Errors of remnants are taken as normal, boundaries as
    independent; the deviations per boundary follow by likelihood over every standard operation, their multiple is the
    95 % quantile of the standardised errors. Were the watched livers worse than the fitted ones by more than so few
    livers differ by chance (the relative error of a deviation, 1 / sqrt(2 n)), it would grow by the excess.
    """
    crossing, errors = [], []
    for operation in STANDARD:
        if 42 in operation.removed:
            continue
        stays = ~np.isin(np.arange(1, 9), operation.removed)
        shares = np.stack([boundary_shares(m) for m in mixing])
        crossing.append(shares[:, :, stays][:, :, :, ~stays].sum(axis=(2, 3)))
        errors.append(confusion[:, stays].sum(axis=(1, 2)) - confusion[:, :, stays].sum(axis=(1, 2)))
    squares, off = np.stack(crossing, axis=1) ** 2, np.stack(errors, axis=1)

    def variance(logs: np.ndarray) -> np.ndarray:
        return squares @ np.exp(2 * logs[:-1]) + np.exp(2 * logs[-1])

    def cost(logs: np.ndarray) -> float:
        spread = variance(logs)
        return float((weight[:, None] * (off**2 / spread + np.log(spread))).sum())

    logs = minimize(cost, np.append(np.zeros(len(SPREAD_BOUNDARIES)), np.log(0.002))).x
    z = np.abs(off) / np.sqrt(variance(logs))
    multiple = float(np.quantile(z, 0.95))
    ratio = float(np.sqrt((z[watched] ** 2).mean() / (z[~watched] ** 2).mean()))
    print(f"multiple {multiple:.3f}, watched over fitted {ratio:.3f}")
    chance = 1.0 + 1.0 / np.sqrt(2.0 * watched.sum())
    result: np.ndarray = np.exp(logs) * multiple * max(1.0, ratio / chance)
    return result


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


def write_card(spread: np.ndarray, limit: float, livers: int) -> None:
    lines = [f"{name} = {value:.4f}" for name, value in zip(SPREAD_BOUNDARIES, spread[:-1], strict=True)]
    typical = FOLDER / "typical.npz"
    text = CARD.format(
        weights=sha256(FOLDER / "weights.onnx"),
        fitted=livers - len(WATCHED),
        watched=len(WATCHED),
        spread="\n".join(lines),
        floor=f"{spread[-1]:.5f}",
        livers=livers,
        typical=sha256(typical) if typical.exists() else "",
        limit=f"{limit:.3f}",
    )
    (FOLDER / "model.toml").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    chosen = parser.parse_args()
    if chosen.weights.resolve() != FOLDER / "weights.onnx":
        shutil.copyfile(chosen.weights, FOLDER / "weights.onnx")
    livers = len(training_livers(chosen.labels))
    write_card(np.ones(len(SPREAD_BOUNDARIES) + 1), 1.0, livers)
    cases, mixing, confusion, descriptors = [], [], [], []
    for case, reading, matrix in readings(chosen.labels):
        cases.append(case)
        mixing.append(reading.mixing)
        confusion.append(matrix)
        descriptors.append(reading.descriptors)
    weight = np.array([1 / len(NEAR_COPIES) if case in NEAR_COPIES else 1.0 for case in cases])
    watched = np.array([case in WATCHED for case in cases])
    spread = fit_spread(np.stack(mixing), np.stack(confusion), weight, watched)
    mean, precision, limit = fit_typical(np.stack(descriptors), weight)
    assert mean.shape == (len(DESCRIPTORS),)
    np.savez(FOLDER / "typical.npz", mean=mean, precision=precision)
    write_card(spread, limit, livers)
    write_selftest(chosen.labels)
    print((FOLDER / "model.toml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
