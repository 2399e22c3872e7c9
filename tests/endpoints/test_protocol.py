"""Protocol files: what ships, what a user may change, what is refused."""

from __future__ import annotations

import pytest

from livervol.endpoints.protocol import load_protocol, protocol_names
from livervol.errors import CriteriaError


def test_shipped_protocols_load_and_say_where_each_number_comes_from():
    assert protocol_names() == ("recist_six_weeks", "trial", "trial_ema")
    for name in protocol_names():
        protocol = load_protocol(name)
        assert protocol.name == name
        assert protocol.version
        assert all(protocol.sources.values())
        assert len(protocol.sha256) == 64


def test_the_trial():
    # the trial's protocol summary: 28 days, 30 days after treatment, 2 years, imaging after 3-4 then every 3 cycles
    settings = load_protocol("trial").settings
    assert (settings.min_response_days, settings.control_after_treatment_days) == (28, 30)
    assert settings.max_treatment_days == 731
    assert (settings.first_assessment_days, settings.interval_days) == (84, 63)
    assert settings.longest_gap_days == 2 * 63 + 2 * 7
    assert settings.longest_first_gap_days == 84 + 63 + 2 * 7
    assert (settings.os_start, settings.pfs_start) == ("first_dose", "first_dose")
    assert settings.disease_control_criterion == "recist11"
    assert settings.new_therapy_kinds == ("new_therapy",)


def test_extension_changes_only_what_it_names():
    ours, theirs = load_protocol("trial").settings, load_protocol("trial_ema").settings
    assert (ours.censoring, theirs.censoring) == ("fda", "ema")
    assert ours.with_values(censoring="ema") == theirs


def test_a_users_file(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text(
        'protocol = "ours"\nversion = "3"\ntitle = "t"\nextends = "trial"\n'
        '[parameters.cycle_days]\nvalue = 28\nunit = "days"\nsays = "s"\nsource = "section 6"\n'
    )
    protocol = load_protocol(path)
    assert (protocol.name, protocol.version, protocol.settings.cycle_days) == ("ours", "3", 28)
    assert protocol.sources["cycle_days"] == "section 6"
    described = protocol.described()
    assert described["parameters"]["cycle_days"] == {"value": 28, "source": "section 6"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cycles": 3}, "parameter is not known"),
        ({"censoring": "ich"}, "expected fda or ema"),
        ({"cycle_days": 0}, "a number above 0"),
        ({"cycle_days": 2.5}, "a whole number from 0"),
        ({"window_days": -1}, "a whole number from 0"),
        ({"cycle_days": True}, "a whole number from 0"),
        ({"level": 95.0}, "a number between 0 and 1"),
        ({"accept_sd": "yes"}, "true or false"),
        ({"new_therapy_kinds": "surgery"}, "kinds of events"),
        ({"landmark_months": ["x"]}, "numbers"),
        ({"landmark_months": 5}, "a list"),
        ({"data_cutoff": "2024-13-01"}, "an ISO date or nothing"),
        ({"data_cutoff": "2024"}, "an ISO date or nothing"),
        ({"reader": 3.0}, "a word"),
        ({"median_tie": "last"}, "midpoint or first"),
    ],
)
def test_impossible_parameters_are_refused(changes, sentence):
    with pytest.raises(CriteriaError, match=sentence):
        load_protocol("trial").with_parameters(changes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("not toml at all", "cannot be read"),
        ('extends = "nowhere"', "extends"),
        ('protocol = "x"', "parameter is missing"),
        ('extends = "trial"\n[parameters.cycle_days]\nvalue = 28', "a value and its source"),
        ('extends = "trial"\n[parameters]\ncycle_days = 28', "a value and its source"),
        ('extends = "trial"\n[parameters.speed]\nvalue = 1\nsource = "x"', "parameter is not known"),
    ],
)
def test_broken_files_are_refused(tmp_path, text, sentence):
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(CriteriaError, match=sentence):
        load_protocol(path)


def test_unknown_name():
    with pytest.raises(CriteriaError, match="protocol is not known: expected recist_six_weeks, trial"):
        load_protocol("nowhere")
