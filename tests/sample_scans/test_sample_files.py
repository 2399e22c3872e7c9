"""The committed samples: what the generator makes, readable with the right geometry, small, and nobody's."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from livervol.assets import sample_scans_folder
from livervol.errors import ScanError
from livervol.grid import Grid
from livervol.io.dicom import read_dicom

FOLDER = sample_scans_folder()
sys.path.insert(0, str(FOLDER))

import make_samples  # noqa: E402
from phantom.samples import build_truth  # noqa: E402
from phantom.writers import made_uid, voxel_sha256  # noqa: E402

TRUTH = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))
FILES = {entry["path"]: entry for entry in TRUTH["files"]}
SERIES = [path for path, entry in FILES.items() if entry["kind"] == "dicom"]
WHOLE_SERIES = [path for path in SERIES if path.startswith("course")]
NIFTI = [path for path, entry in FILES.items() if entry["kind"] == "nifti"]


def _grid(path: str) -> Grid:
    return Grid.from_matrix(FILES[path]["shape_zyx"], FILES[path]["affine_zyx_to_lps"])


def _read_series(path: str) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(FOLDER / path)))
    return reader.Execute()


def _assert_same_place(image: sitk.Image, grid: Grid) -> None:
    assert image.GetSize()[::-1] == grid.shape_zyx
    nz, ny, nx = grid.shape_zyx
    for index in ((0, 0, 0), (nz - 1, 0, 0), (0, ny - 1, 0), (0, 0, nx - 1), (nz - 1, ny - 1, nx - 1)):
        point = image.TransformIndexToPhysicalPoint(tuple(int(n) for n in index[::-1]))
        # single-precision NIfTI headers carry about 1e-5 of the distance; decimal strings 1e-6 mm
        np.testing.assert_allclose(point, grid.index_to_lps(index), atol=2e-4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    make_samples.make(out, "course/visit_2")
    make_samples.make(out, "uneven")
    return out


@pytest.mark.parametrize("part", ["course/visit_2", "uneven"])
def test_the_generator_makes_the_committed_voxels_and_headers(made: Path, part: str, tmp_path: Path) -> None:
    shutil.copytree(made / part, tmp_path / part)
    assert make_samples.differences(tmp_path, FOLDER, part) == []
    assert len(list((tmp_path / part).rglob("*.dcm"))) > 60


def test_the_committed_truth_is_what_the_shapes_say() -> None:
    assert build_truth(TRUTH["files"]) == TRUTH


def test_a_changed_voxel_header_or_file_is_a_difference(tmp_path: Path) -> None:
    part = "uneven/missing_slice"
    shutil.copytree(FOLDER / part, tmp_path / part)
    assert make_samples.differences(tmp_path, FOLDER, part) == []
    changed = tmp_path / part / "003.dcm"
    ds = pydicom.dcmread(changed)
    pixels = ds.pixel_array.copy()
    pixels[40, 41] += 1
    ds.decompress()
    ds.PixelData = pixels.tobytes()
    ds.save_as(changed)
    ds = pydicom.dcmread(tmp_path / part / "004.dcm")
    ds.SliceThickness = 5
    ds.save_as(tmp_path / part / "004.dcm")
    (tmp_path / part / "005.dcm").unlink()
    found = make_samples.differences(tmp_path, FOLDER, part)
    assert any("003.dcm: voxels differ" in line for line in found)
    assert any("004.dcm: header differs" in line for line in found)
    assert not any("004.dcm: voxels" in line for line in found)
    assert any("005.dcm: only on one side" in line for line in found)


def test_a_changed_number_in_the_truth_is_a_difference(tmp_path: Path) -> None:
    kept, other = tmp_path / "kept", tmp_path / "made"
    for folder in (kept, other):
        folder.mkdir()
        (folder / "truth.json").write_text(json.dumps(TRUTH))
    assert make_samples.differences(other, kept) == []
    changed = json.loads(json.dumps(TRUTH))
    changed["course"]["visits"][0]["lesions"][0]["volume_ml"] += 1.0
    (other / "truth.json").write_text(json.dumps(changed))
    assert make_samples.differences(other, kept) == ["truth.json: differs"]


@pytest.mark.parametrize("path", WHOLE_SERIES)
def test_another_reader_sees_the_series_where_the_truth_says(path: str) -> None:
    image = _read_series(path)
    _assert_same_place(image, _grid(path))
    voxels = sitk.GetArrayFromImage(image)
    assert voxel_sha256(voxels) == FILES[path]["sha256_voxels"]


@pytest.mark.parametrize("path", NIFTI)
def test_two_other_readers_see_the_nifti_where_the_truth_says(path: str) -> None:
    image = sitk.ReadImage(str(FOLDER / path))
    grid = _grid(path)
    _assert_same_place(image, grid)
    assert voxel_sha256(sitk.GetArrayFromImage(image)) == FILES[path]["sha256_voxels"]
    affine = nibabel.load(FOLDER / path).affine
    corner = affine @ [*(n - 1 for n in grid.shape_zyx[::-1]), 1]
    lps = grid.index_to_lps([n - 1 for n in grid.shape_zyx])
    np.testing.assert_allclose(corner[:3] * (-1, -1, 1), lps, atol=2e-4)


def test_the_oblique_grid_is_oblique_and_unequal() -> None:
    grid = _grid("oblique/delayed.nii.gz")
    assert np.abs(grid.directions).max(axis=0).max() < 0.995
    assert len(set(grid.shape_zyx)) == 3
    assert len({round(s, 3) for s in grid.spacing_mm}) == 3
    assert {entry["phase"] for path, entry in FILES.items() if path.startswith("oblique")} == {
        "portal_venous",
        "delayed",
    }


def _positions(path: str) -> dict[int, float]:
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted((FOLDER / path).glob("*.dcm"))]
    return {int(ds.InstanceNumber): float(ds.ImagePositionPatient[2]) for ds in headers}


def test_the_missing_slice_is_missing() -> None:
    positions = _positions("uneven/missing_slice")
    assert set(range(1, 35)) - set(positions) == {18}
    steps = np.diff(sorted(positions.values()))
    assert sorted(np.round(steps, 6).tolist())[-2:] == [6.0, 12.0]
    assert np.flatnonzero(np.round(steps, 6) == 12.0).tolist() == [16]


def test_the_uneven_series_has_one_slice_off_its_place() -> None:
    steps = np.diff([position for _, position in sorted(_positions("uneven/uneven_spacing").items())])
    assert np.round(steps, 6).tolist() == [6.0] * 19 + [8.2, 3.8] + [6.0] * 12


@pytest.mark.parametrize(("name", "says"), [("missing_slice", "12.00 mm"), ("uneven_spacing", "8.20 mm")])
def test_the_uneven_series_are_refused(name: str, says: str) -> None:
    with pytest.raises(ScanError, match="slice spacing is not uniform") as caught:
        read_dicom(FOLDER / "uneven" / name)
    assert says in str(caught.value)


def test_the_uneven_series_hold_the_voxels_of_the_truth() -> None:
    for name in ("missing_slice", "uneven_spacing"):
        entry = FILES[f"uneven/{name}"]
        slices = [pydicom.dcmread(p) for p in sorted((FOLDER / "uneven" / name).glob("*.dcm"))]
        assert len(slices) == entry["shape_zyx"][0] - len(entry["slices_left_out"])
        assert entry["must_be_refused"] is True
    assert voxel_sha256(np.stack([ds.pixel_array.astype(int) - 1024 for ds in slices])) == entry["sha256_voxels"]


def test_every_file_is_accounted_for_and_the_folder_is_small() -> None:
    data = [p for p in FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    for path in data:
        relative = path.relative_to(FOLDER).as_posix()
        if path.suffix in (".dcm", ".gz"):
            assert any(relative == entry or relative.startswith(f"{entry}/") for entry in FILES), relative
        else:
            assert path.suffix in (".py", ".md", ".json"), relative
    assert sum(p.stat().st_size for p in data) <= 20_000_000
    for path, entry in FILES.items():
        expected = entry["shape_zyx"][0] - len(entry.get("slices_left_out", []))
        found = len(list((FOLDER / path).glob("*.dcm"))) if entry["kind"] == "dicom" else int((FOLDER / path).is_file())
        assert found == (expected if entry["kind"] == "dicom" else 1), path


def test_headers_name_nobody_and_every_uid_is_made_here() -> None:
    instances: list[str] = []
    studies: dict[str, set[str]] = {}
    for path in SERIES:
        for file in sorted((FOLDER / path).glob("*.dcm")):
            ds = pydicom.dcmread(file, stop_before_pixels=True)
            assert str(ds.PatientName) == "PHANTOM^ONE"
            assert ds.PatientID == TRUTH["course"]["subject"]
            assert ds.PatientIdentityRemoved == "YES"
            for keyword in ("PatientBirthDate", "InstitutionName", "ReferringPhysicianName", "AccessionNumber"):
                assert str(ds[keyword].value or "") == ""
            uids = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.FrameOfReferenceUID)
            assert all(uid.startswith("2.25.") and len(uid) <= 64 and uid.is_valid for uid in uids)
            instances.append(str(ds.SOPInstanceUID))
            studies.setdefault(str(ds.StudyInstanceUID), set()).add(path.rsplit("/", 1)[0])
            if path.startswith("course"):
                visit = TRUTH["course"]["visits"][FILES[path]["visit"] - 1]
                assert ds.StudyDate == visit["date"].replace("-", "")
    assert len(set(instances)) == len(instances)
    assert sum(len(places) for places in studies.values()) == len(studies) == 5


def test_made_uids_depend_on_every_word() -> None:
    one = made_uid("study", "series", "1")
    assert one == made_uid("study", "series", "1")
    assert len({one, made_uid("study", "series", "2"), made_uid("study", "other", "1"), made_uid("study")}) == 4


def test_the_compressed_nifti_carries_no_time() -> None:
    raw = (FOLDER / NIFTI[0]).read_bytes()
    assert raw[4:8] == b"\0\0\0\0"
    assert len(gzip.decompress(raw)) == 352 + 2 * int(np.prod(FILES[NIFTI[0]]["shape_zyx"]))
