"""DICOM pixels: native bytes by numpy, encapsulated ones by their decoder, then HU (CT) or rescaled units (MR)."""

from __future__ import annotations

import hashlib
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import config, dcmread
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, RLELossless

from livervol.errors import ScanError, refusal
from livervol.io.dicom_geometry import Stack
from livervol.io.dicom_header import DAMAGE, DicomFile, Slice, series_label

__all__ = ["AIR_HU", "read_voxels"]

#: CT voxels below air are padding outside the circle of reconstruction, or its extrapolation.
AIR_HU = -1024

#: A padding value inside this range of HU could be tissue, so it is left as it is.
TISSUE_HU = (-900.0, 3000.0)

#: Larger volumes (4 GiB of int16) are a damaged header sooner than a scan.
MAX_VOXELS = 1 << 31
MAX_SIDE = 8192

#: Larger slopes and intercepts describe no tissue, and would leave the range of single precision.
_LARGEST_RESCALE = 1e9

#: Up to these, a 16-bit value rescales within 32 bits.
_INT32_SLOPE, _INT32_INTERCEPT = 1 << 14, 1 << 30


def _refuse(piece: Slice, rule: str, expected: str, got: str, do: str = "Export the series again.") -> ScanError:
    place = f"frame {piece.frame + 1} of file" if piece.file.frames > 1 else "file"
    where = f"{series_label(piece.file.series_uid)}, {place} {piece.file.path.name}"
    return ScanError(refusal(rule, expected=expected, got=got, where=where, do=do))


def _check_size(stack: Stack) -> None:
    z, y, x = stack.grid.shape_zyx
    if max(y, x) > MAX_SIDE or z * y * x > MAX_VOXELS:
        raise _refuse(
            stack.slices[0],
            "volume is too large",
            f"at most {MAX_SIDE} rows and columns and {MAX_VOXELS} voxels",
            f"{z}x{y}x{x}",
            "Check that this is a scan and that its header is whole.",
        )


def _check_format(piece: Slice) -> None:
    file = piece.file
    if file.pixel_bytes == 0:
        raise _refuse(piece, "slice has no pixel data", "PixelData in every file", "none")
    fits = 0 < file.bits_stored <= file.bits_allocated and file.bits_stored - 1 <= file.high_bit < file.bits_allocated
    if file.bits_allocated not in (8, 16, 32) or not fits:
        got = f"{file.bits_stored} of {file.bits_allocated} bits, high bit {file.high_bit}"
        raise _refuse(piece, "pixel format is not supported", "8, 16 or 32 bits a pixel", got)
    if file.pixel_at < 0:
        return
    frame_bytes = file.rows * file.columns * file.bits_allocated // 8
    expected = frame_bytes * file.frames
    present = min(file.pixel_bytes, file.file_bytes - file.pixel_at)
    if present < expected or present < file.pixel_bytes:
        raise _refuse(piece, "pixel data is truncated", f"{max(expected, file.pixel_bytes)} bytes", f"{present} bytes")
    if present >= expected + file.columns * file.bits_allocated // 8:
        raise _refuse(piece, "pixel data does not fit the matrix", f"{expected} bytes", f"{present} bytes")


def _check_rescale(piece: Slice) -> tuple[float, float]:
    """Slope and intercept; both must be there on CT, and finite and not degenerate anywhere."""
    slope, intercept = piece.slope, piece.intercept
    if piece.file.modality == "CT" and (slope is None or intercept is None):
        raise _refuse(piece, "rescale is missing", "RescaleSlope and RescaleIntercept on CT", "none")
    slope, intercept = (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)
    if not (math.isfinite(slope) and 0 < slope <= _LARGEST_RESCALE and abs(intercept) <= _LARGEST_RESCALE):
        got = f"slope {slope:g} and intercept {intercept:g}"
        raise _refuse(piece, "rescale is wrong", "a slope above 0 and a finite intercept", got)
    return slope, intercept


class _Pixels:
    """Stored values of one slice after the other; keeps the last decoded multi-frame file."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._decoded: NDArray[Any] = np.empty(0)

    def stored(self, piece: Slice) -> NDArray[Any]:
        """Shape (rows, columns), as stored but for byte order."""
        file = piece.file
        native = file.pixel_at >= 0 and (file.little_endian or file.bits_allocated > 8)
        if native:
            kind = ("<" if file.little_endian else ">") + ("i" if file.signed else "u") + str(file.bits_allocated // 8)
            count = file.rows * file.columns
            at = file.pixel_at + piece.frame * count * file.bits_allocated // 8
            values: NDArray[Any] = np.fromfile(file.path, dtype=kind, count=count, offset=at)
            values = values.reshape(file.rows, file.columns)
            return values.astype(values.dtype.newbyteorder("="), copy=False)
        if self._path != file.path:
            self._decoded = _decoded(piece).reshape(file.frames, file.rows, file.columns)
            self._path = file.path
        frame: NDArray[Any] = self._decoded[piece.frame]
        return frame


def _decoded(piece: Slice) -> NDArray[Any]:
    file = piece.file
    expected = (file.frames, file.rows, file.columns) if file.frames > 1 else (file.rows, file.columns)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # a deflated file has to be inflated as a whole before its pixels can be found
            source: Any = dcmread(file.path) if UID(file.syntax).is_deflated else file.path
            # the other decoder of RLE panics on damaged streams, past every except clause
            plugin = "pydicom" if file.syntax == RLELossless else ""
            values: NDArray[Any] = pixel_array(source, raw=True, decoding_plugin=plugin)
    except (*DAMAGE, OSError) as error:
        name = UID(file.syntax, validation_mode=config.IGNORE).name
        raise _refuse(
            piece,
            "pixel data cannot be decoded",
            "complete pixel data in a supported transfer syntax",
            f"{name} that fails ({type(error).__name__})",
            "Export the series again, uncompressed if possible.",
        ) from None
    if values.shape != expected:
        raise _refuse(piece, "pixel data does not fit the matrix", str(expected), str(values.shape))
    return values


def _padded(values: NDArray[Any], file: DicomFile) -> NDArray[np.bool_] | None:
    if file.padding is None:
        return None
    low, high = file.padding
    mask: NDArray[np.bool_] = values == low if low == high else (values >= low) & (values <= high)
    return mask if mask.any() else None


def _cleaned(values: NDArray[Any], file: DicomFile) -> NDArray[Any]:
    """The stored bits alone: old writers keep overlays above ``HighBit``, and short signed values need their sign."""
    if file.bits_stored == file.bits_allocated:
        return values
    up = file.bits_allocated - 1 - file.high_bit
    down = file.bits_allocated - file.bits_stored
    result: NDArray[Any] = np.right_shift(np.left_shift(values, up), down)
    return result


def _rescaled(values: NDArray[Any], file: DicomFile, slope: float, intercept: float) -> NDArray[Any]:
    """HU or rescaled units: int32 when slope and intercept are whole, else float64; CT no lower than air."""
    padded = _padded(values, file) if file.modality == "CT" else None
    values = _cleaned(values, file)
    whole = slope == int(slope) <= _INT32_SLOPE and abs(intercept) == abs(int(intercept)) <= _INT32_INTERCEPT
    if whole and file.bits_allocated <= 16:
        result: NDArray[Any] = values.astype(np.int32)
        if slope != 1:
            result *= int(slope)
        result += int(intercept)
    else:
        result = values * np.float64(slope) + intercept
    if file.modality != "CT":
        return result
    if padded is not None and file.padding is not None:
        at = file.padding[0] * slope + intercept
        if not TISSUE_HU[0] < at < TISSUE_HU[1]:
            result[padded] = AIR_HU
    np.maximum(result, AIR_HU, out=result)
    return result


def read_voxels(stack: Stack) -> tuple[NDArray[Any], str]:
    """Voxels of a stack in stored order, shape ``stack.grid.shape_zyx``, and the sha256 of the values as stored.

    CT in HU (padding and anything below -1024 HU becomes -1024), MR in the units of its rescale. int16 when every
    rescaled value is whole and fits, else float32. Raises ``ScanError`` for missing, truncated or undecodable pixel
    data, for a missing (CT) or degenerate rescale, and for a volume beyond the size limits.
    """
    _check_size(stack)
    for piece in stack.slices:
        _check_format(piece)
    rescales = [_check_rescale(piece) for piece in stack.slices]
    short = np.iinfo(np.int16)
    voxels: NDArray[Any] = np.empty(stack.grid.shape_zyx, dtype=np.int16)
    digest, pixels = hashlib.sha256(), _Pixels()
    for number, (piece, (slope, intercept)) in enumerate(zip(stack.slices, rescales, strict=True)):
        values = pixels.stored(piece)
        digest.update(np.ascontiguousarray(values).data)
        rescaled = _rescaled(values, piece.file, slope, intercept)
        whole = rescaled.dtype.kind == "i" and short.min <= rescaled.min() and rescaled.max() <= short.max
        if voxels.dtype == np.int16 and not whole:
            voxels = voxels.astype(np.float32)
        voxels[number] = rescaled
    return voxels, digest.hexdigest()
