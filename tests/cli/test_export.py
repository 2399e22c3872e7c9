from __future__ import annotations

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from image_factory import MARK_ZYX, SHAPE_ZYX, mark_lps_mm, stored_grid_of
from livervol import cli
from livervol.io.nifti import read_nifti_grid, read_nifti_labels, write_nifti_labels
from livervol.io.seg_nrrd import read_seg_nrrd_layers
from livervol.scan import Segmentation

#: Axes as a file might store them: neither canonical nor plain RAS.
STORED = stored_grid_of((1, 2, 0), (-1, 1, 1))


def write_mask(folder, name, labels, grid=STORED):
    order = grid.canonical_order()
    names = {int(v): str(v) for v in np.unique(labels) if v}
    write_nifti_labels(folder / f"{name}.nii.gz", Segmentation(order.apply(labels), grid.reordered(order), names), grid)


@pytest.fixture
def visit(tmp_path):
    """A visit's folder: liver, two lesions of which the second is viable, segments, vessels, no uncertain part."""
    folder = tmp_path / "visit"
    labels = np.zeros((5, *SHAPE_ZYX), np.uint8)
    labels[0, 1:4, 1:5, 2:6] = 1
    labels[1, 2, 3, 3], labels[1][MARK_ZYX] = 1, 2
    labels[2][MARK_ZYX] = 2
    labels[3, 1:4, 1:3, 2:6], labels[3, 1:4, 3:5, 2:6] = 4, 41
    labels[4, 3, 3, 4], labels[4, 3, 4, 4] = 1, 2
    for name, array in zip(("liver", "lesions", "viable", "segments", "vessels"), labels, strict=True):
        write_mask(folder, name, array)
    (folder / "measurements.json").write_text("{}")
    return folder


@pytest.fixture
def export(monkeypatch, capfd):
    """Run the verb as the command line does: exit code, standard output, standard error."""
    monkeypatch.setitem(cli.VERBS, "export", cli.Verb("export", "interchange"))

    def run(*words):
        code = cli.main(["export", *map(str, words)])
        return code, *capfd.readouterr()

    return run


def test_nifti_keeps_the_input_axes(visit, export, tmp_path):
    code, out, err = export("nifti", visit, "--out", tmp_path / "masks")
    assert (code, err) == (0, "")
    names = sorted(p.name for p in (tmp_path / "masks").iterdir())
    assert names == ["lesions.nii.gz", "liver.nii.gz", "segments.nii.gz", "vessels.nii.gz", "viable.nii.gz"]
    assert sorted(line.split("/")[-1] for line in out.split()) == names
    for name in names:
        given, written = nib.load(visit / name), nib.load(tmp_path / "masks" / name)
        assert np.array_equal(given.affine, written.affine)
        assert np.array_equal(np.asarray(given.dataobj), np.asarray(written.dataobj))


def test_nifti_in_canonical_axes(visit, export, tmp_path):
    code, _, _ = export("nifti", visit, "--out", tmp_path / "masks", "--of", "lesions", "--canonical")
    assert code == 0
    assert [p.name for p in (tmp_path / "masks").iterdir()] == ["lesions.nii.gz"]
    path = tmp_path / "masks/lesions.nii.gz"
    # right to left, front to back, feet to head are falling, falling, rising in RAS
    assert nib.aff2axcodes(nib.load(path).affine) == ("L", "P", "S")
    grid = read_nifti_grid(path)
    zyx = np.argwhere(np.asarray(nib.load(path).dataobj).T == 2)[0]
    assert np.allclose(grid.index_to_lps(zyx), mark_lps_mm(STORED), atol=5e-4)


def test_seg_nrrd_holds_nested_structures_in_layers(visit, export, tmp_path):
    path = tmp_path / "out" / "visit.seg.nrrd"
    code, out, err = export("seg-nrrd", visit, "--out", path)
    assert (code, out.strip(), err) == (0, str(path), "")
    fields = nrrd.read_header(str(path))
    names = [fields[f"Segment{n}_Name"] for n in range(4)]
    assert names == ["liver", "lesion 1", "lesion 2", "viable 2"]
    assert "Segment4_Name" not in fields
    assert [fields[f"Segment{n}_Layer"] for n in range(4)] == ["0", "1", "1", "2"]
    assert sitk.ReadImage(str(path)).GetNumberOfComponentsPerPixel() == 3
    for layer, name in zip(read_seg_nrrd_layers(path), ("liver", "lesions", "viable"), strict=True):
        given = read_nifti_labels(visit / f"{name}.nii.gz")
        assert np.array_equal(layer.labels, given.labels)
        assert layer.grid.matches(given.grid)


def test_seg_nrrd_of_chosen_masks_names_segments_and_vessels(visit, export, tmp_path):
    code, _, _ = export("seg-nrrd", visit, "--out", tmp_path / "a.seg.nrrd", "--of", "segments", "--of", "vessels")
    assert code == 0
    fields = nrrd.read_header(str(tmp_path / "a.seg.nrrd"))
    names = [value for key, value in fields.items() if key.endswith("_Name")]
    assert names == ["segment IV", "segment IVa", "portal vein", "hepatic vein"]


def test_a_mask_without_structures_takes_no_layer(visit, export, tmp_path):
    (visit / "lesions.nii.gz").unlink()
    write_mask(visit, "lesions", np.zeros(SHAPE_ZYX, np.uint8))
    assert export("seg-nrrd", visit, "--out", tmp_path / "a.seg.nrrd", "--of", "liver", "--of", "lesions")[0] == 0
    assert [dict(layer.names) for layer in read_seg_nrrd_layers(tmp_path / "a.seg.nrrd")] == [{1: "liver"}]
    assert export("seg-nrrd", visit, "--out", tmp_path / "b.seg.nrrd", "--of", "lesions")[0] == 0
    assert [dict(layer.names) for layer in read_seg_nrrd_layers(tmp_path / "b.seg.nrrd")] == [{}]


def test_nothing_is_overwritten_unasked(visit, export, tmp_path):
    for words in (("nifti", visit, "--out", tmp_path / "m"), ("seg-nrrd", visit, "--out", tmp_path / "a.seg.nrrd")):
        assert export(*words)[0] == 0
        code, _, err = export(*words)
        assert code == 2
        assert "already exists" in err
        assert export(*words, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--of", "necrosis"], "expected necrosis.nii.gz, got liver, segments, lesions, viable, vessels"),
        (["--of", "spleen", "--of", "liver"], "expected spleen.nii.gz"),
    ],
)
@pytest.mark.parametrize("verb", ["nifti", "seg-nrrd"])
def test_absent_masks_are_refused(visit, export, tmp_path, verb, words, message):
    out = tmp_path / "out.seg.nrrd"
    code, printed, err = export(verb, visit, "--out", out, *words)
    assert (code, printed) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_a_folder_without_masks_is_refused(export, tmp_path):
    code, _, err = export("nifti", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert code == 2
    assert "expected a visit's masks, got no masks" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["nifti", "seg-nrrd"])
def test_a_truncated_mask_leaves_nothing_behind(visit, export, tmp_path, verb):
    path = visit / "viable.nii.gz"
    path.write_bytes(path.read_bytes()[:-30])
    code, printed, err = export(verb, visit, "--out", tmp_path / "out.seg.nrrd")
    assert (code, printed) == (2, "")
    assert err.startswith("image file is damaged")
    assert "viable.nii.gz" in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["visit"]


def test_masks_on_different_grids_are_refused(visit, export, tmp_path):
    (visit / "lesions.nii.gz").unlink()
    write_mask(visit, "lesions", np.zeros(SHAPE_ZYX, np.uint8) + 1, stored_grid_of((2, 1, 0), (-1, 1, 1)))
    code, _, err = export("seg-nrrd", visit, "--out", tmp_path / "out.seg.nrrd")
    assert code == 2
    assert "different grids" in err
    assert [p.name for p in tmp_path.iterdir()] == ["visit"]


def test_help_names_both_verbs(export):
    code, out, _ = export("--help")
    assert code == 0
    assert "nifti" in out
    assert "seg-nrrd" in out


@pytest.mark.parametrize("form", ["stl", "ply", "vtk"])
def test_mesh_writes_a_surface_per_structure(visit, export, tmp_path, form):
    code, out, _ = export("mesh", visit, "--out", tmp_path / "surfaces", "--format", form, "--smooth-mm", 0.2)
    assert code == 0
    names = sorted(p.name for p in (tmp_path / "surfaces").iterdir())
    assert f"liver.{form}" in names
    assert f"segments_4.{form}" in names
    assert f"segments_41.{form}" in names
    assert all(path.stat().st_size > 84 for path in (tmp_path / "surfaces").iterdir())
    assert len(out.splitlines()) == len(names)


def test_mesh_refuses_another_format_and_a_wild_smoothing(visit, export, tmp_path):
    code, _, err = export("mesh", visit, "--out", tmp_path / "surfaces", "--format", "obj")
    assert (code, "surface format" in err, (tmp_path / "surfaces").exists()) == (2, True, False)
    code, _, err = export("mesh", visit, "--out", tmp_path / "surfaces", "--smooth-mm", 50)
    assert (code, "smoothing" in err, (tmp_path / "surfaces").exists()) == (2, True, False)
