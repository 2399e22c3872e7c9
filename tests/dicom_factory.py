"""Small DICOM series made for tests, whole and broken; the broken ones in one table for every reader of folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    MPEG2MPML,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from conftest import oblique_grid
from livervol.grid import Grid

#: None of these may ever appear in a message.
HOSTILE = ("HOSTILE", "PATIENT^NAME", "SECRET-4711", "19500102", "1950-01-02")

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "ECT": "1.2.840.10008.5.1.4.1.1.2.1",
    "EMR": "1.2.840.10008.5.1.4.1.1.4.1",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "SM": "1.2.840.10008.5.1.4.1.1.77.1.6",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "SR": "1.2.840.10008.5.1.4.1.1.88.33",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
}

Edit = Callable[[Dataset, int], None]


def damaged_copies(path: Path, into: Path, *, count: int, most_bytes: int) -> Iterator[Path]:
    """``count`` copies of a DICOM file, one after another at one place, some bytes changed and some cut short."""
    whole, place = bytearray(path.read_bytes()), into / "damaged.dcm"
    random = np.random.default_rng(3)
    for _ in range(count):
        damaged = whole.copy()
        for at in random.integers(132, len(whole), random.integers(1, most_bytes + 1)):
            damaged[at] = random.integers(256)
        cut = int(random.integers(132, len(whole))) if random.random() < 0.3 else len(whole)
        place.write_bytes(damaged[:cut])
        yield place


def uid(*words: object) -> str:
    return generate_uid(entropy_srcs=[str(word) for word in words])


def pattern(shape_zyx: tuple[int, int, int] = (7, 8, 9), dtype: str = "<i2") -> np.ndarray:
    """Stored values without symmetry: every voxel its own."""
    size = int(np.prod(shape_zyx))
    return ((np.arange(size) * 7919) % 4001).reshape(shape_zyx).astype(dtype)


def _dataset(kind: str, series: str, number: int, syntax: UID) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CLASSES[kind]
    meta.MediaStorageSOPInstanceUID = uid(series, number)
    meta.TransferSyntaxUID = syntax
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.Modality = {"ECT": "CT", "EMR": "MR", "SC": "OT"}.get(kind, kind)
    ds.PatientName = "HOSTILE^PATIENT^NAME"
    ds.PatientID = "SECRET-4711"
    ds.PatientBirthDate = "19500102"
    ds.StudyInstanceUID = uid("study")
    ds.SeriesInstanceUID = uid(series)
    ds.StudyDate = "20240229"
    ds.SeriesNumber = 3
    ds.InstanceNumber = number + 1
    return ds


def _pixels(ds: Dataset, values: np.ndarray) -> None:
    ds.Rows, ds.Columns = values.shape[-2:]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8 * values.dtype.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    big = ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    ds.PixelData = values.astype(values.dtype.newbyteorder(">" if big else "<")).tobytes()
    ds["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"


def orientation_of(grid: Grid) -> list[float]:
    directions = grid.directions
    return [float(v) for v in (*directions[:, 2], *directions[:, 1])]


def save(ds: Dataset, path: Path) -> Path:
    syntax = ds.file_meta.TransferSyntaxUID
    encoded = syntax if not syntax.is_compressed or syntax.is_deflated else ExplicitVRLittleEndian
    with disable_value_validation():
        ds.save_as(
            path,
            implicit_vr=encoded == ImplicitVRLittleEndian,
            little_endian=encoded != ExplicitVRBigEndian,
            enforce_file_format=True,
        )
    return path


def write_series(
    folder: Path,
    *,
    voxels: np.ndarray | None = None,
    grid: Grid | None = None,
    kind: str = "CT",
    series: str = "a",
    syntax: UID = ExplicitVRLittleEndian,
    edit: Edit | None = None,
    skip: tuple[int, ...] = (),
) -> list[Path]:
    """One file per slice, named without an extension and in no order; ``edit(ds, slice)`` changes each before writing.

    CT gets slope 1 and intercept -1024. Slice ``k`` of ``voxels`` (as stored) lies at index ``(k, 0, 0)`` of ``grid``.
    """
    voxels = pattern() if voxels is None else voxels
    grid = oblique_grid(voxels.shape) if grid is None else grid
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(len(voxels)):
        if number in skip:
            continue
        native = ExplicitVRLittleEndian if syntax.is_compressed and not syntax.is_deflated else syntax
        ds = _dataset(kind, series, number, native)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.FrameOfReferenceUID = uid("frame")
        ds.ImagePositionPatient = [round(float(v), 6) for v in grid.index_to_lps((number, 0, 0))]
        ds.ImageOrientationPatient = [round(v, 7) for v in orientation_of(grid)]
        ds.PixelSpacing = [grid.spacing_mm[1], grid.spacing_mm[2]]
        ds.SliceThickness = 99.0
        if kind == "CT":
            ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        _pixels(ds, voxels[number])
        if edit is not None:
            edit(ds, number)
        if syntax.is_compressed and not syntax.is_deflated:
            ds.compress(syntax, generate_instance_uid=False)
        elif syntax != native:
            ds.file_meta.TransferSyntaxUID = syntax
        # a name whose order has nothing to do with the position
        paths.append(save(ds, folder / f"{series}{(number * 619 + 3) % 1009:03d}"))
    return paths


def write_enhanced(
    path: Path,
    *,
    voxels: np.ndarray | None = None,
    grid: Grid | None = None,
    kind: str = "ECT",
    frames: list[int] | None = None,
    content: Callable[[int], dict[str, object]] | None = None,
    slopes: list[float] | None = None,
    edit: Callable[[Dataset], None] | None = None,
    syntax: UID = ExplicitVRLittleEndian,
) -> Path:
    """One enhanced multi-frame file: frame ``f`` shows slice ``frames[f]`` of ``grid`` and carries ``voxels[f]``."""
    voxels = pattern() if voxels is None else voxels
    frames = list(range(len(voxels))) if frames is None else frames
    grid = oblique_grid((max(frames) + 1, *voxels.shape[1:])) if grid is None else grid
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = _dataset(kind, path.name, 0, ExplicitVRLittleEndian if syntax.is_compressed else syntax)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.FrameOfReferenceUID = uid("frame")
    ds.NumberOfFrames = len(voxels)
    shared = Dataset()
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [round(v, 7) for v in orientation_of(grid)]
    measures.PixelSpacing = [grid.spacing_mm[1], grid.spacing_mm[2]]
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    items = []
    for index, number in enumerate(frames):
        item, position, transformation, described = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [round(float(v), 6) for v in grid.index_to_lps((number, 0, 0))]
        transformation.RescaleSlope = 1 if slopes is None else slopes[index]
        transformation.RescaleIntercept = -1024 if kind == "ECT" else 0
        for name, value in (content(index) if content else {}).items():
            setattr(described, name, value)
        item.PlanePositionSequence = Sequence([position])
        item.PixelValueTransformationSequence = Sequence([transformation])
        item.FrameContentSequence = Sequence([described])
        items.append(item)
    ds.PerFrameFunctionalGroupsSequence = Sequence(items)
    _pixels(ds, voxels)
    if edit is not None:
        edit(ds)
    if syntax.is_compressed:
        ds.compress(syntax, generate_instance_uid=False)
    return save(ds, path)


def write_object(path: Path, kind: str, *, edit: Callable[[Dataset], None] | None = None) -> Path:
    """One small object of any class, with a picture where its class has one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = _dataset(kind, f"object {kind}", 0, ExplicitVRLittleEndian)
    if kind != "SR":
        _pixels(ds, pattern((1, 8, 9))[0])
    if edit is not None:
        edit(ds)
    return save(ds, path)


def set_raw(ds: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """Any bytes as a value, which the writer would otherwise refuse."""
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


# --- the broken ones -------------------------------------------------------------------------------------------------

MIDDLE = 3


def _edited(**values: object) -> Callable[[Path], Path]:
    """A CT series whose middle slice has these header values; None removes one."""

    def build(folder: Path) -> Path:
        def edit(ds: Dataset, number: int) -> None:
            if number == MIDDLE:
                change(ds)

        def change(ds: Dataset) -> None:
            for name, value in values.items():
                if value is None:
                    delattr(ds, name)
                elif isinstance(value, bytes):
                    set_raw(ds, name, "DS", value)
                else:
                    setattr(ds, name, value)

        write_series(folder, edit=edit)
        return folder

    return build


def _skipped(*numbers: int) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        write_series(folder, voxels=pattern((12, 8, 9)), skip=numbers)
        return folder

    return build


def _only(*kinds: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        for kind in kinds:
            write_object(folder / kind, kind)
        return folder

    return build


def _moved(shift_mm: Callable[[int], tuple[float, float, float]]) -> Callable[[Path], Path]:
    """Slices shifted along (normal, column, row) of the oblique grid."""

    def build(folder: Path) -> Path:
        directions = oblique_grid().directions

        def edit(ds: Dataset, number: int) -> None:
            moved = np.asarray(ds.ImagePositionPatient, float) + directions @ np.asarray(shift_mm(number))
            ds.ImagePositionPatient = [round(float(v), 6) for v in moved]

        write_series(folder, edit=edit)
        return folder

    return build


def _turned(folder: Path) -> Path:
    other = orientation_of(oblique_grid(degrees_zyx=(40.0, -11.0, 13.0)))

    def edit(ds: Dataset, number: int) -> None:
        if number >= 4:
            ds.ImageOrientationPatient = [round(v, 7) for v in other]

    write_series(folder, edit=edit)
    return folder


def _small_slice(folder: Path) -> Path:
    def edit(ds: Dataset, number: int) -> None:
        if number == MIDDLE:
            _pixels(ds, pattern((1, 8, 7))[0])

    write_series(folder, edit=edit)
    return folder


def _copied(folder: Path) -> Path:
    paths = write_series(folder)
    shutil.copy(paths[MIDDLE], folder / "copy")
    return folder


def _cut(keep: Callable[[int], int], **options: object) -> Callable[[Path], Path]:
    """A series with one file cut short to ``keep(size)`` bytes."""

    def build(folder: Path) -> Path:
        path = write_series(folder, **options)[MIDDLE]  # type: ignore[arg-type]
        data = path.read_bytes()
        path.write_bytes(data[: keep(len(data))])
        return folder

    return build


def _garbled(folder: Path) -> Path:
    path = write_series(folder)[MIDDLE]
    data = bytearray(path.read_bytes())
    data[132:200] = bytes(range(1, 69))
    path.write_bytes(bytes(data))
    return folder


def _garbled_rle(folder: Path) -> Path:
    path = write_series(folder, syntax=RLELossless)[MIDDLE]
    data = path.read_bytes()
    at = data.index(b"\xfe\xff\x00\xe0", data.index(b"\xe0\x7f\x10\x00") + 20)
    path.write_bytes(data[: at + 8] + b"\xff" * 64 + data[at + 72 :])
    return folder


def _wrong_syntax(folder: Path) -> Path:
    path = write_series(folder, syntax=RLELossless)[MIDDLE]
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = MPEG2MPML
    save(ds, path)
    return folder


def _two(values: Callable[[Dataset], None]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        write_series(folder / "one")
        write_series(folder / "two", series="b", edit=lambda ds, number: values(ds))
        return folder

    return build


def _other_patient(ds: Dataset) -> None:
    ds.PatientID, ds.PatientName = "SECRET-4711-B", "HOSTILE^OTHER"


def _other_date(ds: Dataset) -> None:
    ds.StudyDate = "20240515"


def _all(change: Callable[[Dataset], None]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        write_series(folder, edit=lambda ds, number: change(ds))
        return folder

    return build


def _localizer(ds: Dataset) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _iodine(ds: Dataset) -> None:
    ds.RescaleType = "MGML"


def _huge(ds: Dataset) -> None:
    ds.Rows, ds.Columns = 60000, 60000


def _short(count: int) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        write_series(folder, voxels=pattern((count, 8, 9)))
        return folder

    return build


def _one_place(folder: Path) -> Path:
    def edit(ds: Dataset, number: int) -> None:
        ds.ImagePositionPatient = [0, 0, 0]
        ds.AcquisitionNumber = number + 1

    write_series(folder, edit=edit)
    return folder


def _damaged_beside_good(folder: Path) -> Path:
    write_series(folder / "good")
    write_series(folder / "bad", series="b", voxels=pattern((12, 8, 9)), skip=(6,))
    return folder


def _enhanced(change: Callable[[Dataset], None]) -> Callable[[Path], Path]:
    return lambda folder: write_enhanced(folder / "enhanced.dcm", edit=change)


def _no_frame_position(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[MIDDLE].PlanePositionSequence


def _one_frame_less(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[MIDDLE]


def _cut_enhanced(folder: Path) -> Path:
    path = write_enhanced(folder / "enhanced.dcm")
    path.write_bytes(path.read_bytes()[:-100])
    return path


def _texts(folder: Path) -> Path:
    folder.mkdir()
    (folder / "readme.txt").write_text("no scan here")
    (folder / "empty").touch()
    return folder


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _long_pixels(folder: Path) -> Path:
    def edit(ds: Dataset, number: int) -> None:
        if number == MIDDLE:
            ds.PixelData = ds.PixelData + b"\0" * 40

    write_series(folder, edit=edit)
    return folder


#: (name, builder(folder that does not exist yet) -> path to read, pattern the refusal must match)
BROKEN_DICOM: list[tuple[str, Callable[[Path], Path], str]] = [
    (
        "missing slice",
        _skipped(5),
        r"slice spacing is not uniform: expected 2\.50 mm, got 5\.00 mm between slices 5 and 6 "
        r"\(series ….{4}, instance 5 and instance 7\)\. 1 slice is probably missing",
    ),
    (
        "two missing slices",
        _skipped(3, 8),
        r"got 5\.00 mm between slices 3 and 4, 5\.00 mm between slices 7 and 8 .*2 slices are probably missing",
    ),
    (
        "uneven slice",
        _moved(lambda n: (0.9 * (n == 2), 0, 0)),
        r"slice spacing is not uniform: expected 2\.50 mm, got 3\.40 mm between slices 2 and 3, 1\.60 mm",
    ),
    (
        "copied slice",
        _copied,
        r"slice position is not unique: expected one slice at each position, got 8 slices at 7 positions "
        r"\(series ….{4}, slices 4 and 5: instance 4 and instance 4\)\. Remove",
    ),
    ("all slices in one place", _one_place, r"slice position is not unique: .*got 7 slices at 1 position .series …"),
    ("mixed orientations", _turned, r"slice orientations are mixed: .*got 2 orientations with 4, 3 slices \(series …"),
    (
        "gantry tilt",
        # 2.5 mm between slices, 0.4408 mm sideways: atan(0.4408 / 2.5) = 10.0 degrees
        _moved(lambda n: (0, 0.4408 * n, 0)),
        r"stack is sheared \(gantry tilt\): .*got 10\.0 degrees \(series ….{4}\)\. Correct",
    ),
    (
        "slice shifted sideways",
        _moved(lambda n: (0, 0, 1.5 * (n == MIDDLE))),
        r"slices are shifted in their plane: .*got 1\.50 mm sideways \(series ….{4}, slice 4: instance 4\)",
    ),
    ("mixed pixel spacing", _edited(PixelSpacing=[0.8, 0.75]), r"pixel spacings are mixed: .*0\.8x0\.7 mm.*0\.8x0\.75"),
    ("mixed matrix", _small_slice, r"matrix sizes are mixed: expected 8x9 in every slice, got 8x7 .*instance 4"),
    ("zero pixel spacing", _edited(PixelSpacing=[0.0, 0.7]), r"pixel spacing is missing or zero: .*got 0x0\.7 mm"),
    ("no pixel spacing", _edited(PixelSpacing=None), r"pixel spacing is missing or zero: .*got none .*instance 4"),
    ("pixel spacing not a number", _edited(PixelSpacing=b"abc\\def "), r"DICOM file is damaged: .*cannot be parsed"),
    ("no position", _edited(ImagePositionPatient=None), r"slice has no place in the patient: .*got 1 of 7 without"),
    (
        "position not finite",
        _edited(ImagePositionPatient=b"nan\\0\\0 "),
        r"slice has no place in the patient: .*got 1 of 7 without, or with numbers that are not finite",
    ),
    (
        "axes not of unit length",
        _edited(ImageOrientationPatient=[2, 0, 0, 0, 1, 0]),
        r"slice orientation is not a pair of axes: .*got 2\\0\\0\\0\\1\\0",
    ),
    (
        "mixed frames of reference",
        _edited(FrameOfReferenceUID="1.2.3"),
        r"frames of reference are mixed: .*got UID …\.2\.3",
    ),
    (
        "frame of reference of damaged digits",
        _edited(FrameOfReferenceUID=b"1.2\nU\xb5 "),
        r"frames of reference are mixed: .*got UID of damaged digits \(",
    ),
    ("rescale missing", _edited(RescaleSlope=None), r"rescale is missing: expected RescaleSlope and RescaleIntercept"),
    ("rescale slope zero", _edited(RescaleSlope=0), r"rescale is wrong: .*got slope 0 and intercept -1024"),
    ("rescale not finite", _edited(RescaleIntercept=b"inf "), r"rescale is wrong: .*intercept inf"),
    ("iodine map", _all(_iodine), r"no CT or MR volume found: .*got 7 CT images that are not in HU"),
    ("pixel data missing", _edited(PixelData=None), r"slice has no pixel data: .*\(series ….{4}, file a851\)"),
    ("pixel data cut", _cut(lambda n: n - 50), r"pixel data is truncated: expected 144 bytes, got 94 bytes \(series …"),
    (
        "header cut",
        _cut(lambda n: 620),
        r"DICOM file is damaged: .*got (one that ends inside its header|an image that names no series) \(file a851\)",
    ),
    (
        "file cut in its first lines",
        _cut(lambda n: 150),
        r"DICOM file is damaged: .*got one that ends too early .*file a851",
    ),
    ("header overwritten", _garbled, r"DICOM file is damaged: .*\(file a851\)\. Export or copy it again\."),
    ("pixel data too long", _long_pixels, r"pixel data does not fit the matrix: expected 144 bytes, got 184 bytes"),
    (
        "compressed data cut",
        _cut(lambda n: n - 60, syntax=RLELossless),
        r"DICOM file is damaged: .*got one that ends too early",
    ),
    ("compressed data overwritten", _garbled_rle, r"pixel data cannot be decoded: .*RLE Lossless that fails"),
    ("video transfer syntax", _wrong_syntax, r"pixel data cannot be decoded: .*got MPEG2.*that fails \(.*file a851\)"),
    ("12 bits allocated", _edited(BitsAllocated=12), r"pixel format is not supported: .*got 16 of 12 bits"),
    ("absurd matrix", _all(_huge), r"volume is too large: expected at most 8192 rows .*got 7x60000x60000"),
    (
        "two patients",
        _two(_other_patient),
        r"folder holds more than one patient: .*got 2 patients .*2024-02-29 with 2 ",
    ),
    (
        "two study dates",
        _two(_other_date),
        r"more than one study date: expected one visit, got 2 study dates: "
        r"2024-02-29 with 1 series, 2024-05-15 with 1 series\. Give",
    ),
    ("PET only", _only("PT"), r"no CT or MR volume found: expected a CT or MR series, got 1 PT object\. Give"),
    ("radiograph and microscopy", _only("CR", "SM"), r"no CT or MR volume found: .*got 1 CR object, 1 SM object"),
    ("segmentation and report only", _only("SEG", "SR"), r"no CT or MR volume found: .*got 2 segmentations, reports"),
    ("secondary capture only", _only("SC"), r"no CT or MR volume found: .*got 1 secondary capture"),
    ("localizers only", _all(_localizer), r"no CT or MR volume found: .*got 7 localizer images"),
    ("texts only", _texts, r"no DICOM found: expected DICOM files, got 2 files without a DICOM header"),
    ("empty folder", _empty, r"no DICOM found: expected DICOM files, got no file\."),
    ("no such folder", lambda folder: folder / "absent", r"DICOM input not found: .*got nothing \(.*absent\)"),
    (
        "one slice",
        _short(1),
        r"series is not a volume: expected at least 3 slices at different positions, got 1 \(series",
    ),
    (
        "two slices",
        _short(2),
        r"series is not a volume: expected at least 3 slices at different positions, got 2 \(series",
    ),
    (
        "damaged series beside a good one",
        _damaged_beside_good,
        r"slice spacing is not uniform: .*between slices 6 and 7",
    ),
    ("frame without a position", _enhanced(_no_frame_position), r"slice has no place .*got 1 of 7 .*frame 4"),
    ("frame description missing", _enhanced(_one_frame_less), r"frame count is wrong: expected 7 frames.*got 6 frame"),
    ("multi-frame file cut", _cut_enhanced, r"pixel data is truncated: expected 1008 bytes, got 908 bytes"),
]
