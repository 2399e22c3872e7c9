"""NIfTI in and out. The only place where RAS and LPS meet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from livervol.errors import GridError, ScanError, refusal
from livervol.files import atomic_file, check_readable
from livervol.grid import Grid
from livervol.io.csv_rows import quoted
from livervol.io.gzipped import STREAM_ERRORS, gzip_chunks, open_stream
from livervol.io.stored import Stored, refuse_bomb, stored_grid, to_scan, to_segmentation
from livervol.scan import Phase, Scan, Segmentation

__all__ = [
    "read_nifti",
    "read_nifti_grid",
    "read_nifti_labels",
    "write_nifti_labels",
    "write_nifti_scan",
]

#: RAS to LPS and back: the first two world axes turn round.
_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])

#: Reverses three index axes: NIfTI affines act on (i, j, k), ours on (k, j, i).
_REVERSE = np.eye(4)[[2, 1, 0, 3]]

#: A file's two affines further apart than this at a corner are two different places: over the rounding of quaternions
#: in single precision (about 1e-2 mm at 500 mm), under any registration.
_FORMS_APART_MM = 0.1

#: deflate cannot pack more than this many bytes into one
_DEFLATE_LIMIT = 1032

#: Writers pad to a few bytes; a stream that goes on and on is no image.
_TRAILING_MB = 64

# the header classes are untyped
_NIFTI1: Any = nib.Nifti1Header
_NIFTI2: Any = nib.Nifti2Header

_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}

_DAMAGED = "Copy the file again from where it was made."


@dataclass(frozen=True)
class _Head:
    shape_zyx: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float | None
    intercept: float
    grid: Grid
    warnings: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape_zyx) * self.dtype.itemsize


def _lps_matrix(ras: NDArray[Any]) -> NDArray[np.float64]:
    """(i, j, k) to RAS becomes (k, j, i) to LPS."""
    matrix: NDArray[np.float64] = _TURN @ np.asarray(ras, dtype=np.float64) @ _REVERSE
    return matrix


def _ras_matrix(grid: Grid) -> NDArray[np.float64]:
    """(k, j, i) to LPS becomes (i, j, k) to RAS."""
    matrix: NDArray[np.float64] = _TURN @ grid.matrix @ _REVERSE
    return matrix


# ---------------------------------------------------------------------------------------------------------- reading


def read_nifti(
    path: str | Path, *, modality: str | None = None, sequence: str | None = None, phase: Phase = Phase.UNKNOWN
) -> Scan:
    """A scan from ``.nii`` or ``.nii.gz`` (NIfTI-1 or -2), HU for CT, in canonical axes.

    The place comes from the sform when it has a code, else from the qform; with neither, from the voxel sizes alone
    and a warning. With ``modality`` None it is guessed from the values, and a warning says so. Values are int16 when
    all are whole, else float32; the header's slope and intercept are applied.
    Raises ``ScanError`` or ``GridError``: not NIfTI, truncated, damaged, not one 3-D volume, not finite, sheared.
    Source: NIfTI-1 data format, nifti1.h (Cox et al. 2004), methods 1 to 3.
    """
    return to_scan(_read(Path(path)), modality, sequence, phase)


def read_nifti_labels(path: str | Path, names: Mapping[int, str] | None = None, made_by: str = "") -> Segmentation:
    """A label map from ``.nii`` or ``.nii.gz`` in canonical axes; ``names`` None calls value n ``label n``.

    Whole values in float files are accepted; fractions, negative values and values above 65535 raise ``ScanError``.
    """
    return to_segmentation(_read(Path(path)), names, made_by)


def read_nifti_grid(path: str | Path) -> Grid:
    """The grid in the file's own axis order, from the header alone."""
    path = check_readable(path)
    with open_stream(path) as stream:
        return _read_head(stream, str(path)).grid


def _read(path: Path) -> Stored:
    check_readable(path)
    with open_stream(path) as stream:
        head = _read_head(stream, str(path))
        voxels = _read_voxels(stream, head, path)
    return Stored(voxels, head.grid, "nifti", str(path), head.slope, head.intercept, head.warnings)


def _refuse(rule: str, expected: str, got: str, where: str, do: str = _DAMAGED) -> ScanError:
    return ScanError(refusal(rule, expected=expected, got=quoted(got), where=where, do=do))


def _read_some(stream: BinaryIO, count: int, where: str) -> bytes:
    try:
        return stream.read(count)
    except STREAM_ERRORS as error:
        raise _refuse("image file is damaged", "a whole gzip stream", str(error) or "a broken one", where) from error


def _read_head(stream: BinaryIO, where: str) -> _Head:
    block = _read_some(stream, 348, where)
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")} if len(block) == 348 else set()
    if 540 in sizes:
        block += _read_some(stream, 540 - 348, where)
        kind, magic = _NIFTI2, b"n+2"
    else:
        kind, magic = _NIFTI1, b"n+1"
    found = block[4:7] if 540 in sizes else block[344:347]
    if not sizes & {348, 540} or len(block) not in (348, 540) or found != magic:
        got = f"{len(block)} bytes" if len(block) < 348 else f"magic {found!r}"
        if found in (b"ni1", b"ni2"):
            got = "a header whose voxels are in a second file"
        raise _refuse(
            "file is not NIfTI", "a NIfTI-1 or NIfTI-2 file with header and voxels in one", got, where,
            "Check the file name and its ending, or convert the file to .nii.gz.",
        )  # fmt: skip
    header = kind(binaryblock=block, check=False)
    try:
        return _parse(header, len(block), where)
    except (HeaderDataError, ValueError) as error:
        if isinstance(error, ScanError | GridError):
            raise
        raise _refuse("NIfTI header is not valid", "fields as the format defines them", str(error), where) from error


def _parse(header: Any, n_header: int, where: str) -> _Head:
    shape = _volume_shape(header, where)
    try:
        dtype = header.get_data_dtype()
    except KeyError as error:
        raise _refuse("NIfTI header is not valid", "a data type of the format", f"code {error}", where) from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise _refuse(
            "voxels are not plain numbers", "integers or floats of up to 8 bytes", str(dtype), where,
            "Export the image with one grey value a voxel.",
        )  # fmt: skip
    offset = float(header["vox_offset"]) or float(n_header + 4)
    if not (offset.is_integer() and n_header <= offset):
        raise _refuse("NIfTI header is not valid", f"vox_offset of at least {n_header}", f"{offset:g}", where)
    slope, intercept = header.get_slope_inter()
    if slope is not None and (slope, intercept) == (1.0, 0.0):
        slope = None
    code = int(header["xyzt_units"]) & 0x07
    if code not in _MM_PER_UNIT:
        raise _refuse("NIfTI header is not valid", "spatial unit 0 to 3", f"unit code {code}", where)
    with np.errstate(invalid="ignore", over="ignore"):  # whatever is not finite is refused below
        matrix, warnings = _place(header, shape, np.diag([_MM_PER_UNIT[code]] * 3 + [1.0]))
        matrix = _lps_matrix(matrix)
    grid = stored_grid(shape, matrix, where)
    return _Head(shape, dtype, int(offset), slope, float(intercept or 0.0), grid, warnings)


def _volume_shape(header: Any, where: str) -> tuple[int, int, int]:
    n_axes = int(header["dim"][0])
    sizes = [int(n) for n in header["dim"][1 : n_axes + 1]] if 1 <= n_axes <= 7 else []
    if any(n < 1 for n in sizes) or not sizes:
        raise _refuse("NIfTI header is not valid", "1 to 7 axes of at least 1", f"dim {header['dim'].tolist()}", where)
    shown = "x".join(str(n) for n in sizes)
    if len(sizes) < 3:
        raise _refuse(
            "image is not a volume", "three axes", shown, where, "Give the whole stack of slices as one file."
        )
    if math.prod(sizes[3:]) != 1:
        raise _refuse(
            "file holds more than one volume", "one 3-D volume", f"{math.prod(sizes[3:])} volumes ({shown})", where,
            "Split the file and give one phase at a time.",
        )  # fmt: skip
    return sizes[2], sizes[1], sizes[0]


def _place(
    header: Any, shape_zyx: tuple[int, int, int], to_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """(i, j, k) to RAS in mm, and what a reader must know about it."""
    qform = _qform(header, to_mm) if header["qform_code"] > 0 else None
    if header["sform_code"] > 0:
        sform = to_mm @ np.asarray(header.get_sform(), dtype=np.float64)
        return sform, _apart(sform, qform, shape_zyx)
    if header["qform_code"] > 0:
        if qform is None:
            raise HeaderDataError("the qform's quaternion or voxel sizes are no rotation")
        return qform, ()
    # method 1 of the format: voxel sizes only, the first axis to the right
    matrix = np.diag([*np.asarray(header["pixdim"][1:4], dtype=np.float64), 1.0])
    return to_mm @ matrix, (
        "the file states no orientation: left and right, front and back, head and feet are assumed (RAS)",
    )


def _qform(header: Any, to_mm: NDArray[np.float64]) -> NDArray[np.float64] | None:
    numbers = [float(header[name]) for name in ("quatern_b", "quatern_c", "quatern_d")]
    if not np.isfinite([*numbers, *header["pixdim"][:4]]).all():
        return None
    if header["pixdim"][0] == 0:  # the format reads this as 1: a right-handed grid
        header["pixdim"][0] = 1
    try:
        matrix: NDArray[np.float64] = to_mm @ np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return None
    return matrix


def _apart(
    sform: NDArray[np.float64], qform: NDArray[np.float64] | None, shape_zyx: tuple[int, int, int]
) -> tuple[str, ...]:
    if qform is None or not np.isfinite(sform).all():
        return ()
    corners = np.array([(i, j, k, 1) for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64)
    corners[:, :3] *= np.array(shape_zyx[::-1]) - 1
    apart = float(np.linalg.norm(corners @ (sform - qform).T, axis=1).max())
    if apart <= _FORMS_APART_MM:
        return ()
    return (f"the file's two positions (sform, qform) differ by {apart:.1f} mm; the sform is used",)


def _read_voxels(stream: BinaryIO, head: _Head, path: Path) -> NDArray[Any]:
    where = str(path)
    available = path.stat().st_size * _DEFLATE_LIMIT
    got = 0
    refuse_bomb(head.offset + head.n_bytes, path.stat().st_size, where)
    if head.offset + head.n_bytes <= available:
        buffer = np.empty(head.n_bytes, np.uint8)
        view = buffer.data
        try:
            stream.seek(head.offset)
            while got < head.n_bytes and (n := stream.readinto(view[got:])):  # type: ignore[attr-defined]
                got += n
            if got == head.n_bytes:
                _read_to_end(stream, where)
                return buffer.view(head.dtype).reshape(head.shape_zyx)
        except STREAM_ERRORS as error:
            got_words = str(error) or "a broken one"
            raise _refuse("image file is damaged", "a whole gzip stream", got_words, where) from error
    shown = f"{got} bytes" if got else "fewer"
    raise _refuse("image file is truncated", f"{head.n_bytes} bytes of voxels", shown, where)


def _read_to_end(stream: BinaryIO, where: str) -> None:
    """Past the voxels to the end of the stream, where the gzip checksum is compared."""
    for _ in range(_TRAILING_MB):
        if not stream.read(1 << 20):
            return
    got = f"more than {_TRAILING_MB} MiB behind them"
    raise _refuse("image file is longer than its voxels", "the file to end after them", got, where)


# ---------------------------------------------------------------------------------------------------------- writing


def write_nifti_scan(path: str | Path, scan: Scan, stored: Grid | None = None, *, overwrite: bool = False) -> Path:
    """Write a scan's voxels as ``.nii`` or ``.nii.gz``; on ``stored``'s axis order when given, else canonical."""
    return _write(Path(path), scan.voxels, scan.grid, stored, overwrite=overwrite)


def write_nifti_labels(
    path: str | Path, segmentation: Segmentation, stored: Grid | None = None, *, overwrite: bool = False
) -> Path:
    """Write labels as ``.nii`` or ``.nii.gz``, atomically.

    ``stored`` is the grid of the input's own file (``scan.source.stored``): the mask gets its axis order, shape and
    affine, so that it lies on the input voxel for voxel in any program. None writes canonical axes.
    Raises ``GridError`` when ``stored`` is another place than the segmentation's grid.
    """
    return _write(Path(path), segmentation.labels, segmentation.grid, stored, overwrite=overwrite, labels=True)


def _write(
    path: Path, voxels: NDArray[Any], grid: Grid, stored: Grid | None, *, overwrite: bool, labels: bool = False
) -> Path:
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        raise ScanError(refusal("output name is not NIfTI", expected="a name ending in .nii.gz or .nii", got=path.name))
    if stored is not None:
        order = stored.canonical_order()
        if not stored.reordered(order).matches(grid):
            raise GridError(
                refusal(
                    "voxels do not lie on the input's grid",
                    expected=stored.reordered(order).describe(),
                    got=grid.describe(),
                    where=str(path),
                    do="Resample to the input's grid first.",
                )
            )
        voxels, grid = order.undo(voxels), stored
    if voxels.dtype == np.float64:
        voxels = voxels.astype(np.float32)
    chunks = _chunks(voxels, grid, labels=labels)
    with atomic_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as handle:
        for chunk in gzip_chunks(chunks) if name.endswith(".gz") else chunks:
            handle.write(chunk)
    return path


def _chunks(voxels: NDArray[Any], grid: Grid, *, labels: bool) -> Iterator[Any]:
    affine = _ras_matrix(grid)
    header = _NIFTI1(endianness="<")
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape[::-1])
    header.set_zooms(grid.spacing_mm[::-1])
    header.set_xyzt_units("mm")
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    header.set_slope_inter(1.0, 0.0)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    if labels:
        header.set_intent("label")
    yield header.binaryblock + bytes(4)  # four zero bytes: no extensions
    little = voxels.dtype.newbyteorder("<")
    for slab in voxels:
        yield np.ascontiguousarray(slab, dtype=little)
