"""Organs in their places, and volumes whose organs are not."""

from __future__ import annotations

import numpy as np
import pytest

from livervol.segment.liver_order import misplaced, organ_places

PLACES = {
    "liver": (100.0, 0.0, -60.0),
    "spleen": (110.0, 30.0, 90.0),
    "right kidney": (30.0, 50.0, -50.0),
    "left kidney": (40.0, 50.0, 60.0),
    "aorta": (60.0, 45.0, 10.0),
}


def test_a_patient_is_in_order():
    assert misplaced(PLACES) is None
    assert misplaced({"liver": PLACES["liver"]}) is None
    assert misplaced({}) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((1, 1, -1), "the spleen to the left of the liver"),
        ((1, -1, 1), "the aorta behind the liver"),
        ((-1, 1, 1), "the liver above the right kidney"),
        ((1, -1, -1), "the spleen to the left of the liver"),
    ],
)
def test_a_mirrored_or_turned_volume_is_told(change, expected):
    turned = {name: tuple(s * v for s, v in zip(change, place, strict=True)) for name, place in PLACES.items()}
    assert misplaced(turned)[0] == expected


def test_kidneys_alone_tell_a_mirrored_volume():
    places = {name: PLACES[name] for name in ("left kidney", "right kidney")}
    assert misplaced(places) is None
    swapped = {"left kidney": places["right kidney"], "right kidney": places["left kidney"]}
    assert misplaced(swapped) == ("the left kidney to the left of the right kidney", "110 mm to the other side")


def test_places_are_centroids_of_what_is_large_enough():
    classes = np.zeros((11, 20, 22, 24), np.float32)
    classes[0] = 0.5
    classes[1, 2:12, 3:9, 4:10] = 0.9
    classes[2, 15:18, 10:20, 14:24] = 0.8
    classes[5, 0:2, 0:2, 0:2] = 0.9
    places = organ_places(classes, np.array([100.0, -50.0, 7.0]), 4.0)
    # 360 voxels of 0.064 ml are 23 ml, 300 are 19 ml, 8 are half a millilitre
    assert set(places) == {"liver"}
    assert places["liver"] == pytest.approx((100 + 4 * 6.5, -50 + 4 * 5.5, 7 + 4 * 6.5))
