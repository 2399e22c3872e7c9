"""Damaged input of every family: read or refused in one sentence; ``benchmarks/fuzz.py`` runs many more.

The listed numbers are inputs that once crashed a reader, ran past its size checks, or put several lines into a message.
"""

from __future__ import annotations

import signal

import pytest

from fuzz_families import FAMILIES
from fuzz_mutations import mutate_dicom
from livervol.errors import LivervolError

#: Inputs that were findings once, by family.
ONCE_FOUND = {
    "nifti": [60, 69],
    "nrrd": [518, 994, 1110, 9519],
    "seg_nrrd": [610],
    "mha": [2661, 3265, 9577, 10881],
    "dicom_enhanced": [76, 82, 93, 103, 105, 126, 1056, 1592, 1705, 31971],
    "dicom_series": [20, 39, 3514],
    "response_table": [74],
    "subjects": [40, 74],
    "events": [25, 40, 74],
    "responses": [25, 40, 74],
    "dicom_seg": [45],
    "dicom_sr": [45],
    "rtstruct": [45],
    "visits": [31146],
    "deidentify": [5, 9, 32, 131],
}

#: New inputs in every run: a few hundred in all.
FIRST, PER_FAMILY = 2_000_000, 25

_LONGEST_S = 10


class TooLong(BaseException):
    """No reader may catch it."""


def _ring(signum, frame):
    raise TooLong(f"an input took longer than {_LONGEST_S} s of processor time")


@pytest.fixture(autouse=True)
def alarm():
    """A reader that hangs must not hang the tests."""
    before = signal.signal(signal.SIGPROF, _ring)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def refusal_of(name, number, folder):
    """The refusal of one input, empty when it was read; anything but a LivervolError ends the test."""
    folder.mkdir()
    path = FAMILIES[name].case(number, folder)
    signal.setitimer(signal.ITIMER_PROF, _LONGEST_S)
    try:
        FAMILIES[name].read(path)
    except LivervolError as error:
        return str(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


@pytest.mark.parametrize("name", FAMILIES)
def test_inputs_that_were_found_and_new_ones(name, tmp_path):
    told = []
    for number in (*ONCE_FOUND.get(name, ()), *range(FIRST, FIRST + PER_FAMILY)):
        words = refusal_of(name, number, tmp_path / str(number))
        assert len(words) < 2000, number
        assert "\n" not in words, number
        told.append(words)
    assert any(told), "nothing was refused: the damage misses"
    assert not all(told), "everything was refused: the damage is too great to reach the depths"


@pytest.mark.parametrize("name", ["nifti", "dicom_series", "response_table", "journal", "dicom_seg"])
def test_a_number_names_an_input_for_good(name, tmp_path):
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        path = FAMILIES[name].case(4711, folder)
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        made.append((path.relative_to(folder), [(p.name, p.read_bytes()) for p in files]))
    assert made[0] == made[1]


def test_damage_to_dicom_reaches_nested_elements():
    import random

    from fuzz_objects import _objects

    content = _objects()["sr"]
    damaged = {mutate_dicom(random.Random(n), content) for n in range(40)}
    assert len(damaged) > 35
    assert content not in damaged
