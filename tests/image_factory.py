"""Small image files for the tests: correct ones in any axis order, and one of every broken kind.

``BROKEN_IMAGES`` and ``BROKEN_MASKS`` are tables of (name, builder(folder) -> path, piece of the refusal as a pattern).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np

from conftest import oblique_grid
from livervol.grid import Grid

SHAPE_ZYX = (5, 6, 7)
SPACING_ZYX_MM = (2.5, 0.8, 0.7)
ORIGIN_LPS_MM = (-31.5, 47.25, -812.0)

#: A voxel that no flip and no permutation maps to itself.
MARK_ZYX = (1, 2, 5)

#: All 48 ways to lay the patient's axes along the stored ones.
AXIS_ORDERS = [(order, flips) for order in permutations(range(3)) for flips in product((1, -1), repeat=3)]


def stored_grid_of(order, flips) -> Grid:
    """An oblique, unequal grid far from zero whose axes run in the given order and senses."""
    columns = oblique_grid().directions[:, order] * flips
    return Grid.from_parts(SHAPE_ZYX, SPACING_ZYX_MM, ORIGIN_LPS_MM, columns)


def mark_lps_mm(grid: Grid) -> np.ndarray:
    """Where the marked voxel is, term by term."""
    point = np.array(ORIGIN_LPS_MM)
    for axis in range(3):
        point = point + MARK_ZYX[axis] * SPACING_ZYX_MM[axis] * grid.directions[:, axis]
    return point


def ras_affine(grid: Grid) -> np.ndarray:
    """NIfTI's affine of a grid, written out column by column: x fastest, first two world axes turned."""
    affine = np.eye(4)
    for column, axis in enumerate((2, 1, 0)):
        step = grid.directions[:, axis] * grid.spacing_mm[axis]
        affine[:3, column] = (-step[0], -step[1], step[2])
    x, y, z = grid.origin_lps_mm
    affine[:3, 3] = (-x, -y, z)
    return affine


def some_voxels(dtype=np.int16) -> np.ndarray:
    """Different values along every axis, the mark the largest, and enough fat to be a CT."""
    voxels = np.random.default_rng(7).integers(-200, 300, SHAPE_ZYX)
    voxels[MARK_ZYX] = 1000
    return voxels.astype(dtype)


def write_nifti(path: Path, voxels_zyx: np.ndarray, affine: np.ndarray | None = None, *, edit=None) -> Path:
    """A NIfTI by nibabel, sform only; ``edit(header)`` may spoil the header."""
    affine = ras_affine(oblique_grid()) if affine is None else affine
    block = bytearray(nib.Nifti1Image(voxels_zyx.T, np.eye(4), dtype=voxels_zyx.dtype).to_bytes())
    header = nib.Nifti1Header(bytes(block[:348]), check=False)
    header["sform_code"], header["qform_code"] = 1, 0
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = affine[row]
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    if edit is not None:
        edit(header)
    block[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(block), 1) if path.name.endswith(".gz") else bytes(block))
    return path


NRRD_HEAD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "7 6 5",
    "space directions": "(0.7,0,0) (0,0.8,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-31.5,47.25,-812)",
}

MHA_HEAD = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-31.5 47.25 -812",
    "ElementSpacing": "0.7 0.8 2.5",
    "DimSize": "7 6 5",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def write_nrrd(path: Path, data: bytes | None = None, **change: str | None) -> Path:
    """An NRRD header line by line; a field changed to None is left out, an underscore stands for a space."""
    fields = NRRD_HEAD | {key.replace("_", " "): value for key, value in change.items()}
    text = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in fields.items() if value is not None) + "\n"
    path.write_bytes(text.encode() + (some_voxels().tobytes() if data is None else data))
    return path


def write_mha(path: Path, data: bytes | None = None, **change: str | None) -> Path:
    """A MetaImage header line by line; a field changed to None is left out."""
    fields = MHA_HEAD | change
    fields["ElementDataFile"] = fields.pop("ElementDataFile")  # voxels begin after this line
    text = "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)
    path.write_bytes(text.encode() + (some_voxels().tobytes() if data is None else data))
    return path


# ------------------------------------------------------------------------------------------------------ broken files


def _nifti(name: str = "scan.nii.gz", voxels: np.ndarray | None = None, affine=None, edit=None):
    def build(folder: Path) -> Path:
        return write_nifti(folder / name, some_voxels() if voxels is None else voxels, affine, edit=edit)

    return build


def _bytes(name: str, content: bytes):
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return build


def _cut(build: Callable[[Path], Path], keep: float):
    def cut(folder: Path) -> Path:
        path = build(folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        return path

    return cut


def _spoil_gzip(folder: Path) -> Path:
    # stored without packing, so that a changed voxel leaves the stream readable and the checksum wrong
    plain = write_nifti(folder / "scan.nii", some_voxels()).read_bytes()
    (folder / "scan.nii").unlink()
    content = bytearray(gzip.compress(plain, 0))
    content[-20] ^= 0xFF
    (folder / "scan.nii.gz").write_bytes(content)
    return folder / "scan.nii.gz"


def _with_voxel(value: float, dtype=np.float32) -> np.ndarray:
    voxels = some_voxels(dtype)
    voxels[MARK_ZYX] = value
    return voxels


def _affine(change: Callable[[np.ndarray], None]) -> np.ndarray:
    affine = ras_affine(oblique_grid())
    change(affine)
    return affine


def _zero_column(affine: np.ndarray) -> None:
    affine[:3, 2] = 0


def _nan_origin(affine: np.ndarray) -> None:
    affine[1, 3] = np.nan


def _shear(affine: np.ndarray) -> None:
    affine[:3, 2] += 0.3 * affine[:3, 1]


def _qform_only(**values: float) -> Callable[[nib.Nifti1Header], None]:
    def edit(header) -> None:
        header["sform_code"], header["qform_code"] = 0, 1
        for key, value in values.items():
            header[key] = value

    return edit


def _set(**values) -> Callable[[nib.Nifti1Header], None]:
    def edit(header) -> None:
        for key, value in values.items():
            header[key] = value

    return edit


def _huge(header) -> None:
    header["dim"] = [3, 32000, 32000, 32000, 1, 1, 1, 1]


def _zero_spacing(header) -> None:
    header["sform_code"] = 0
    header["pixdim"][3] = 0


def _nrrd(name: str = "scan.nrrd", data: bytes | None = None, **change):
    return lambda folder: write_nrrd(folder / name, data, **change)


def _mha(name: str = "scan.mha", data: bytes | None = None, **change):
    return lambda folder: write_mha(folder / name, data, **change)


Broken = tuple[str, Callable[[Path], Path], str]

BROKEN_IMAGES: list[Broken] = [
    ("missing_file", lambda folder: folder / "scan.nii.gz", r"input file not found.*got nothing"),
    ("unknown_ending", _bytes("scan.tiff", b"II*\0"), r"format is not known.*\.nii\.gz, \.nrrd.*got \.tiff"),
    ("empty_nifti", _bytes("scan.nii.gz", b""), r"not NIfTI.*got 0 bytes"),
    ("text_named_nifti", _bytes("scan.nii.gz", b"a letter, not an image\n" * 40), r"not NIfTI.*got magic"),
    ("gzip_of_text", _bytes("scan.nii.gz", gzip.compress(b"patients,visits\n" * 60)), r"not NIfTI.*got magic"),
    ("truncated_gzip", _cut(_nifti(), 0.7), r"damaged: expected a whole gzip stream"),
    ("gzip_cut_in_the_header", _cut(_nifti(), 0.05), r"damaged|truncated|not NIfTI"),
    ("checksum_wrong", _spoil_gzip, r"damaged: expected a whole gzip stream, got .*(CRC|check|INVALID)"),
    ("truncated_plain", _cut(_nifti("scan.nii"), 0.7), r"truncated: expected 420 bytes of voxels, got \d+ bytes"),
    (
        "sizes_beyond_the_file",
        _nifti(edit=_huge),
        r"image is too large: expected at most 2147483648 voxels, got 32000x32000x32000",
    ),
    ("header_of_a_pair", _nifti(edit=_set(magic=b"ni1")), r"not NIfTI.*second file"),
    ("negative_size", _nifti(edit=_set(dim=[3, 7, -6, 5, 1, 1, 1, 1])), r"header is not valid.*at least 1.*-6"),
    ("no_axes", _nifti(edit=_set(dim=[0, 7, 6, 5, 1, 1, 1, 1])), r"header is not valid.*1 to 7 axes"),
    ("unknown_type", _nifti(edit=_set(datatype=999)), r"header is not valid.*999"),
    ("complex_voxels", _nifti(voxels=some_voxels(np.complex64)), r"not plain numbers.*complex64"),
    ("offset_in_the_header", _nifti(edit=_set(vox_offset=100)), r"vox_offset of at least 348, got 100"),
    ("unit_unknown", _nifti(edit=_set(xyzt_units=5)), r"spatial unit 0 to 3, got unit code 5"),
    ("zero_spacing", _nifti(edit=_zero_spacing), r"spacing is zero.*got 0x"),
    ("zero_spacing_in_sform", _nifti(affine=_affine(_zero_column)), r"spacing is zero.*got 0x0\.8x0\.7 mm"),
    ("nan_affine", _nifti(affine=_affine(_nan_origin)), r"geometry is not finite.*got NaN"),
    ("sheared_affine", _nifti(affine=_affine(_shear)), r"sheared: expected axes at right angles, got 5\.\d+ degrees"),
    ("impossible_quaternion", _nifti(edit=_qform_only(quatern_b=0.9, quatern_c=0.9)), r"header is not valid"),
    ("three_volumes", _nifti(voxels=np.zeros((3, 5, 6, 7), np.int16)), r"more than one volume.*3 volumes \(7x6x5x3\)"),
    ("one_slice", _nifti(voxels=np.zeros((6, 7), np.int16)), r"not a volume: expected three axes, got 7x6"),
    ("nan_voxel", _nifti(voxels=_with_voxel(np.nan)), r"not a finite number.*got nan \(.*x=5 y=2 z=1\).*Replace"),
    ("infinite_voxel", _nifti(voxels=_with_voxel(-np.inf)), r"not a finite number.*got -inf"),
    ("overflowing_voxel", _nifti(voxels=_with_voxel(1e300, np.float64)), r"not a finite number.*got 1e\+300"),
    ("text_named_nrrd", _bytes("scan.nrrd", b"not an image"), r"not NRRD.*b'not '"),
    ("empty_nrrd", _bytes("scan.nrrd", b""), r"not NRRD.*an empty file"),
    ("nrrd_without_data_file", _nrrd("scan.nhdr", b"", data_file="gone.raw"), r"data file is missing.*gone\.raw"),
    ("truncated_nrrd", _nrrd(data=bytes(300)), r"damaged or truncated"),
    ("damaged_gzip_nrrd", _nrrd(data=b"\x1f\x8b" + bytes(90), encoding="gzip"), r"damaged or truncated"),
    ("nrrd_without_sizes", _nrrd(sizes=None), r"NRRD header is not valid.*sizes"),
    ("nrrd_scanner_space", _nrrd(space="scanner-xyz"), r"not anatomical.*LPS, RAS or LAS, got scanner-xyz"),
    ("nrrd_without_spacing", _nrrd(space_directions=None), r"spacing is missing.*got neither"),
    ("nrrd_in_metres", _nrrd(space_units='"m" "m" "m"'), r"unit is not mm.*got m m m"),
    ("nrrd_sheared", _nrrd(space_directions="(0.7,0,0) (0.2,0.8,0) (0,0,2.5)"), r"sheared.*right angles"),
    ("flat_nrrd", _nrrd(dimension="2", sizes="7 30", space_directions="(1,0,0) (0,1,0)"), r"not a volume.*7x30"),
    (
        "colour_nrrd",
        _nrrd(
            data=bytes(1260), dimension="4", sizes="3 7 6 5", kinds="vector domain domain domain",
            space_directions="none (0.7,0,0) (0,0.8,0) (0,0,2.5)",
        ),
        r"more than one volume.*got 3 values",
    ),
    ("text_named_mha", _bytes("scan.mha", b"not an image"), r"not MetaImage.*got 0 such lines"),
    ("truncated_mha", _mha(data=bytes(300)), r"truncated: expected 420 bytes of voxels, got 300 bytes"),
    ("damaged_mha", _mha(data=b"\x78\x9cnonsense", CompressedData="True"), r"damaged: expected a whole zlib stream"),
    ("cut_packed_mha", _mha(data=zlib.compress(bytes(400)), CompressedData="True"), r"truncated.*got 400 bytes"),
    ("mhd_without_data_file", _mha("scan.mhd", b"", ElementDataFile="gone.raw"), r"data file is missing.*gone\.raw"),
    ("mha_without_spacing", _mha(ElementSpacing=None), r"spacing is missing.*ElementSpacing"),
    ("mha_zero_spacing", _mha(ElementSpacing="0.7 0.8 0"), r"spacing is zero.*got 0x0\.8x0\.7 mm"),
    ("mha_sheared", _mha(TransformMatrix="1 0 0 0.2 1 0 0 0 1"), r"sheared.*right angles"),
    ("mha_words_for_numbers", _mha(ElementSpacing="0.7 0.8 thick"), r"3 numbers in elementspacing.*thick"),
    ("colour_mha", _mha(ElementNumberOfChannels="3"), r"kind that is not read.*3 channels"),
    ("flat_mha", _mha(DimSize="7 30"), r"not a volume.*got 7x30"),
    ("series_in_one_mha", _mha(DimSize="7 6 5 2"), r"more than one volume.*7x6x5x2"),
]  # fmt: skip


def _mask(values: tuple[float, ...], dtype) -> np.ndarray:
    labels = np.zeros(SHAPE_ZYX, dtype)
    labels.reshape(-1)[60 : 60 + len(values)] = values
    return labels


def _probabilities() -> np.ndarray:
    return np.linspace(0, 1, np.prod(SHAPE_ZYX)).reshape(SHAPE_ZYX).astype(np.float32)


def _overlapping_segments(folder: Path) -> Path:
    labels = np.zeros((*SHAPE_ZYX, 2), np.uint8)
    labels[1:4, 1:4, 1:4, 0] = 1
    labels[2, 2, 2, 1] = 1
    head = NRRD_HEAD | {
        "type": "uchar",
        "dimension": "4",
        "sizes": "2 7 6 5",
        "kinds": "list domain domain domain",
        "space directions": "none (0.7,0,0) (0,0.8,0) (0,0,2.5)",
    }
    lines = [f"{key}: {value}" for key, value in head.items() if key != "endian"]
    for number, name in enumerate(("liver", "tumour")):
        lines += [f"Segment{number}_ID:=s{number}", f"Segment{number}_Name:={name}"]
        lines += [f"Segment{number}_LabelValue:=1", f"Segment{number}_Layer:={number}"]
    path = folder / "mask.seg.nrrd"
    path.write_bytes(("NRRD0004\n" + "\n".join(lines) + "\n\n").encode() + labels.tobytes())
    return path


BROKEN_MASKS: list[Broken] = [
    ("fractional_labels", _nifti("mask.nii.gz", _mask((1, 1.5), np.float32)), r"not a whole number.*got 1\.5"),
    ("probability_map", _nifti("mask.nii.gz", _probabilities()), r"not a whole number.*probability map"),
    (
        "scaled_to_fractions",
        _nifti("mask.nii.gz", _mask((1, 2), np.uint8), edit=_set(scl_slope=0.5)),
        r"whole.*got 0\.5",
    ),
    ("negative_labels", _nifti("mask.nii.gz", _mask((1, -1), np.int16)), r"label is negative.*got -1"),
    ("label_overflow", _nifti("mask.nii.gz", _mask((1, 65536), np.int32)), r"label overflow.*0 to 65535, got 65536"),
    ("nan_label", _nifti("mask.nii.gz", _mask((1, np.nan), np.float64)), r"not a finite number.*got nan"),
    ("truncated_mask", _cut(_nifti("mask.nii.gz", _mask((1,), np.uint8)), 0.6), r"damaged"),
    ("negative_labels_mha", _mha("mask.mha"), r"label is negative"),
    ("negative_labels_nrrd", _nrrd("mask.nrrd"), r"label is negative"),
    ("overlapping_segments", _overlapping_segments, r"segments overlap.*1 voxels.*'liver' and 'tumour'.*one layer"),
    ("missing_mask", lambda folder: folder / "mask.nii.gz", r"input file not found"),
]
