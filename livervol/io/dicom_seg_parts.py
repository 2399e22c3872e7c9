"""Named parts of a DICOM object (segments, regions of interest) as label maps, whatever holds their voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ScanError, refusal
from livervol.grid import Grid
from livervol.io.dicom_seg_codes import MASK_KINDS, Code
from livervol.io.lattice import placed_on_any
from livervol.scan import Segmentation

__all__ = ["Part", "Parts", "Planes", "layers", "one_mask", "wanted_parts"]


#: Layers of other structures that one file may need; each costs a look at every segment.
_MAX_LAYERS = 32


class Planes(Protocol):
    """Voxels by part number and plane of ``grid``; ``is_labelmap`` when parts cannot overlap."""

    @property
    def grid(self) -> Grid: ...  # noqa: D102

    @property
    def is_labelmap(self) -> bool: ...  # noqa: D102

    def planes_of(self, parts: Sequence[int]) -> list[int]:
        """Planes that hold any of the parts, ascending."""
        ...

    def slab(self, part: int, plane: int) -> NDArray[np.bool_]:
        """One part's mask in one plane, shape (rows, columns)."""
        ...

    def stored(self, plane: int) -> NDArray[Any]:
        """Part numbers in one of a label map's planes."""
        ...


@dataclass(frozen=True)
class Part:
    """One segment or region as its file describes it.

    ``kind`` is the visit mask it belongs to (liver, segments, lesions, ...; empty for any other structure) and
    ``value`` its label there, which is the segment ``number`` where neither code nor label tells.
    """

    number: int
    label: str
    kind: str
    value: int
    category: Code
    type: Code
    tracking_id: str = ""
    tracking_uid: str = ""
    algorithm: str = ""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a file holds: its parts, their voxels, where it is for messages, and who made it."""

    parts: tuple[Part, ...]
    planes: Planes
    where: str
    made_by: str


def wanted_parts(parts: Sequence[Part], structure: str, where: str) -> tuple[Part, ...]:
    """The parts of one structure, all when it is empty; refuses when there are none."""
    found = tuple(part for part in parts if not structure or part.kind == structure)
    if not found:
        raise ScanError(
            refusal(
                "structure is not in the file",
                expected=f"a segment of {structure}" if structure else "at least one segment",
                got=", ".join(sorted({part.label for part in parts})[:8]) or "none",
                where=where,
                do="Check the segments' codes and names, or convert the wanted ones to .nii.gz.",
            )
        )
    return found


def layers(held: Parts, grids: Sequence[Grid]) -> list[Segmentation]:
    """Every part, in few label maps without overlap: a visit's masks first, one each, then everything else."""
    chosen: list[list[Part]] = []
    for kind in MASK_KINDS:
        parts = [part for part in held.parts if part.kind == kind]
        if parts and not _overlap(held, parts) and len({part.value for part in parts}) == len(parts):
            chosen.append(parts)
    done = {part.number for layer in chosen for part in layer}
    others: list[list[Part]] = []
    for part in (p for p in held.parts if p.number not in done):
        home = next((layer for layer in others if not _overlap(held, [*layer, part])), None)
        if home is None and len(others) == _MAX_LAYERS:
            raise ScanError(
                refusal(
                    "segments overlap too often",
                    expected=f"at most {_MAX_LAYERS} segments in a voxel",
                    got="more",
                    where=held.where,
                    do="Read one structure.",
                )
            )
        if home is None:
            others.append([part])
        else:
            home.append(part)
    return [one_mask(held, parts, grids) for parts in (*chosen, *others)]


def _overlap(held: Parts, parts: Sequence[Part]) -> int:
    """Voxels that lie in more than one of the parts."""
    if held.planes.is_labelmap or len(parts) < 2:
        return 0
    shared = 0
    for plane in held.planes.planes_of([part.number for part in parts]):
        count = np.zeros(held.planes.grid.shape_zyx[1:], np.uint16)
        for part in parts:
            count += held.planes.slab(part.number, plane)
        shared += int(np.count_nonzero(count > 1))
    return shared


def one_mask(held: Parts, parts: Sequence[Part], grids: Sequence[Grid]) -> Segmentation:
    """The parts as one label map in canonical axes, on the first of ``grids`` it lies on; refuses overlap.

    Label values are the parts' own where they are unique, else their numbers.
    """
    shared = _overlap(held, parts)
    if shared:
        raise ScanError(
            refusal(
                "segments overlap",
                expected="at most one segment in a voxel",
                got=f"{shared} voxels in two or more of {', '.join(part.label for part in parts[:6])}",
                where=held.where,
                do="Read one structure, or every layer.",
            )
        )
    unique = len({part.value for part in parts}) == len(parts)
    values = {part.number: part.value if unique else part.number for part in parts}
    labels = _filled(held.planes, values)
    names = {values[part.number]: part.label for part in parts}
    grid = held.planes.grid
    order = grid.canonical_order()
    found = Segmentation(order.apply(labels), grid.reordered(order), names, held.made_by)
    return placed_on_any(found, grids)


def _filled(planes: Planes, values: dict[int, int]) -> NDArray[Any]:
    dtype = np.uint8 if max(values.values()) <= 255 else np.uint16
    labels = np.zeros(planes.grid.shape_zyx, dtype)
    if planes.is_labelmap:
        table = np.zeros(65536, dtype)
        table[list(values)] = list(values.values())
        for plane in planes.planes_of(list(values)):
            labels[plane] = table[planes.stored(plane)]
        return labels
    for number, value in values.items():
        for plane in planes.planes_of([number]):
            labels[plane][planes.slab(number, plane)] = value
    return labels
