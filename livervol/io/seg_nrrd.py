"""``.seg.nrrd``, the segmentation file of 3D Slicer: named, coloured segments, overlapping ones in layers."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import GridError, ScanError, refusal
from livervol.files import atomic_file
from livervol.io.csv_rows import quoted
from livervol.io.gzipped import gzip_chunks
from livervol.io.nrrd import Nrrd, read_nrrd_fields, read_nrrd_layers
from livervol.io.stored import Stored, to_segmentation
from livervol.scan import Segmentation

__all__ = ["is_seg_nrrd", "read_seg_nrrd", "read_seg_nrrd_layers", "write_seg_nrrd"]

_ANATOMY = "SCT^123037004^Anatomical Structure"
_ALTERED = "SCT^49755003^Morphologically Altered Structure"

#: Words a structure's name begins with, and its category and type in SNOMED CT as 3D Slicer writes them.
_TERMS = {
    "liver": (_ANATOMY, "SCT^10200004^Liver"),
    "portal vein": (_ANATOMY, "SCT^32764006^Portal vein"),
    "hepatic vein": (_ANATOMY, "SCT^8993003^Hepatic vein"),
    "lesion": (_ALTERED, "SCT^52988006^Lesion"),
    "viable": (_ALTERED, "SCT^52988006^Lesion"),
    "necrosis": (_ALTERED, "SCT^6574001^Necrosis"),
}
_OTHER_TERM = ("SCT^85756007^Tissue", "SCT^85756007^Tissue")

#: A liver's brown, so that the first structure looks as it does elsewhere; the rest walk round the colour circle in
#: golden-angle steps, which keeps any number of neighbours apart.
_LIVER_COLOUR = (0.867, 0.51, 0.396)
_GOLDEN_STEP = 0.61803398875


@dataclass(frozen=True)
class _Segment:
    name: str
    value: int
    layer: int


# ---------------------------------------------------------------------------------------------------------- writing


def write_seg_nrrd(
    path: str | Path, segmentation: Segmentation | Sequence[Segmentation], *, overwrite: bool = False
) -> Path:
    """Write one segmentation, or several as layers that may overlap, to ``.seg.nrrd``, gzip, atomically.

    Every name becomes a segment with its label value, layer, extent, colour and, where known, SNOMED CT code.
    Raises ``GridError`` when the segmentations lie on different grids. The same input gives the same bytes.
    Source: 3D Slicer developer guide, segmentation file format.
    """
    path = Path(path)
    layers = [segmentation] if isinstance(segmentation, Segmentation) else list(segmentation)
    if not path.name.lower().endswith(".seg.nrrd"):
        raise ScanError(
            refusal("output name is not a segmentation file", expected="a name ending in .seg.nrrd", got=path.name)
        )
    if not layers:
        raise ScanError(refusal("nothing to write", expected="at least one segmentation", got="none", where=str(path)))
    for other in layers[1:]:
        if not other.grid.matches(layers[0].grid):
            raise GridError(
                refusal(
                    "segmentations lie on different grids",
                    expected=layers[0].grid.describe(),
                    got=other.grid.describe(),
                    where=str(path),
                    do="Resample them to one grid first with Segmentation.resampled(grid).",
                )
            )
    dtype = np.result_type(*(layer.labels.dtype for layer in layers)).newbyteorder("<")
    with atomic_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as handle:
        handle.write(_header(layers, dtype).encode("utf-8"))
        for chunk in gzip_chunks(_slabs(layers, dtype)):
            handle.write(chunk)
    return path


def _slabs(layers: Sequence[Segmentation], dtype: np.dtype[Any]) -> Iterator[Any]:
    for z in range(layers[0].grid.shape_zyx[0]):
        yield np.ascontiguousarray(np.stack([layer.labels[z] for layer in layers], axis=-1), dtype=dtype)


def _header(layers: Sequence[Segmentation], dtype: np.dtype[Any]) -> str:
    grid = layers[0].grid
    several = len(layers) > 1
    sizes = [len(layers)] * several + list(grid.shape_zyx[::-1])
    directions = ["none"] * several + [_vector(grid.matrix[:3, axis]) for axis in (2, 1, 0)]
    lines = [
        "NRRD0004",
        f"type: {'unsigned char' if dtype.itemsize == 1 else 'unsigned short'}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in sizes)}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {'list ' * several}domain domain domain",
        *(["endian: little"] if dtype.itemsize > 1 else []),
        "encoding: gzip",
        f"space origin: {_vector(grid.origin_lps_mm)}",
    ]
    number = 0
    for index, layer in enumerate(layers):
        for value, name in layer.names.items():
            if value == 0:
                continue
            lines += _segment_lines(number, layer, index, value, name)
            number += 1
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return "\n".join(lines) + "\n\n"


def _vector(values: Any) -> str:
    return "(" + ",".join(repr(float(v)) for v in values) + ")"


def _segment_lines(number: int, layer: Segmentation, index: int, value: int, name: str) -> list[str]:
    # the format escapes backslash and line end in values; a bar would end the tag list
    text = name.replace("\\", "\\\\").replace("\n", "\\n")
    category, kind = next(
        (term for start, term in _TERMS.items() if name == start or re.match(rf"{start} \d", name)), _OTHER_TERM
    )
    red, green, blue = _LIVER_COLOUR if name == "liver" else _colour(number)
    fields = {
        "Color": f"{red:.6g} {green:.6g} {blue:.6g}",
        "ColorAutoGenerated": "0",
        "Extent": " ".join(str(n) for n in _extent_xyz(layer.labels, value)),
        "ID": f"Segment_{number + 1}",
        "LabelValue": str(value),
        "Layer": str(index),
        "Name": text,
        "NameAutoGenerated": "0",
        "Tags": "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
        f"~{category}~{kind}~^^~Anatomic codes - DICOM master list~^^~^^|",
    }
    return [f"Segment{number}_{key}:={field}" for key, field in fields.items()]


def _colour(number: int) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb((0.33 + number * _GOLDEN_STEP) % 1.0, 0.75 if number % 2 else 0.95, 0.95)


def _extent_xyz(labels: NDArray[Any], value: int) -> list[int]:
    """First and last index along x, y and z; ``0 -1`` for an absent segment."""
    planes = np.zeros(labels.shape[0], bool)
    face = np.zeros(labels.shape[1:], bool)
    for z, slab in enumerate(labels):
        here = slab == value
        planes[z] = here.any()
        if planes[z]:
            face |= here
    extent: list[int] = []
    for hits in (face.any(axis=0), face.any(axis=1), planes):
        places = np.flatnonzero(hits)
        extent += [int(places[0]), int(places[-1])] if places.size else [0, -1]
    return extent


# ---------------------------------------------------------------------------------------------------------- reading


def is_seg_nrrd(path: str | Path) -> bool:
    """True when an NRRD file's header speaks of segments, whatever the file is called."""
    return _speaks_of_segments(read_nrrd_fields(path))


def read_seg_nrrd(path: str | Path, layer: int | None = None) -> Segmentation:
    """A ``.seg.nrrd`` as one Segmentation in canonical axes: one ``layer``, or all when none overlap.

    Layers that use the same label value are renumbered 1..n in the file's order. Raises ``ScanError`` when segments
    of different layers share a voxel, because one label map cannot hold both.
    """
    layers = read_seg_nrrd_layers(path)
    if layer is not None:
        if not 0 <= layer < len(layers):
            raise ScanError(
                refusal("layer is not in the file", expected=f"0 to {len(layers) - 1}", got=str(layer), where=str(path))
            )
        return layers[layer]
    if len(layers) == 1:
        return layers[0]
    values = [value for found in layers for value in found.names]
    renumber = len(set(values)) < len(values)
    labels = np.zeros(layers[0].labels.shape, np.uint16)
    names: dict[int, str] = {}
    for found in layers:
        table = np.zeros(65536, np.uint16)
        for value, name in found.names.items():
            new = len(names) + 1 if renumber else value
            table[value], names[new] = new, name
        _refuse_overlap(labels, found, names, str(path))
        labels += table[found.labels]
    dtype = np.uint8 if max(names, default=0) <= 255 else np.uint16
    return Segmentation(labels.astype(dtype), layers[0].grid, names, layers[0].made_by)


def _refuse_overlap(labels: NDArray[Any], found: Segmentation, names: Mapping[int, str], where: str) -> None:
    both = (labels != 0) & (found.labels != 0)
    count = int(np.count_nonzero(both))
    if not count:
        return
    z, y, x = (int(axis[0]) for axis in np.nonzero(both))
    one, other = names[int(labels[z, y, x])], found.names[int(found.labels[z, y, x])]
    raise ScanError(
        refusal(
            "segments overlap",
            expected="at most one segment in a voxel",
            got=quoted(f"{count} voxels in two, the first in {one!r} and {other!r}"),
            where=where,
            do="Choose one layer, or save each segment as a file of its own.",
        )
    )


def read_seg_nrrd_layers(path: str | Path) -> list[Segmentation]:
    """Every layer of a ``.seg.nrrd`` as its own Segmentation in canonical axes, with the file's segment names."""
    found = read_nrrd_layers(path)
    segments = _segments(found)
    n_layers = found.layers.shape[3]
    outside = next((s for s in segments if not 0 <= s.layer < n_layers), None)
    if outside is not None:
        raise _invalid(f"a layer of 0 to {n_layers - 1}", f"layer {outside.layer} of {outside.name!r}", found.where)
    result = []
    for layer in range(n_layers):
        names = {s.value: s.name for s in segments if s.layer == layer}
        voxels = np.ascontiguousarray(found.layers[..., layer])
        result.append(to_segmentation(Stored(voxels, found.grid, "nrrd", found.where), names, ""))
    return result


def _speaks_of_segments(fields: Mapping[str, Any]) -> bool:
    return any(key.startswith("Segmentation_") for key in fields) or bool(_segment_numbers(fields))


def _segment_numbers(fields: Mapping[str, Any]) -> list[int]:
    found = (re.fullmatch(r"Segment(\d+)_ID", key) for key in fields)
    return sorted(int(match.group(1)) for match in found if match)


def _segments(found: Nrrd) -> list[_Segment]:
    segments = []
    for number in _segment_numbers(found.fields):
        start = f"Segment{number}_"
        # files of before several segments could share a layer have neither layer nor label value
        value, layer = found.fields.get(f"{start}LabelValue", "1"), found.fields.get(f"{start}Layer", str(number))
        if not (str(value).isdigit() and str(layer).isdigit()):
            raise _invalid("whole LabelValue and Layer", f"{value!r} and {layer!r} in segment {number}", found.where)
        name = str(found.fields.get(f"{start}Name", f"segment {number + 1}"))
        segments.append(
            _Segment(re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], name), int(value), int(layer))
        )
    if not _speaks_of_segments(found.fields):
        raise _invalid("at least one segment (Segment0_ID)", "none", found.where)
    return segments


def _invalid(expected: str, got: str, where: str) -> ScanError:
    return ScanError(
        refusal(
            "segmentation header is not valid",
            expected=expected,
            got=quoted(got),
            where=where,
            do="Save the segmentation again from the program that made it.",
        )
    )
