"""An image as its file stores it, and the way from there to a Scan or Segmentation in canonical axes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.errors import GridError, LivervolError, ScanError, refusal
from livervol.grid import Grid
from livervol.io.csv_rows import quoted
from livervol.scan import Phase, Scan, Segmentation, Source

__all__ = ["Stored", "data_file", "refuse_bomb", "stored_grid", "to_scan", "to_segmentation"]

#: Larger volumes (4 GiB of int16) are a damaged or hostile header sooner than a scan.
MAX_VOXELS = 1 << 31

#: Spacing and origin beyond a kilometre are damage, and their squares leave the range of numbers.
_FARTHEST_MM = 1e6

#: Scans pack two- to fourfold; label maps up to a thousandfold, but those stay under the size.
_BOMB_BYTES = 1 << 30
_BOMB_RATIO = 100

#: Distance from a whole number under which a value counts as whole: single-precision slopes leave up to
#: 4096 * 6e-8 = 2.5e-4 on values of 12 bits.
WHOLE_TOLERANCE = 1e-3

#: Fat lies near -100 HU and air at -1000 HU, so a CT of the abdomen has far more than this part of its voxels below
#: the limit, also when it was clipped at -100; magnitudes have none (resampling leaves a few shallow negatives).
_CT_BELOW_HU = -40
_CT_PART_BELOW = 0.01

_INT16_LOW, _INT16_HIGH = -32768, 32767
_LABEL_HIGH = 65535


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file holds: ``voxels`` (nz, ny, nx) in file order, x fastest, ``grid`` of that order in LPS.

    ``slope`` and ``intercept`` turn stored numbers into values; None when they are values already. ``kind`` is the
    format, ``where`` the file for messages, ``warnings`` sentences for the reader of the results.
    """

    voxels: NDArray[Any]
    grid: Grid
    kind: str
    where: str
    slope: float | None = None
    intercept: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Range:
    low: float
    high: float
    whole: bool


def stored_grid(shape_zyx: Sequence[int], matrix: ArrayLike, where: str) -> Grid:
    """``Grid.from_matrix`` whose refusals name the file and what to do."""
    values = np.asarray(matrix, dtype=np.float64)
    rule, expected, got = "", "", ""
    far = not (np.abs(values) <= _FARTHEST_MM).all()
    spacing = np.ones(3) if far else np.linalg.norm(values[:3, :3], axis=0)
    if far and np.isfinite(values).all():
        rule, expected = "image geometry is out of range", f"spacing and origin of at most {_FARTHEST_MM:g} mm"
        got = f"{np.abs(values).max():g} mm"
    elif far:
        rule, expected, got = "image geometry is not finite", "finite numbers", "NaN or infinity"
    elif (spacing <= 0).any():
        rule, expected = "voxel spacing is zero", "spacing above 0 mm on every axis"
        got = "x".join(f"{s:g}" for s in spacing) + " mm"
    elif math.prod(int(n) for n in shape_zyx) > MAX_VOXELS:
        rule, expected = "image is too large", f"at most {MAX_VOXELS} voxels"
        got = "x".join(str(int(n)) for n in shape_zyx)
    if rule:
        do = "Export the image again with its geometry."
        raise GridError(refusal(rule, expected=expected, got=got, where=where, do=do))
    try:
        return Grid.from_matrix(shape_zyx, values)
    except GridError as error:
        raise GridError(f"{where}: {error}") from error


def refuse_bomb(n_bytes: int, packed_bytes: int, where: str) -> None:
    """``ScanError`` for a file of which a small packed stream claims to become a volume of gigabytes."""
    if n_bytes > _BOMB_BYTES and n_bytes > _BOMB_RATIO * packed_bytes:
        raise ScanError(
            refusal(
                "image unpacks to far more than it holds",
                expected=f"at most {_BOMB_RATIO} times the packed size above 1 GiB",
                got=f"{n_bytes} bytes of voxels from {packed_bytes} bytes",
                where=where,
                do="If the image is real, store it unpacked.",
            )
        )


def data_file(header: Path, name: str) -> Path:
    """The voxel file that a header names: a plain file in the header's own folder or below, never elsewhere."""
    rule, expected, got = "", f"{quoted(name)} beside the header", "nothing"
    try:
        beside = header.parent / name
        inside = beside.resolve().is_relative_to(header.parent.resolve())
        if not inside or Path(name).is_absolute():
            rule, expected, got = "data file lies elsewhere", "a file in the header's folder", quoted(name)
        elif not beside.is_file():
            rule = "data file is missing"
    except (ValueError, OSError):  # a name that no file can have
        rule, got = "data file is missing", "a name that is none"
    if rule:
        do = "Put header and data file into one folder."
        raise ScanError(refusal(rule, expected=expected, got=got, where=str(header), do=do))
    return beside


def _values(slab: NDArray[Any], stored: Stored) -> NDArray[Any]:
    if stored.slope is None:
        return slab
    with np.errstate(invalid="ignore", over="ignore"):  # the survey refuses what is not finite
        return slab.astype(np.float64) * stored.slope + stored.intercept


def _survey(stored: Stored) -> _Range:
    """Smallest and largest value and whether all are whole; refuses what is not a real, finite number."""
    if stored.voxels.dtype.kind not in "biuf":
        raise ScanError(
            refusal(
                "voxels are not plain numbers",
                expected="one integer or float a voxel",
                got=str(stored.voxels.dtype),
                where=stored.where,
                do="Export the image with one grey value a voxel.",
            )
        )
    if stored.slope is None and stored.voxels.dtype.kind in "biu":
        return _Range(int(stored.voxels.min()), int(stored.voxels.max()), True)
    low, high, whole = np.inf, -np.inf, True
    limit = float(np.finfo(np.float32).max)
    for z, slab in enumerate(stored.voxels):
        values = _values(slab, stored)
        a, b = float(values.min()), float(values.max())  # a NaN comes through min and max
        if not (-limit <= a and b <= limit):
            _refuse_not_finite(values, limit, z, stored.where)
        low, high = min(low, a), max(high, b)
        whole = whole and bool((np.abs(values - np.rint(values)) <= WHOLE_TOLERANCE).all())
    return _Range(low, high, whole)


def _refuse_not_finite(values: NDArray[Any], limit: float, z: int, where: str) -> None:
    y, x = (int(i) for i in np.argwhere(~(np.abs(values) <= limit))[0])
    raise ScanError(
        refusal(
            "voxel is not a finite number",
            expected="finite values in every voxel",
            got=str(values[y, x]),
            where=f"{where}, stored voxel x={x} y={y} z={z}",
            do="Replace such voxels first (outside the field of a CT: -1024 HU).",
        )
    )


def _filled(stored: Stored, dtype: Any, *, rounded: bool) -> NDArray[Any]:
    if stored.slope is None and stored.voxels.dtype == dtype:
        return stored.voxels
    result = np.empty(stored.voxels.shape, dtype)
    for z, slab in enumerate(stored.voxels):
        values = _values(slab, stored)
        result[z] = np.rint(values) if rounded and values.dtype.kind == "f" else values
    return result


def _sha256(voxels: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(voxels).reshape(-1).view(np.uint8).data).hexdigest()


def _guess_modality(values: NDArray[Any], low: float) -> tuple[str, str]:
    if low >= _CT_BELOW_HU:
        return "MR", f"modality assumed MR from the voxel values (smallest {low:g}); state it to be sure"
    part = float(np.count_nonzero(values < _CT_BELOW_HU)) / values.size
    modality = "CT" if part >= _CT_PART_BELOW else "MR"
    return modality, (
        f"modality assumed {modality} from the voxel values ({100 * part:.1f} % below {_CT_BELOW_HU}); "
        "state it to be sure"
    )


def to_scan(stored: Stored, modality: str | None, sequence: str | None, phase: Phase = Phase.UNKNOWN) -> Scan:
    """The image in canonical axes: int16 where every value is whole and fits, else float32.

    With ``modality`` None it is guessed from the values, and the source's warnings say so; ``sequence`` None means
    CT for CT and ``other`` for MR. Raises ``ScanError`` for values that are not finite numbers and for a sequence that
    contradicts the modality.
    """
    found = _survey(stored)
    fits = found.whole and found.low >= _INT16_LOW and found.high <= _INT16_HIGH
    values = _filled(stored, np.int16 if fits else np.float32, rounded=fits)
    warnings = list(stored.warnings)
    if modality is None and sequence not in (None, "CT"):
        modality = "MR"
    if modality is None:
        modality, warning = _guess_modality(values, found.low)
        warnings.append(warning)
    elif modality == "CT" and found.low >= 0:
        warnings.append(f"CT without a negative value (smallest {found.low:g}): the HU offset may be lost")
    if sequence is None:
        sequence = "CT" if modality == "CT" else "other"
    if (sequence == "CT") != (modality == "CT"):
        raise ScanError(
            refusal(
                "sequence contradicts the modality",
                expected="sequence CT for CT; T1, T2, DWI or other for MR",
                got=f"{sequence} for {modality}",
                where=stored.where,
                do="State modality and sequence that fit.",
            )
        )
    order = stored.grid.canonical_order()
    source = Source(kind=stored.kind, stored=stored.grid, sha256=_sha256(stored.voxels), warnings=tuple(warnings))
    return Scan(order.apply(values), stored.grid.reordered(order), modality, sequence, phase, source=source)


def to_segmentation(stored: Stored, names: Mapping[int, str] | None, made_by: str) -> Segmentation:
    """The label map in canonical axes; ``names`` None calls value n ``label n``.

    Floats are accepted when whole. Raises ``ScanError`` for fractions, negative values, values above 65535 and,
    when ``names`` are given, for a value they leave out.
    """
    found = _survey(stored)
    if not found.whole:
        _refuse_labels(stored, "label is not a whole number", "0, 1, 2, ...", _first_fraction(stored))
    if found.low < 0:
        _refuse_labels(stored, "label is negative", "0 for background and 1 or more for structures", f"{found.low:g}")
    if found.high > _LABEL_HIGH:
        _refuse_labels(stored, "label overflow", f"values 0 to {_LABEL_HIGH}", f"{found.high:g}")
    labels = _filled(stored, np.uint8 if found.high <= 255 else np.uint16, rounded=True)
    if names is None:
        names = {value: f"label {value}" for value in _values_present(labels)}
    order = stored.grid.canonical_order()
    try:
        return Segmentation(order.apply(labels), stored.grid.reordered(order), names, made_by)
    except LivervolError as error:
        raise ScanError(f"{stored.where}: {error}") from error


def _values_present(labels: NDArray[Any]) -> list[int]:
    present = np.zeros(_LABEL_HIGH + 1, bool)
    for slab in labels:
        # counting widens to eight bytes a voxel; most voxels are background and are left out first
        counts = np.bincount(slab[slab != 0])
        present[: len(counts)] |= counts > 0
    return [int(value) for value in np.flatnonzero(present)]


def _first_fraction(stored: Stored) -> str:
    for slab in stored.voxels:
        values = _values(slab, stored)
        fractions = values[np.abs(values - np.rint(values)) > WHOLE_TOLERANCE]
        if fractions.size:
            return f"{float(fractions[0]):g}"
    return "a fraction"


def _refuse_labels(stored: Stored, rule: str, expected: str, got: str) -> None:
    raise ScanError(
        refusal(
            rule,
            expected=expected,
            got=got,
            where=stored.where,
            do="Check that this file is a label map and not a scan or a probability map.",
        )
    )
