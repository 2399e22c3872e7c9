"""Lesions measured one by one, nesting, and a whole visit's numbers with their warnings."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import GridError, LivervolError
from livervol.grid import Grid
from livervol.measure.diameter import Convention, Rules
from livervol.measure.lesions import MEASURED, measure_lesions
from livervol.measure.visit import measure_visit
from livervol.measure.volume import label_places, volume_ml
from livervol.scan import Segmentation

GRID = oblique_grid((24, 60, 70), (2.5, 0.8, 0.7))


def distance_mm(centre_zyx: tuple[float, float, float], grid: Grid = GRID) -> np.ndarray:
    steps = np.moveaxis(np.indices(grid.shape_zyx), 0, -1) - np.array(centre_zyx)
    return np.sqrt(((steps * grid.spacing_mm) ** 2).sum(axis=-1))


def labelled(labels: np.ndarray, *values: int, grid: Grid = GRID) -> Segmentation:
    return Segmentation(labels, grid, {v: f"lesion {v}" for v in values})


@pytest.fixture
def masks() -> dict[str, Segmentation]:
    """A liver, lesion 1 of 7 mm radius with a dead core of 4 mm, lesion 4 of 5 mm without, lesion 9 gone."""
    lesions = np.zeros(GRID.shape_zyx, np.uint8)
    first, second = distance_mm((12, 25, 25)), distance_mm((13, 45, 48))
    lesions[first <= 7] = 1
    lesions[second <= 5] = 4
    viable = np.where((lesions > 0) & (first > 4), lesions, 0)
    uncertain = np.where((first <= 4) & (lesions == 1), 1, 0)
    liver = (distance_mm((12, 32, 34)) <= 22).astype(np.uint8)
    segments = np.where(liver > 0, np.where(np.indices(GRID.shape_zyx)[2] < 34, 7, 3), 0)
    return {
        "liver": labelled(liver, 1),
        "lesions": labelled(lesions, 1, 4, 9),
        "viable": labelled(viable, 1, 4, 9),
        "uncertain": labelled(uncertain, 1),
        "segments": labelled(segments, 3, 7, 8),
    }


def test_volume_is_voxels_times_voxel_volume(masks):
    lesions = masks["lesions"]
    for value in (1, 4):
        count = int((lesions.labels == value).sum())
        assert volume_ml(lesions, value) == pytest.approx(count * 2.5 * 0.8 * 0.7 / 1000)
    assert volume_ml(lesions) == pytest.approx(volume_ml(lesions, 1) + volume_ml(lesions, 4))
    assert volume_ml(lesions, 9) == volume_ml(lesions, 0) == volume_ml(lesions, 300) == 0.0
    for value, count, box in label_places(lesions):
        inside = lesions.labels[box] == value
        assert count == inside.sum() == (lesions.labels == value).sum()
        assert all(inside.any(axis=tuple({0, 1, 2} - {axis})).all() for axis in range(3))


def test_every_lesion_carries_every_measurement(masks):
    found = measure_lesions(masks["lesions"], masks["viable"])
    assert [lesion.number for lesion in found] == [1, 4, 9]
    for lesion in found:
        assert tuple(m.name for m in lesion.measurements) == MEASURED
        assert {m.of for m in lesion.measurements} == {f"lesion {lesion.number}"}
        units = {m.name: m.unit for m in lesion.measurements}
        assert all(
            unit == {"ml": "ml", "mm": "mm", "percent": "%"}[name.rsplit("_")[-1]] for name, unit in units.items()
        )


def test_numbers_of_a_lesion_with_a_dead_core(masks):
    first, second, gone = measure_lesions(masks["lesions"], masks["viable"])
    diagonal = math.hypot(0.8, 0.7)
    assert first.state == second.state == "measured"
    assert first.value("longest_mm") == pytest.approx(14, abs=diagonal)
    assert first.value("short_axis_mm") == pytest.approx(14, abs=diagonal)
    # the slice through the middle: a chord that grazes a core of 4 mm radius with a gap of 2 mm
    grazing = 2 * math.sqrt(7**2 - 4**2 + 1)
    assert first.value("viable_longest_mm") == pytest.approx(grazing, abs=diagonal * (1 + 4 / math.sqrt(33)))
    counts = [int((masks[m].labels == 1).sum()) for m in ("lesions", "viable")]
    assert first.value("viable_volume_ml") == pytest.approx(counts[1] * 1.4e-3)
    assert first.value("necrosis_percent") == pytest.approx(100 * (1 - counts[1] / counts[0]))
    assert second.value("viable_longest_mm") == second.value("longest_mm")
    assert second.value("necrosis_percent") == 0.0
    assert second.value("viable_volume_ml") == second.value("volume_ml")
    # planes are numbered on the whole grid
    assert first.get("longest_mm").line.plane_index == 12
    for lesion, middle in ((first, (12, 25, 25)), (second, (13, 45, 48))):
        line = lesion.get("longest_mm").line
        between = (np.array(line.start_lps_mm) + np.array(line.end_lps_mm)) / 2
        assert np.linalg.norm(between - GRID.index_to_lps(middle)) < 2 * diagonal
    assert gone.state == "absent"
    assert gone.value("longest_mm") == gone.value("viable_volume_ml") == 0.0
    assert gone.value("necrosis_percent") is None
    assert gone.get("necrosis_percent").reason == "no voxel of this lesion"


def test_without_a_viable_mask_viability_is_absent_with_a_reason(masks):
    for lesion in measure_lesions(masks["lesions"]):
        for name in MEASURED[:4]:
            assert lesion.value(name) is not None
        for name in MEASURED[4:]:
            assert lesion.value(name) is None
            assert lesion.get(name).reason == "no viable mask: viability was not judged"


def test_a_dead_lesion_measures_zero_viable(masks):
    viable = np.where(masks["lesions"].labels == 1, 0, masks["viable"].labels)
    first = measure_lesions(masks["lesions"], labelled(viable, 4))[0]
    assert first.value("viable_longest_mm") == first.value("viable_perpendicular_mm") == 0.0
    assert first.value("viable_volume_ml") == 0.0
    assert first.value("necrosis_percent") == 100.0
    assert first.state == "measured"


def test_uncertain_tissue_counts_as_not_viable_unless_asked(masks):
    plain = measure_lesions(masks["lesions"], masks["viable"], uncertain=masks["uncertain"])[0]
    kept = Rules(uncertain_is_viable=True)
    conservative = measure_lesions(masks["lesions"], masks["viable"], uncertain=masks["uncertain"], rules=kept)[0]
    total, doubtful = (int((masks[m].labels == 1).sum()) for m in ("lesions", "uncertain"))
    share = 100 * doubtful / total
    assert f"uncertain {share:.1f} % of the lesion counted as not viable" in plain.get("necrosis_percent").method
    assert "counted as viable" in conservative.get("necrosis_percent").method
    drop = plain.value("necrosis_percent") - conservative.value("necrosis_percent")
    assert drop == pytest.approx(share)
    assert conservative.value("viable_longest_mm") > plain.value("viable_longest_mm")


def test_the_segment_of_a_lesion_is_where_most_of_it_lies(masks):
    first, second, gone = measure_lesions(masks["lesions"], segments=masks["segments"])
    assert first.attributes == {"site_segment": "7"}
    assert second.attributes == {"site_segment": "3"}
    assert gone.attributes == {}


def test_rules_reach_the_numbers(masks):
    centre = measure_lesions(masks["lesions"], rules=Rules(convention=Convention.CENTRE))[0]
    corner = measure_lesions(masks["lesions"])[0]
    assert centre.value("longest_mm") < corner.value("longest_mm")
    assert "voxel centres" in centre.get("longest_mm").method
    assert "voxel corners" in corner.get("longest_mm").method


@pytest.mark.parametrize("name", ["viable", "uncertain", "segments"])
def test_masks_on_another_grid_are_refused(masks, name):
    moved = masks[name].grid.crop((0, 0, 0), (23, 60, 70))
    other = replace(masks[name], labels=masks[name].labels[:23], grid=moved)
    parts = {"viable": masks["viable"], name: other}
    with pytest.raises(GridError, match="segmentation is not on the scan's grid"):
        measure_lesions(masks["lesions"], **parts)
    with pytest.raises(GridError, match="segmentation is not on the scan's grid"):
        measure_visit(masks["liver"], masks["lesions"], **parts)


def test_lesions_on_another_grid_than_the_liver_are_refused(masks):
    moved = masks["lesions"].grid.crop((0, 0, 0), (23, 60, 70))
    other = replace(masks["lesions"], labels=masks["lesions"].labels[:23], grid=moved)
    with pytest.raises(GridError, match="segmentation is not on the scan's grid"):
        measure_visit(masks["liver"], other)


@pytest.mark.parametrize("name", ["viable", "uncertain"])
def test_voxels_outside_their_lesion_are_refused_with_counts(masks, name):
    labels = masks[name].labels.copy()
    labels[0, 0, :3] = 1
    broken = labelled(labels, 1, 4, 9)
    total = int((labels == 1).sum())
    with pytest.raises(LivervolError, match=f"{name} voxels lie outside their lesion: .* got 3 of {total} outside"):
        measure_lesions(masks["lesions"], **{"viable": masks["viable"], name: broken})
    # inside a lesion, but with another lesion's number
    swapped = np.where(masks[name].labels == 1, 4, 0)
    with pytest.raises(LivervolError, match=f"{name} voxels lie outside their lesion"):
        measure_lesions(masks["lesions"], **{"viable": masks["viable"], name: labelled(swapped, 4)})


# --- a visit -------------------------------------------------------------------------------------------------------


def test_a_visits_numbers(masks):
    visit = measure_visit(masks["liver"], masks["lesions"], masks["viable"], masks["segments"])
    liver, lesions, viable = (int((masks[m].labels > 0).sum()) * 1.4e-3 for m in ("liver", "lesions", "viable"))
    wanted = {
        "liver.volume_ml": liver,
        "liver.functional_volume_ml": liver - lesions,
        "tumor.volume_ml": lesions,
        "tumor.viable_volume_ml": viable,
        "tumor.necrosis_percent": 100 * (1 - viable / lesions),
        "segments.3.volume_ml": int((masks["segments"].labels == 3).sum()) * 1.4e-3,
        "segments.7.volume_ml": int((masks["segments"].labels == 7).sum()) * 1.4e-3,
        "segments.8.volume_ml": 0.0,
    }
    assert [m.name for m in visit.measurements] == list(wanted)
    for name, value in wanted.items():
        assert visit.value(name) == pytest.approx(value, abs=1e-9), name
    assert visit.value("segments.1.volume_ml") is None
    assert [lesion.number for lesion in visit.lesions] == [1, 4, 9]
    assert visit.lesions[0].attributes == {"site_segment": "7"}


def test_what_was_not_given_is_absent_with_a_reason(masks):
    visit = measure_visit(masks["liver"])
    reasons = {m.name: m.reason for m in visit.measurements if m.value is None}
    names = ("functional_volume_ml", "volume_ml", "viable_volume_ml", "necrosis_percent")
    assert set(reasons) == {"liver.functional_volume_ml", *(f"tumor.{n}" for n in names[1:])}
    assert set(reasons.values()) == {"no lesion mask was given"}
    assert visit.lesions == ()
    unjudged = measure_visit(masks["liver"], masks["lesions"])
    assert unjudged.value("tumor.volume_ml") > 0
    assert unjudged.value("tumor.necrosis_percent") is None


def test_no_tumour_is_zero_and_has_no_necrosis(masks):
    nothing = labelled(np.zeros(GRID.shape_zyx, np.uint8))
    visit = measure_visit(masks["liver"], nothing, nothing)
    assert visit.value("tumor.volume_ml") == visit.value("tumor.viable_volume_ml") == 0.0
    assert visit.value("tumor.necrosis_percent") is None
    assert visit.value("liver.functional_volume_ml") == visit.value("liver.volume_ml")


LARGE = Grid.from_parts((40, 44, 50), (4.0, 3.5, 3.0))


def large_liver(radius: float = 60.0) -> np.ndarray:
    return (distance_mm((20, 22, 25), LARGE) <= radius).astype(np.uint8)


def warnings_of(liver: np.ndarray, **parts: Segmentation) -> tuple[str, ...]:
    return measure_visit(labelled(liver, 1, grid=LARGE), **parts).warnings


def test_a_plausible_liver_gives_no_warning():
    assert warnings_of(large_liver()) == ()


@pytest.mark.parametrize("radius", [30.0, 10.0])
def test_an_implausible_volume_is_named_with_its_number(radius):
    liver = large_liver(radius)
    volume = liver.sum() * LARGE.voxel_ml
    assert warnings_of(liver) == (f"liver volume is implausible: {volume:.0f} ml, usually 500 to 4000 ml",)


def test_an_empty_liver_is_implausible():
    assert warnings_of(large_liver() * 0) == ("liver volume is implausible: 0 ml, usually 500 to 4000 ml",)


@pytest.mark.parametrize(("side", "words"), [(0, "first"), (-1, "last")])
def test_a_cut_off_liver_is_warned_about(side, words):
    liver = large_liver()
    liver[side, 20:24, 20:24] = 1
    assert any(f"liver touches the {words} slice" in w for w in warnings_of(liver))
    liver = large_liver()
    liver[18:22, 20:24, side] = 1
    assert any("liver touches the side of the image" in w for w in warnings_of(liver))


def test_a_second_large_piece_is_warned_about_and_a_small_one_is_not():
    liver = large_liver()
    liver[20:22, 1:3, 1:3] = 1
    assert warnings_of(liver) == ()
    liver[16:26, 1:8, 1:8] = 1
    pieces = [f"{large_liver().sum() * LARGE.voxel_ml:.0f}", f"{490 * LARGE.voxel_ml:.0f}"]
    assert warnings_of(liver) == (f"liver is in 2 separate pieces: {', '.join(pieces)} ml",)


def test_a_lesion_partly_outside_the_liver_is_warned_about_and_not_subtracted():
    liver = large_liver()
    lesions = np.zeros(LARGE.shape_zyx, np.uint8)
    lesions[18:22, 20:24, 2:8] = 2
    outside = int(((lesions > 0) & (liver == 0)).sum())
    assert outside > 0
    visit = measure_visit(labelled(liver, 1, grid=LARGE), labelled(lesions, 2, grid=LARGE))
    volume, share = outside * LARGE.voxel_ml, 100 * outside / 96
    assert visit.warnings == (f"lesion 2 lies partly outside the liver: {volume:.2f} ml, {share:.1f} %",)
    functional = int(((lesions == 0) & (liver > 0)).sum()) * LARGE.voxel_ml
    assert visit.value("liver.functional_volume_ml") == pytest.approx(functional)


def test_segments_that_do_not_fill_the_liver_are_warned_about():
    liver = large_liver()
    half = labelled(np.where(np.indices(liver.shape)[2] < 20, liver * 5, 0), 5, grid=LARGE)
    (warning,) = warnings_of(liver, segments=half)
    assert warning.startswith("segments add up to ")
    whole = labelled(np.where(liver > 0, np.where(np.indices(liver.shape)[2] < 20, 5, 2), 0), 2, 5, grid=LARGE)
    assert warnings_of(liver, segments=whole) == ()
