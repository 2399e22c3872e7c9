"""MetaImage in: ``.mha`` (header and voxels in one file) and ``.mhd`` (voxels beside it)."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from livervol.errors import GridError, ScanError, refusal
from livervol.files import check_readable
from livervol.grid import Grid
from livervol.io.csv_rows import quoted
from livervol.io.stored import Stored, data_file, refuse_bomb, stored_grid

__all__ = ["read_mha", "read_mha_grid"]

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}

# a header is a few hundred bytes; whatever is longer is another kind of file
_HEADER_LIMIT = 1 << 16

_DAMAGED = "Copy the file again from where it was made, with its data file if it has one."


def read_mha(path: str | Path) -> Stored:
    """The volume of a MetaImage file, plain or zlib-packed. Raises ``ScanError`` or ``GridError``.

    Source: MetaIO documentation (Kitware), tags of MetaImage; positions are LPS mm as ITK writes them.
    """
    path = check_readable(path)
    where = str(path)
    with path.open("rb") as handle:
        fields = _read_fields(handle, where)
        grid, warnings = _place(fields, where)
        dtype = _dtype(fields, where)
        count = int(np.prod(grid.shape_zyx, dtype=object)) * dtype.itemsize
        name = fields["elementdatafile"]
        if name.lower() == "local":
            data = _read_bytes(handle, fields, count, where)
        else:
            beside = data_file(path, name)
            with beside.open("rb") as other:
                _skip_header(other, fields, count, beside)
                data = _read_bytes(other, fields, count, str(beside))
    return Stored(np.frombuffer(data, dtype).reshape(grid.shape_zyx), grid, "mha", where, warnings=warnings)


def read_mha_grid(path: str | Path) -> Grid:
    """The grid in the file's own axis order, from the header alone."""
    path = check_readable(path)
    with path.open("rb") as handle:
        return _place(_read_fields(handle, str(path)), str(path))[0]


def _refuse(rule: str, expected: str, got: str, where: str, do: str = _DAMAGED) -> ScanError:
    return ScanError(refusal(rule, expected=expected, got=quoted(got), where=where, do=do))


def _read_fields(handle: BinaryIO, where: str) -> dict[str, str]:
    """``key = value`` lines, keys in lower case, up to ElementDataFile, after which the voxels begin."""
    fields: dict[str, str] = {}
    while "elementdatafile" not in fields and handle.tell() < _HEADER_LIMIT:
        line = handle.readline(_HEADER_LIMIT).decode("latin-1")
        key, equals, value = line.partition("=")
        if not equals:
            break
        fields[key.strip().lower()] = value.strip()
    if "elementdatafile" not in fields or "dimsize" not in fields:
        raise _refuse(
            "file is not MetaImage", "lines DimSize = ... to ElementDataFile = ...", f"{len(fields)} such lines", where,
            "Check the file name and its ending.",
        )  # fmt: skip
    return fields


def _numbers(fields: dict[str, str], keys: tuple[str, ...], count: int, where: str) -> NDArray[np.float64] | None:
    text = next((fields[key] for key in keys if key in fields), None)
    if text is None:
        return None
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.empty(0)
    if len(values) != count:
        raise _refuse("MetaImage header is not valid", f"{count} numbers in {keys[0]}", repr(text), where)
    return values


def _place(fields: dict[str, str], where: str) -> tuple[Grid, tuple[str, ...]]:
    sizes = fields["dimsize"].split()
    if not all(word.isdigit() for word in sizes):
        raise _refuse("MetaImage header is not valid", "whole numbers in DimSize", fields["dimsize"], where)
    n_axes = len(sizes)
    if n_axes < 3:
        raise _refuse("image is not a volume", "three axes", "x".join(sizes), where, "Give one stack of slices.")
    if n_axes > 3:
        raise _refuse(
            "file holds more than one volume", "three axes", "x".join(sizes), where,
            "Split the file and give one phase at a time.",
        )  # fmt: skip
    if fields.get("distanceunits", "mm").lower() not in ("mm", "?"):
        raise _refuse("space unit is not mm", "mm", fields["distanceunits"], where, "Write the image in millimetres.")
    spacing = _numbers(fields, ("elementspacing", "elementsize"), 3, where)
    if spacing is None:
        raise GridError(
            refusal(
                "voxel spacing is missing",
                expected="ElementSpacing",
                got="none",
                where=where,
                do="Export the image again with its geometry.",
            )
        )
    origin = _numbers(fields, ("offset", "origin", "position"), 3, where)
    rows = _numbers(fields, ("transformmatrix", "rotation", "orientation"), 9, where)
    warnings = () if rows is not None else ("the file states no directions: left-posterior-superior is assumed",)
    # the matrix lists the LPS direction of axis x, then of y, then of z
    directions = np.eye(3) if rows is None else rows.reshape(3, 3).T
    matrix = np.eye(4)
    with np.errstate(invalid="ignore", over="ignore"):  # whatever is not finite is refused below
        matrix[:3, :3] = (directions * spacing)[:, ::-1]
    matrix[:3, 3] = 0.0 if origin is None else origin
    return stored_grid([int(n) for n in sizes[::-1]], matrix, where), warnings


def _is_true(fields: dict[str, str], *keys: str) -> bool:
    return any(fields.get(key, "").lower() in ("true", "1") for key in keys)


def _dtype(fields: dict[str, str], where: str) -> np.dtype[Any]:
    kind = fields.get("elementtype", "none")
    channels = fields.get("elementnumberofchannels", "1")
    plain = kind in _TYPES and channels == "1" and fields.get("binarydata", "true").lower() in ("true", "1")
    data = fields["elementdatafile"]
    if not plain or not data or data.lower().startswith("list") or "%" in data:
        got = f"{kind}, {channels} channels, data in {data or 'no file'}"
        raise _refuse(
            "MetaImage is of a kind that is not read", "one binary number a voxel in one data file", got, where,
            "Convert the image to .nii.gz or to a plain .mha.",
        )  # fmt: skip
    order = ">" if _is_true(fields, "binarydatabyteordermsb", "elementbyteordermsb") else "<"
    return np.dtype(order + _TYPES[kind])


def _skip_header(handle: BinaryIO, fields: dict[str, str], count: int, path: Path) -> None:
    text = fields.get("headersize", "0")
    try:
        skip = int(text)
    except ValueError:
        raise _refuse("MetaImage header is not valid", "a whole HeaderSize", text, str(path)) from None
    # -1 means that the voxels are the last bytes of the file
    handle.seek(max(0, path.stat().st_size - count) if skip < 0 else skip)


def _read_bytes(handle: BinaryIO, fields: dict[str, str], count: int, where: str) -> bytes:
    if _is_true(fields, "compresseddata"):
        unpacker = zlib.decompressobj()
        refuse_bomb(count, os.fstat(handle.fileno()).st_size, where)
        try:
            data = unpacker.decompress(handle.read(), count)
        except zlib.error as error:
            raise _refuse("image file is damaged", "a whole zlib stream", str(error), where) from error
    else:
        data = handle.read(count)
    if len(data) < count:
        raise _refuse("image file is truncated", f"{count} bytes of voxels", f"{len(data)} bytes", where)
    return data
