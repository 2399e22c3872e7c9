"""NRRD in: geometry and layers of ``.nrrd`` and ``.nhdr`` files."""

from __future__ import annotations

import bz2
import gzip
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nrrd
import numpy as np
from numpy.typing import NDArray

from livervol.errors import GridError, ScanError, refusal
from livervol.files import check_readable
from livervol.grid import Grid
from livervol.io.csv_rows import quoted
from livervol.io.stored import Stored, data_file, refuse_bomb, stored_grid

__all__ = ["Nrrd", "read_nrrd", "read_nrrd_fields", "read_nrrd_grid", "read_nrrd_layers"]

#: Signs that turn each anatomical space of the format into LPS.
_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}

#: Sample types of the format without the word "signed", as numpy spells them.
_TYPES = {
    name: code
    for code, names in {
        "i1": "char|int8|int8_t",
        "u1": "uchar|unsigned char|uint8|uint8_t",
        "i2": "short|short int|int16|int16_t",
        "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
        "i4": "int|int32|int32_t",
        "u4": "uint|unsigned int|uint32|uint32_t",
        "i8": "longlong|long long|long long int|int64|int64_t",
        "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for name in names.split("|")
}

_MILLIMETRES = ("mm", "millimeter", "millimeters", "millimetre", "millimetres", "")

# what the library raises over a header or data that break the format
_HEADER_ERRORS = (nrrd.NRRDError, ValueError, KeyError, IndexError, TypeError, OverflowError)
_DATA_ERRORS = (*_HEADER_ERRORS, OSError, EOFError, zlib.error, MemoryError)

_DAMAGED = "Copy the file again from where it was made, with its data file if it has one."


@dataclass(frozen=True, eq=False)
class Nrrd:
    """A file's voxels ``layers`` (nz, ny, nx, n_layers) in file order, their grid, and the header's fields."""

    layers: NDArray[Any]
    grid: Grid
    fields: Mapping[str, Any]
    where: str
    warnings: tuple[str, ...]


def read_nrrd(path: str | Path) -> Stored:
    """The one volume of an NRRD file; several values a voxel raise ``ScanError``.

    Source: the NRRD format definition (Kindlmann, teem), sections 5 and 7.
    """
    found = read_nrrd_layers(path)
    if found.layers.shape[3] != 1:
        raise ScanError(
            refusal(
                "file holds more than one volume",
                expected="one value a voxel",
                got=f"{found.layers.shape[3]} values",
                where=found.where,
                do="Split the file and give one phase at a time.",
            )
        )
    return Stored(found.layers[..., 0], found.grid, "nrrd", found.where, warnings=found.warnings)


def read_nrrd_grid(path: str | Path) -> Grid:
    """The grid in the file's own axis order, from the header alone."""
    return _place(read_nrrd_fields(path), str(path))[0]


def read_nrrd_fields(path: str | Path) -> Mapping[str, Any]:
    """The header's fields and key/value pairs, without the voxels."""
    path = check_readable(path)
    with path.open("rb") as handle:
        return _read_fields(handle, str(path))


def read_nrrd_layers(path: str | Path) -> Nrrd:
    """All layers of an NRRD file; a file without a list axis has one. Raises ``ScanError`` or ``GridError``."""
    path = check_readable(path)
    where = str(path)
    with path.open("rb") as handle:
        fields = _read_fields(handle, where)
        grid, list_axis, warnings = _place(fields, where)
        name = fields.get("data file", fields.get("datafile"))
        if name is None:
            data = _read_data(fields, handle, where)
        else:
            beside = data_file(path, str(name))
            with beside.open("rb") as other:
                data = _read_data(fields, other, str(beside))
    # index order C reverses the header's axes
    layers = data[..., np.newaxis] if list_axis is None else np.moveaxis(data, data.ndim - 1 - list_axis, -1)
    return Nrrd(layers, grid, fields, where, warnings)


def _refuse(rule: str, expected: str, got: str, where: str, do: str = _DAMAGED) -> ScanError:
    return ScanError(refusal(rule, expected=expected, got=quoted(got), where=where, do=do))


def _read_data(fields: Mapping[str, Any], handle: BinaryIO, where: str) -> NDArray[Any]:
    """The voxels, axes reversed; no more is read or unpacked than the sizes ask for."""
    here = {key: value for key, value in fields.items() if key not in ("data file", "datafile")}
    try:
        encoding = str(fields["encoding"]).lower()
        if encoding not in ("raw", "gzip", "gz", "bzip2", "bz2"):
            data: NDArray[Any] = nrrd.read_data(here, handle, where, index_order="C")
            return data
        dtype = _dtype(fields)
        shape = [int(n) for n in fields["sizes"]][::-1]
        return np.frombuffer(_read_bytes(fields, handle, math.prod(shape) * dtype.itemsize, where), dtype).reshape(
            shape
        )
    except ScanError:
        raise
    except _DATA_ERRORS as error:
        got = str(error).splitlines()[0] if str(error) else "fewer bytes"
        raise _refuse("image file is damaged or truncated", "every voxel of the header's sizes", got, where) from error


def _dtype(fields: Mapping[str, Any]) -> np.dtype[Any]:
    words = str(fields["type"]).lower().split()
    name = _TYPES[" ".join(word for word in words if word != "signed") or "int"]
    if name[1:] == "1":
        return np.dtype(name)
    return np.dtype({"big": ">", "little": "<"}[str(fields["endian"]).lower()] + name)


def _read_bytes(fields: Mapping[str, Any], handle: BinaryIO, count: int, where: str) -> bytes:
    for _ in range(int(fields.get("line skip", fields.get("lineskip", 0)))):
        if not handle.readline():
            break
    skip = int(fields.get("byte skip", fields.get("byteskip", 0)))
    encoding = str(fields["encoding"]).lower()
    n_file = os.fstat(handle.fileno()).st_size
    if encoding == "raw":
        # -1 means that the voxels are the last bytes of the file
        handle.seek(*((max(0, n_file - count), os.SEEK_SET) if skip == -1 else (skip, os.SEEK_CUR)))
        data = handle.read(count)
    else:
        if skip < 0:
            raise ValueError("a negative byte skip in packed data")
        refuse_bomb(count + skip, n_file, where)
        packed = gzip.GzipFile(fileobj=handle) if encoding.startswith("g") else bz2.BZ2File(handle)
        with packed as stream:
            data = stream.read(count + skip)[skip:]
            if stream.read(1):  # the checksum is compared at the end of the stream
                raise ValueError(f"more than {count} bytes")
    if len(data) < count:
        raise ValueError(f"{len(data)} bytes where {count} are expected")
    return data


def _read_fields(handle: BinaryIO, where: str) -> dict[str, Any]:
    magic = handle.read(4)
    handle.seek(0)
    if magic != b"NRRD":
        got = f"magic {magic!r}" if magic else "an empty file"
        raise _refuse("file is not NRRD", "NRRD at its start", got, where, "Check the file name and its ending.")
    try:
        with np.errstate(all="ignore"):  # whatever is not finite or out of range is refused where it is used
            fields = dict(nrrd.read_header(handle))
    except _HEADER_ERRORS as error:
        got = str(error).splitlines()[0] if str(error) else "something else"
        raise _refuse("NRRD header is not valid", "fields as the format defines them", got, where) from error
    missing = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if missing:
        raise _refuse("NRRD header is not valid", ", ".join(missing), "no such field", where)
    return fields


def _place(fields: Mapping[str, Any], where: str) -> tuple[Grid, int | None, tuple[str, ...]]:
    """The grid, the header axis that counts layers (None without one) and warnings."""
    sizes = [int(n) for n in fields["sizes"]]
    shown = "x".join(str(n) for n in sizes)
    if len(sizes) not in (3, 4):
        rule = "image is not a volume" if len(sizes) < 3 else "file holds more than one volume"
        raise _refuse(rule, "three axes, or four with one for layers", shown, where, "Give one stack of slices.")
    units = [str(u).strip().lower() for u in np.atleast_1d(fields.get("space units", []))]
    if any(unit not in _MILLIMETRES for unit in units):
        raise _refuse("space unit is not mm", "mm", " ".join(units), where, "Write the image in millimetres.")
    directions, warnings = _directions(fields, len(sizes), where)
    spatial = [axis for axis in range(len(sizes)) if not np.isnan(directions[axis]).all()]
    if len(spatial) != 3:
        raise _refuse(
            "image is not a volume", "three axes with a direction", f"{len(spatial)} of {shown}", where,
            "Give one stack of slices.",
        )  # fmt: skip
    matrix = np.eye(4)
    matrix[:3, :3] = directions[spatial[::-1]].T
    origin = np.asarray(fields.get("space origin", np.zeros(3)), dtype=np.float64)
    if origin.shape != (3,):
        raise _refuse("NRRD header is not valid", "a space origin of 3 numbers", str(origin.tolist()), where)
    matrix[:3, 3] = origin
    name = str(fields.get("space", "left-posterior-superior")).lower()
    matrix[:3] *= np.array(_SPACES[name])[:, np.newaxis]
    grid = stored_grid([sizes[axis] for axis in spatial[::-1]], matrix, where)
    list_axis = next((axis for axis in range(len(sizes)) if axis not in spatial), None)
    return grid, list_axis, warnings


def _directions(fields: Mapping[str, Any], n_axes: int, where: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """A direction in mm per header axis, shape (n_axes, 3), NaN for an axis that is no place."""
    space = fields.get("space")
    if space is not None and str(space).lower() not in _SPACES:
        raise _refuse(
            "image space is not anatomical", "space LPS, RAS or LAS", str(space), where,
            "Write the image in one of these spaces.",
        )  # fmt: skip
    warnings: list[str] = []
    if space is None:
        warnings.append("the file states no anatomical space: left-posterior-superior is assumed")
    elif fields.get("space origin") is None:
        warnings.append("the file states no origin: 0, 0, 0 is assumed")
    given = fields.get("space directions")
    if given is not None:
        directions = np.array([np.full(3, np.nan) if row is None else row for row in given], dtype=np.float64)
        if directions.shape != (n_axes, 3):
            raise _refuse(
                "NRRD header is not valid", f"{n_axes} space directions of 3 numbers", str(directions.shape), where
            )
        return directions, tuple(warnings)
    spacings = np.asarray(fields.get("spacings", []), dtype=np.float64)
    if spacings.shape != (n_axes,):
        raise GridError(
            refusal(
                "voxel spacing is missing",
                expected="space directions or spacings",
                got="neither",
                where=where,
                do="Export the image again with its geometry.",
            )
        )
    directions = np.full((n_axes, 3), np.nan)
    spatial = np.flatnonzero(~np.isnan(spacings))
    directions[spatial] = 0.0
    for world, axis in enumerate(spatial[:3]):
        directions[axis, world] = spacings[axis]
    return directions, tuple(warnings)
