"""Draws the figures of the concept pages from the sample scans' phantom and from generated numbers.

    python docs/make_figures.py [--out DIR] [--only NAME ...]

Nothing here is a patient's. The arrows, areas and numbers in the pictures are computed by livervol itself.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from livervol.assets import models_folder, sample_scans_folder
from livervol.endpoints.agreement import bland_altman
from livervol.endpoints.survival import kaplan_meier
from livervol.grid import Grid
from livervol.io.dicom import read_dicom
from livervol.measure.diameter import Body, Convention, Rules, in_slice_diameters, viable_diameters
from livervol.measure.remnant import find_remnants
from livervol.measure.resection import operation
from livervol.measure.standard_volume import standard_volumes
from livervol.records import Measurement
from livervol.response import rules
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.couinaud import segment_couinaud
from livervol.segment.viability import segment_viability
from livervol.workflows.plan import patient_size

sys.path.insert(0, str(sample_scans_folder()))
from phantom import VISIT_PLANS, PhantomMasks, phantom_masks

FOLDER = Path(__file__).resolve().parent / "images"
#: Okabe and Ito's colours, told apart by the colour-blind.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
)  # fmt: skip
SEGMENT_COLORS = [GREY, BLUE, SKY, GREEN, YELLOW, ORANGE, RED, PURPLE]
ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "livervol"})


# -- what the figures are drawn from -----------------------------------------------------------------------------------


@cache
def scans(visit: int) -> dict[Phase, Scan]:
    """The phases of one visit of the sample course."""
    folder = sample_scans_folder() / "course" / f"visit_{visit}"
    named = {"native": Phase.NATIVE, "late_arterial": Phase.LATE_ARTERIAL, "portal_venous": Phase.PORTAL_VENOUS}
    return {phase: read_dicom(folder / name)[0] for name, phase in named.items()}


@cache
def truth(visit: int) -> PhantomMasks:
    """The true masks of a visit on its portal-venous grid."""
    return phantom_masks(visit, VISIT_PLANS[visit].grid)


def labelled(array: np.ndarray, grid: Grid, word: str) -> Segmentation:
    """A label array as a Segmentation."""
    return Segmentation(array, grid, {int(v): f"{word} {v}" for v in np.unique(array) if v}, "truth")


@cache
def segments() -> Segmentation:
    """Couinaud segments of the phantom's liver."""
    masks = truth(1)
    return segment_couinaud(Segmentation(masks.liver, VISIT_PLANS[1].grid, {1: "liver"}, "truth")).segmentation


def picture(axes: Any, plane: np.ndarray, grid: Grid, window: tuple[float, float] = (-60, 220)) -> None:
    """One axial slice, front up, the patient's right on the left."""
    axes.imshow(plane, cmap="gray", vmin=window[0], vmax=window[1], aspect=grid.spacing_mm[1] / grid.spacing_mm[2])
    rows, columns = np.nonzero(plane > -300)
    axes.set(xlim=(columns.min() - 2, columns.max() + 2), ylim=(rows.max() + 2, rows.min() - 2))
    axes.set_axis_off()


def outline(axes: Any, mask: np.ndarray, color: str, width: float = 1.4) -> None:
    """The border of a mask in a slice."""
    if mask.any():
        axes.contour(mask.astype(float), [0.5], colors=[color], linewidths=width)


def legend(axes: Any, entries: dict[str, str], place: str = "lower left") -> None:
    """Colours and what they stand for."""
    handles = [plt.Line2D([], [], color=color, lw=3, label=text) for text, color in entries.items()]
    axes.legend(handles=handles, loc=place, fontsize=7, framealpha=0.85)


# -- volumes -----------------------------------------------------------------------------------------------------------


def volumes() -> Figure:
    """Liver, tumour and what is left when the one is taken from the other."""
    scan, masks = scans(1)[Phase.PORTAL_VENOUS], truth(1)
    index = int(np.argmax((masks.lesions == 1).sum(axis=(1, 2))))
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.1), width_ratios=(1.5, 1), layout="constrained")
    picture(left, scan.voxels[index], scan.grid)
    outline(left, masks.liver[index], GREEN)
    outline(left, masks.lesions[index] > 0, RED)
    legend(left, {"liver (TLV), tumour and vessels included": GREEN, "tumour (TV)": RED})
    voxel_ml = scan.grid.voxel_ml
    liver_ml, tumor_ml = masks.liver.astype(bool).sum() * voxel_ml, (masks.lesions > 0).sum() * voxel_ml
    rows = {"liver.volume_ml": liver_ml, "tumor.volume_ml": tumor_ml, "liver.functional_volume_ml": liver_ml - tumor_ml}
    right.barh(list(rows), list(rows.values()), color=[GREEN, RED, BLUE])
    for n, value in enumerate(rows.values()):
        right.text(value, n, f" {value:.0f}", va="center")
    right.set(xlabel="ml", xlim=(0, 2100))
    right.invert_yaxis()
    return figure


def couinaud() -> Figure:
    """Segments in three slices."""
    scan, labels = scans(1)[Phase.PORTAL_VENOUS], segments().labels
    rows = np.flatnonzero(labels.any(axis=(1, 2)))
    figure, panels = plt.subplots(1, 3, figsize=(7.4, 2.9), layout="constrained")
    for axes, share in zip(panels, (0.75, 0.5, 0.28), strict=True):
        index = int(rows[int(share * (len(rows) - 1))])
        picture(axes, scan.voxels[index], scan.grid)
        shown = np.ma.masked_equal(labels[index], 0)
        axes.imshow(shown, cmap=ListedColormap(SEGMENT_COLORS), vmin=1, vmax=8, alpha=0.55, interpolation="nearest",
                    aspect=scan.grid.spacing_mm[1] / scan.grid.spacing_mm[2])  # fmt: skip
        for value in np.unique(labels[index][labels[index] > 0]):
            y, x = (float(np.median(w)) for w in np.nonzero(labels[index] == value))
            axes.text(x, y, ROMAN[int(value) - 1], ha="center", va="center", fontsize=8, weight="bold")
    return figure


def remnant() -> Figure:
    """Right hepatectomy: what goes, what stays, the margin."""
    scan, masks = scans(1)[Phase.PORTAL_VENOUS], truth(1)
    labels, lesions = segments().labels, masks.lesions
    gone = np.isin(labels, operation("right_hepatectomy").removed)
    index = int(np.argmax((lesions == 1).sum(axis=(1, 2))))
    liver = Segmentation(masks.liver, scan.grid, {1: "liver"}, "truth")
    found = find_remnants(liver, segments(), labelled(lesions, scan.grid, "lesion"), ("right_hepatectomy",))[0]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.1), width_ratios=(1.5, 1), layout="constrained")
    picture(left, scan.voxels[index], scan.grid)
    tint = np.where(gone[index], 1, np.where(labels[index] > 0, 2, 0))
    left.imshow(np.ma.masked_equal(tint, 0), cmap=ListedColormap([ORANGE, BLUE]), vmin=1, vmax=2, alpha=0.4,
                interpolation="nearest", aspect=scan.grid.spacing_mm[1] / scan.grid.spacing_mm[2])  # fmt: skip
    outline(left, lesions[index] > 0, RED)
    legend(left, {"removed": ORANGE, "remnant (FLR)": BLUE, "tumour": RED})
    patient = standard_volumes(patient_size(170, 65, "male"))[0]
    shares = {
        "of TLV - TV\nflr_of_functional_percent": found.functional_ml,
        "of TLV\nflr_of_total_percent": found.total_ml,
        "of the standard volume\nsflr_percent": patient.volume_ml or math.nan,
    }
    right.barh(list(shares), [100 * found.volume_ml / whole for whole in shares.values()], color=[BLUE, SKY, GREEN])
    for n, whole in enumerate(shares.values()):
        value = 100 * found.volume_ml / whole
        right.text(value, n, f" {value:.1f} %\n {found.volume_ml:.0f} / {whole:.0f} ml", va="center", fontsize=8)
    right.axvline(35, color=GREY, ls="--", lw=1)
    right.set(xlabel="FLR %", xlim=(0, 62), title=f"margin {found.margin_mm:.1f} mm")
    right.tick_params(labelsize=7)
    right.invert_yaxis()
    return figure


def standard_volume() -> Figure:
    """Standard liver volume by published formulas against body surface."""
    weights = np.linspace(40, 110, 15)
    lines: dict[str, list[tuple[float, float]]] = {}
    for weight in weights:
        for row in standard_volumes(patient_size(170, float(weight), "male")):
            if row.volume_ml is not None and row.bsa in ("", "mosteller", row.formula.bsa):
                lines.setdefault(row.formula.key, []).append((float(weight), row.volume_ml))
    figure, axes = plt.subplots(figsize=(6.2, 3.4), layout="constrained")
    marked = {"vauthey_2002_bsa": BLUE, "urata_1995": RED, "feng_2017": GREEN}
    for name, points in lines.items():
        xs, ys = zip(*sorted(set(points)), strict=True)
        axes.plot(
            xs, ys, color=marked.get(name, "#cccccc"), lw=2 if name in marked else 1, label=marked.get(name) and name
        )
    axes.set(xlabel="body weight at 170 cm, kg", ylabel="standard liver volume, ml")
    axes.legend(fontsize=8, frameon=False)
    return figure


def probability() -> Figure:
    """The probability that a remnant is large enough."""
    figure, axes = plt.subplots(figsize=(5.4, 2.7), layout="constrained")
    mean, half = 38.0, 6.0
    law = NormalDist(mean, half / NormalDist().inv_cdf(0.975))
    x = np.linspace(26, 50, 400)
    y = np.array([law.pdf(v) for v in x])
    axes.plot(x, y, color=BLUE)
    axes.fill_between(x, y, where=x >= 35, color=BLUE, alpha=0.3)
    axes.axvline(35, color=RED, ls="--")
    axes.text(35, max(y) * 1.04, " threshold 35 %", color=RED, fontsize=8)
    axes.annotate("", (mean - half, 0.012), (mean + half, 0.012), arrowprops={"arrowstyle": "<->"})
    axes.text(mean, 0.017, "95 % interval", ha="center", fontsize=8)
    axes.text(mean + 1.2, 0.06, f"P(FLR >= 35 %) = {1 - law.cdf(35):.2f}", fontsize=8, weight="bold")
    axes.set(xlabel="FLR %", yticks=[], ylim=(0, max(y) * 1.15))
    axes.spines["left"].set_visible(False)
    return figure


# -- lesions -----------------------------------------------------------------------------------------------------------


def blob(side: int = 34) -> tuple[np.ndarray, np.ndarray]:
    """A bent lesion with a dead core, in one slice, and its living part."""
    y, x = np.mgrid[:side, :side].astype(float)
    whole = ((x - 15) / 12.5) ** 2 + ((y - 16) / 8.0) ** 2 < 1
    whole |= ((x - 24) / 6.5) ** 2 + ((y - 21) / 8.5) ** 2 < 1
    dead = ((x - 14) / 5.5) ** 2 + ((y - 16) / 4.8) ** 2 < 1
    return whole, whole & ~dead


def body(mask: np.ndarray) -> Body:
    """A slice as a body of one plane on a 1 mm grid, LPS axes."""
    return Body(mask[None].astype(np.uint8), Grid.from_parts((1, *mask.shape), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), 0)


def drawn(axes: Any, length: Measurement, color: str, words: str) -> None:
    """A measured line with its length."""
    line = length.line
    assert line is not None
    (x0, y0, _), (x1, y1, _) = line.start_lps_mm, line.end_lps_mm
    axes.plot([x0, x1], [y0, y1], color=color, lw=2, marker="o", ms=4, label=f"{words} {length.value:.1f} mm")


def lesion_axes(axes: Any, whole: np.ndarray, alive: np.ndarray | None = None) -> None:
    """The voxels of a lesion, dead ones dark."""
    shown = whole.astype(int) + (0 if alive is None else alive.astype(int))
    colors = ["white", "#cfd8dc"] if alive is None else ["white", "#78909c", "#ffe0b2"]
    axes.imshow(shown, cmap=ListedColormap(colors), vmin=0, vmax=len(colors) - 1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)


def diameters() -> Figure:
    """Longest diameter, short axis, and the three conventions of a length's ends."""
    whole, _ = blob()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.5), layout="constrained")
    lesion_axes(left, whole)
    longest, short = in_slice_diameters(body(whole))
    drawn(left, longest, BLUE, "longest_mm")
    drawn(left, short, ORANGE, "short_axis_mm")
    left.legend(fontsize=8, loc="lower left")
    y, x = np.mgrid[:12, :13]
    small = ((x - 6) / 4.2) ** 2 + ((y - 5) / 2.6) ** 2 < 1
    lesion_axes(right, small)
    for convention, color in ((Convention.CENTRE, RED), (Convention.MESH, GREEN), (Convention.CORNER, BLUE)):
        drawn(right, in_slice_diameters(body(small), Rules(convention=convention))[0], color, convention.value)
    right.legend(fontsize=8, loc="lower left", title="ends of a length")
    return figure


def viable() -> Figure:
    """Where a viable diameter may run."""
    whole, alive = blob()
    ring = alive.copy()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.5), layout="constrained")
    lesion_axes(left, whole, ring)
    drawn(left, in_slice_diameters(body(whole))[0], GREY, "longest_mm")
    long, across = viable_diameters(body(ring), body(whole))
    drawn(left, long, RED, "viable_longest_mm")
    drawn(left, across, ORANGE, "viable_perpendicular_mm")
    left.set_title("a large dead core: the line goes round it", fontsize=9)
    left.legend(fontsize=7, loc="lower left")
    thin = whole.copy()
    thin[:, 14:16] = False
    lesion_axes(right, whole, thin)
    drawn(right, viable_diameters(body(thin), body(whole))[0], RED, "viable_longest_mm")
    right.set_title("a gap of 2 mm is no major necrosis", fontsize=9)
    right.legend(fontsize=7, loc="lower left")
    return figure


# -- phases and viability ----------------------------------------------------------------------------------------------


def phases() -> Figure:
    """The same slice in three phases."""
    masks = truth(2)
    index = int(np.argmax((masks.lesions == 1).sum(axis=(1, 2))))
    figure, panels = plt.subplots(1, 3, figsize=(7.4, 2.9), layout="constrained")
    for axes, (phase, scan) in zip(panels, scans(2).items(), strict=True):
        picture(axes, scan.voxels[index], scan.grid, (-20, 260))
        axes.set_title(phase.value, fontsize=9)
    return figure


def enhancement() -> Figure:
    """How living tumour is told from dead: the rise from native to arterial, and the threshold."""
    masks, phase_scans = truth(2), scans(2)
    grid = VISIT_PLANS[2].grid
    on_grid = {p: Scan(s.voxels, grid, modality="CT", phase=p) for p, s in phase_scans.items()}
    liver = Segmentation(masks.liver, grid, {1: "liver"}, "truth")
    found = segment_viability(on_grid, liver, labelled(masks.lesions, grid, "lesion"))
    rise = on_grid[Phase.LATE_ARTERIAL].voxels.astype(float) - on_grid[Phase.NATIVE].voxels
    parts = {"viable": (found.viable.labels, RED), "necrosis": (found.necrosis.labels, BLUE),
             "uncertain": (found.uncertain.labels, ORANGE)}  # fmt: skip
    index = int(np.argmax((masks.lesions == 1).sum(axis=(1, 2))))
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.1), layout="constrained")
    bins = np.linspace(-60, 140, 60)
    for name, (labels, color) in parts.items():
        right.hist(rise[labels > 0], bins, color=color, alpha=0.6, label=name)
    right.axvline(found.threshold, color="black", ls="--", lw=1)
    right.text(found.threshold, right.get_ylim()[1] * 0.96, f" threshold {found.threshold:.0f} HU", fontsize=8)
    right.set(xlabel="late arterial minus native, HU (voxels as scanned)", ylabel="voxels of the lesions")
    right.legend(fontsize=8, frameon=False)
    rows, columns = np.nonzero(masks.lesions[index])
    box = slice(max(rows.min() - 12, 0), rows.max() + 12), slice(max(columns.min() - 12, 0), columns.max() + 12)
    picture(left, on_grid[Phase.LATE_ARTERIAL].voxels[index][box], grid, (-20, 260))
    for name, (labels, color) in parts.items():
        if name != "uncertain":
            outline(left, labels[index][box] > 0, color)
    legend(left, {"viable": RED, "necrosis": BLUE})
    return figure


# -- response, cohort, certainty ---------------------------------------------------------------------------------------


def response() -> Figure:
    """Sums over visits with the limits that decide."""
    sums, baseline = [80.0, 66.0, 50.0, 44.0, 52.0, 60.0], 80.0
    book = rules("mrecist")
    shrink, grow = float(book.values["pr_percent"]), float(book.values["pd_percent"])
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    visits = np.arange(1, len(sums) + 1)
    nadir = np.minimum.accumulate(sums)
    axes.plot(visits, sums, color=BLUE, marker="o", lw=2, label="sum of viable diameters")
    axes.axhline(baseline * (1 + shrink / 100), color=GREEN, ls="--", label=f"PR: baseline {shrink:g} %")
    axes.step(
        visits[1:], nadir[:-1] * (1 + grow / 100), color=RED, ls="--", where="mid", label=f"PD: nadir +{grow:g} %"
    )
    words = ["baseline"]
    for n in range(1, len(sums)):
        if sums[n] >= nadir[n - 1] * (1 + grow / 100):
            words.append("PD")
        else:
            words.append("PR" if sums[n] <= baseline * (1 + shrink / 100) else "SD")
    for visit, value, word in zip(visits, sums, words, strict=True):
        axes.annotate(word, (visit, value), (0, 9), textcoords="offset points", ha="center", weight="bold")
    axes.set(xlabel="visit", ylabel="mm", ylim=(0, 108), xticks=visits)
    axes.legend(fontsize=8, loc="lower left", ncols=3, frameon=False)
    return figure


def survival() -> Figure:
    """A survival curve with its interval, censorings, median and a landmark."""
    draw = np.random.default_rng(3)
    times, limit = draw.exponential(11, 60), draw.uniform(3, 26, 60)
    curve = kaplan_meier(np.minimum(times, limit), times <= limit)
    low, high = curve.interval("log-log")
    median = curve.quantile(0.5)
    figure, axes = plt.subplots(figsize=(6.2, 3.2), layout="constrained")
    ts = np.concatenate([[0], curve.times])
    axes.step(ts, np.concatenate([[1], curve.survival]), where="post", color=BLUE, lw=2)
    axes.fill_between(curve.times, low, high, step="post", color=BLUE, alpha=0.2, label="95 % interval (log-log)")
    gone = limit[times > limit]
    axes.plot(gone, [curve.at(t) for t in gone], ls="", marker="|", color="black", label="censored")
    assert median.value is not None
    axes.plot([0, median.value, median.value], [0.5, 0.5, 0], color=RED, ls="--", lw=1)
    axes.text(median.value, 0.02, f" median {median.value:.1f} months", color=RED, fontsize=8)
    axes.plot([12], [curve.at(12)], "o", color=GREEN)
    axes.annotate(f"at 12 months {100 * curve.at(12):.0f} %", (12, curve.at(12)), (8, 12), textcoords="offset points",
                  color=GREEN, fontsize=8)  # fmt: skip
    axes.set(xlabel="months", ylabel="without event", ylim=(0, 1.03), xlim=(0, None))
    axes.legend(fontsize=8, frameon=False)
    return figure


def waterfall() -> Figure:
    """Best change of each patient's sum."""
    draw = np.random.default_rng(5)
    changes = np.sort(np.clip(draw.normal(-30, 38, 26), -100, 100))[::-1]
    figure, axes = plt.subplots(figsize=(6.2, 2.8), layout="constrained")
    colors = [RED if c >= 20 else GREEN if c <= -30 else GREY for c in changes]
    axes.bar(np.arange(len(changes)), changes, color=colors)
    for level in (-30, 20):
        axes.axhline(level, color="black", ls="--", lw=0.8)
    axes.set(xlabel="patients, ordered", ylabel="best change, %", xticks=[], ylim=(-105, 105))
    return figure


def interval() -> Figure:
    """The interval of a diameter from its causes."""
    causes = {"outline": (3.4, 3.6), "threshold": (1.1, 2.4), "alignment": (0.9, 0.7), "voxel": (0.8, 0.8)}
    figure, axes = plt.subplots(figsize=(6.2, 2.5), layout="constrained")
    together = [1.96 * math.sqrt(sum(v[k] ** 2 for v in causes.values())) for k in (0, 1)]
    rows = [*((name, 1.96 * low, 1.96 * high) for name, (low, high) in causes.items()), ("together", *together)]
    for n, (_name, low, high) in enumerate(rows):
        axes.plot([33 - low, 33 + high], [n, n], lw=5, color=BLUE if n < len(causes) else RED, solid_capstyle="butt")
    axes.axvline(33, color="black", lw=0.8)
    axes.set(yticks=range(len(rows)), yticklabels=[row[0] for row in rows], xlabel="viable_longest_mm of one lesion")
    axes.invert_yaxis()
    return figure


def confidence() -> Figure:
    """The liver's confidence against the true overlap, as recorded with the released model."""
    scores = json.loads((models_folder() / "liver_v3" / "scores.json").read_text(encoding="utf-8"))["scans"]
    figure, axes = plt.subplots(figsize=(4.8, 3.1), layout="constrained")
    for word, color in (("sabs", BLUE), ("lits", ORANGE), ("chaos_mr", GREEN)):
        rows = [row for name, row in scores.items() if name.startswith(word)]
        label = {"sabs": "full-field CT", "lits": "CT with lesions", "chaos_mr": "MR T2"}[word]
        axes.plot([r["confidence"] for r in rows], [r["dice"] for r in rows], "o", ms=4, color=color, label=label)
    axes.set(xlabel="confidence.liver", ylabel="Dice with the drawn liver")
    axes.legend(fontsize=8, frameon=False)
    return figure


def agreement() -> Figure:
    """Two readers' sums: limits of agreement."""
    draw = np.random.default_rng(8)
    true = draw.uniform(20, 110, 40)
    first, second = true + draw.normal(1.5, 3, 40), true + draw.normal(0, 3, 40)
    found = bland_altman(first, second)
    figure, axes = plt.subplots(figsize=(5.6, 3.0), layout="constrained")
    axes.plot((first + second) / 2, first - second, "o", color=BLUE, ms=4)
    for value, words in ((found.bias, "bias"), (found.low, "-1.96 SD"), (found.high, "+1.96 SD")):
        axes.axhline(value, color=RED, ls="-" if words == "bias" else "--", lw=1)
        axes.text(112, value, f" {words} {value:.1f}", fontsize=8, va="bottom", ha="right")
    axes.set(xlabel="mean of the two readers, mm", ylabel="difference, mm", xlim=(15, 113))
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "volumes": volumes, "couinaud": couinaud, "remnant": remnant, "standard_volume": standard_volume,
    "probability": probability, "diameters": diameters, "viable": viable, "phases": phases,
    "enhancement": enhancement, "response": response, "survival": survival, "waterfall": waterfall,
    "interval": interval, "confidence": confidence, "agreement": agreement,
}  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """Draw one figure into the folder."""
    figure = FIGURES[name]()
    path = folder / f"concept_{name}.png"
    drawing = io.BytesIO()
    figure.savefig(drawing, dpi=110, metadata={"Software": None})
    plt.close(figure)
    path.write_bytes(drawing.getvalue())
    return path


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    words.add_argument("--out", type=Path, default=FOLDER)
    words.add_argument("--only", nargs="*", default=list(FIGURES), choices=list(FIGURES))
    asked = words.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for one in asked.only:
        print(write(one, asked.out))
