from __future__ import annotations

import shutil
import tomllib

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.assets import models_folder
from livervol.errors import ModelError, ScanError
from livervol.grid import Grid
from livervol.io.images import read_labels
from livervol.scan import Segmentation
from livervol.segment.couinaud import MODEL, SPREAD_BOUNDARIES, boundary_shares, segment_couinaud
from livervol.segment.couinaud_landmarks import Landmarks
from livervol.segment.couinaud_spread import half_widths
from livervol.segment.couinaud_typical import DESCRIPTORS, shape_descriptors, shape_distance
from livervol.segment.model import find_model, read_card, self_test

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def truth(shared):
    """A liver of the test split, every second voxel (3 mm)."""
    whole = read_labels(shared / "labels" / "couinaud" / "lits_075.nii.gz")
    matrix = whole.grid.matrix
    matrix[:3, :3] *= 2
    labels = np.ascontiguousarray(whole.labels[::2, ::2, ::2])
    return Segmentation(labels, Grid.from_matrix(labels.shape, matrix), whole.names)


def liver_of(labels, grid):
    return Segmentation(np.ascontiguousarray(labels != 0).view(np.uint8), grid, {1: "liver"})


def dice(a, b):
    return np.array([2 * np.sum((a == v) & (b == v)) / (np.sum(a == v) + np.sum(b == v)) for v in range(1, 9)])


@pytest.fixture(scope="module")
def plain(truth):
    return segment_couinaud(liver_of(truth.labels, truth.grid))


def test_a_liver_never_fitted_on_gets_its_segments(truth, plain):
    labels = plain.segmentation.labels
    assert np.array_equal(labels > 0, truth.labels > 0)
    # two readers agree at mean Dice 0.825
    assert dice(labels, truth.labels).mean() > 0.78
    assert plain.warnings == ()


def test_volumes_and_half_widths_add_up(truth, plain):
    liver_ml = np.count_nonzero(truth.labels) * truth.grid.voxel_ml
    assert sum(plain.expected_ml) == pytest.approx(liver_ml, rel=1e-4)
    # one cause per boundary and one that moves two together
    assert plain.half_widths_ml.shape == (len(SPREAD_BOUNDARIES) + 1, 8, 8)
    assert np.allclose(plain.half_widths_ml, plain.half_widths_ml.transpose(0, 2, 1))
    assert (plain.half_widths_ml >= 0).all()
    assert 0.5 < plain.confidence < 1.0


def test_the_answer_does_not_depend_on_the_grid(truth, plain):
    # the same liver on an oblique grid of unequal spacing: resampling moves faces by up to half a voxel of 3 mm
    grid = oblique_grid((96, 120, 110), (2.9, 2.1, 2.6), (5.0, -7.0, 9.0))
    middle = truth.grid.index_to_lps((np.array(truth.grid.shape_zyx) - 1) / 2)
    matrix = grid.matrix
    matrix[:3, 3] += middle - grid.index_to_lps((np.array(grid.shape_zyx) - 1) / 2)
    grid = Grid.from_matrix(grid.shape_zyx, matrix)
    moved = truth.resampled(grid)
    found = segment_couinaud(liver_of(moved.labels, grid)).segmentation
    assert dice(found.labels, plain.segmentation.resampled(grid).labels).mean() > 0.93


def test_landmarks_on_the_true_boundary_improve_the_right_side(truth, plain):
    sides = np.isin(truth.labels, (2, 3, 4)), np.isin(truth.labels, (5, 6, 7, 8))
    index = np.argwhere(sides[0][:, :, 1:] & sides[1][:, :, :-1]) + np.array([0.0, 0.0, 0.5])
    points = truth.grid.index_to_lps(index[:: len(index) // 8])
    found = segment_couinaud(liver_of(truth.labels, truth.grid), Landmarks({"mhv": points.tolist()}))

    def wrong(labels):
        return np.count_nonzero(np.isin(labels, (5, 6, 7, 8)) != sides[1])

    assert wrong(found.segmentation.labels) < wrong(plain.segmentation.labels)
    assert np.array_equal(found.segmentation.labels == 1, plain.segmentation.labels == 1)
    assert "landmarks: mhv" in found.segmentation.made_by


def atypical(labels):
    """Inputs whose segments the shape cannot tell, made of real label maps."""
    index = np.indices(labels.shape)
    centre = np.argwhere(labels == 6).mean(axis=0)
    away = (((index.transpose(1, 2, 3, 0) - centre) * 3.0) ** 2).sum(axis=-1)
    return {
        "mirrored or situs inversus": labels[:, :, ::-1],
        "left lateral section absent": np.where(np.isin(labels, (2, 3)), 0, labels),
        "left lobe absent": np.where(np.isin(labels, (2, 3, 4)), 0, labels),
        "right lobe absent": np.where(labels > 4, 0, labels),
        "right posterior section absent": np.where(np.isin(labels, (6, 7)), 0, labels),
        "front and back swapped": labels[:, ::-1],
        "giant exophytic tumour": np.where((away < 80.0**2) & (labels == 0), 6, labels),
    }


@pytest.mark.parametrize("kind", list(atypical(np.eye(3, dtype=np.uint8)[None] * 6)))
def test_an_atypical_liver_is_doubted(truth, kind):
    padded = np.pad(truth.labels, 20)
    grid = truth.grid.pad((20, 20, 20), (20, 20, 20))
    found = segment_couinaud(liver_of(atypical(padded)[kind], grid))
    assert any("unusual" in warning for warning in found.warnings)


def test_an_empty_mask_is_refused():
    grid = oblique_grid()
    with pytest.raises(ScanError, match="empty"):
        segment_couinaud(Segmentation(np.zeros(grid.shape_zyx, np.uint8), grid, {}))


def test_a_mask_of_one_voxel_is_answered_with_doubt():
    grid = oblique_grid()
    labels = np.zeros(grid.shape_zyx, np.uint8)
    labels[3, 4, 5] = 1
    found = segment_couinaud(Segmentation(labels, grid, {1: "liver"}))
    assert np.count_nonzero(found.segmentation.labels) == 1
    assert found.warnings


def test_the_released_model_passes_its_self_test():
    card = find_model(MODEL)
    assert self_test(card) <= card.selftest.tolerance


@pytest.fixture
def broken(tmp_path):
    """A copy of the released model that a test may damage."""
    folder = tmp_path / MODEL
    shutil.copytree(models_folder() / MODEL, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return folder


@pytest.mark.parametrize("section", ["[spread]", "[typical]", "main =", "together =", "least_sure ="])
def test_a_card_without_its_statistics_is_refused(broken, section):
    path = broken / "model.toml"
    text = path.read_text().replace(section, section.replace("[", "[no_") if "[" in section else "other =")
    path.write_text(text)
    assert tomllib.loads(text)
    grid = oblique_grid()
    liver = Segmentation(np.ones(grid.shape_zyx, np.uint8), grid, {1: "liver"})
    with pytest.raises(ModelError, match="incomplete"):
        segment_couinaud(liver, card=read_card(broken))


def test_changed_statistics_are_refused(broken):
    with np.load(broken / "typical.npz") as arrays:
        np.savez(broken / "typical.npz", mean=arrays["mean"] + 1, precision=arrays["precision"])
    grid = oblique_grid()
    with pytest.raises(ModelError, match="typical shapes"):
        segment_couinaud(liver_of(np.ones(grid.shape_zyx), grid), card=read_card(broken))


def test_every_pair_of_segments_lies_on_one_boundary():
    mixing = np.arange(64, dtype=np.float64).reshape(8, 8) + 1
    mixing = mixing + mixing.T
    np.fill_diagonal(mixing, 0.0)
    shares = boundary_shares(mixing)
    assert np.array_equal(shares.sum(axis=0), mixing)
    assert ((shares > 0).sum(axis=0) <= 1).all()


def test_half_widths_are_scaled_mixing_and_a_joint_cause():
    mixing = np.arange(64, dtype=np.float64).reshape(8, 8) + 1
    mixing = mixing + mixing.T
    np.fill_diagonal(mixing, 0.0)
    scales = np.array([2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    found = half_widths(mixing, scales, 0.25)
    names = list(SPREAD_BOUNDARIES)
    for name, pair, expected in (("caudate", (0, 6), 2.0), ("main", (1, 4), 3.0), ("left", (3, 2), 4.0)):
        assert found[names.index(name)][pair] == pytest.approx(expected * mixing[pair])
    together = found[-1]
    assert together[0, 6] == pytest.approx(0.25 * 2.0 * mixing[0, 6])
    assert together[3, 2] == pytest.approx(0.25 * 4.0 * mixing[3, 2])
    assert together[1, 2] == together[4, 7] == 0.0
    assert np.array_equal(found[:-1], boundary_shares(mixing) * scales[:, None, None])


def test_descriptors_of_a_box():
    occupancy = np.zeros((20, 24, 28), np.float32)
    occupancy[4:10, 5:15, 6:20] = 1.0
    shares = np.array([0.04, 0.08, 0.07, 0.16, 0.13, 0.1, 0.17, 0.25])
    found = dict(zip(DESCRIPTORS, shape_descriptors(occupancy, 4.0, shares, 0.8), strict=True))
    voxels = 6 * 10 * 14
    assert found["log_volume"] == pytest.approx(np.log(voxels * 0.064))
    assert found["extent_z"] == pytest.approx(6 / np.cbrt(voxels))
    assert found["extent_x"] == pytest.approx(14 / np.cbrt(voxels))
    for name in ("centroid_z", "centroid_y", "centroid_x", "tilt_zy", "tilt_yx", "skew_x"):
        assert found[name] == pytest.approx(0.0, abs=1e-9)
    assert found["share_2_3"] == pytest.approx(np.log(0.15 / 0.85))
    assert found["confidence"] == 0.8
    occupancy[4:10, 5:15, 20:24] = 0
    occupancy[4:6, 5:15, 20:24] = 1
    leaning = dict(zip(DESCRIPTORS, shape_descriptors(occupancy, 4.0, shares, 0.8), strict=True))
    # more of the mass lies to the right (small x) of the box's middle, and low where it reaches far left
    assert leaning["centroid_x"] < 0
    assert leaning["tilt_zx"] < 0


def test_distance_names_what_deviates_most():
    size = len(DESCRIPTORS)
    off = np.zeros(size)
    off[6], off[2] = 3.0, 1.0
    distance, most = shape_distance(off, np.zeros(size), np.eye(size))
    assert distance == pytest.approx(np.sqrt(10))
    assert most == "centroid_x"
