from __future__ import annotations

import pytest

from livervol.errors import CriteriaError
from livervol.records import Interval, Lesion, Measurement, Visit
from livervol.response.bor import BorSettings
from livervol.response.conversion import ConversionFindings, assess_conversion, extrahepatic_state
from livervol.response.protocol import PROTOCOLS, load_protocol
from livervol.response.scores import Lab, child_pugh
from livervol.response.staging import CHENG, HVTT, VP, VV, cheng_stage

INTACT = dict.fromkeys(("portal_inflow", "arterial_inflow", "hepatic_outflow", "biliary_drainage"), True)


def _findings(**changes):
    score = child_pugh(Lab(28.1, "umol/L"), Lab(37, "g/L"), Lab(1.1, "INR"), "none", "none")
    known = {"child_pugh": score, "ecog": 1, "extrahepatic": "none", "vessels": INTACT, "flr_percent": 45.0}
    return ConversionFindings(**(known | changes))


def test_a_converted_patient_with_every_reason():
    result = assess_conversion(_findings(), load_protocol("trial"))
    assert result.met is True
    assert result.protocol == "trial 1.0"
    assert [item.name for item in result.items] == ["child_pugh", "ecog", "extrahepatic", "vessels", "flr"]
    assert "Child-Pugh 5 A" in result.items[0].reason
    assert "FLR 45.0 %, at least 35 % asked" in result.items[4].reason
    assert result.would_change[4] == "10.0 points less FLR"
    assert result.would_change[0] == "2 points more in Child-Pugh (now 5)"


def test_what_would_change_a_failure():
    result = assess_conversion(_findings(flr_percent=31.2, extrahepatic="viable"), load_protocol("trial"))
    assert result.met is False
    assert result.would_change == (
        "complete necrosis or removal of every extrahepatic lesion",
        "3.8 points more FLR",
    )


def test_what_would_settle_an_open_answer():
    open_score = child_pugh(Lab(1.0, "mg/dL"), Lab(4.0, "g/dL"), Lab(1.0, "INR"), "none", None)
    result = assess_conversion(
        _findings(child_pugh=open_score, vessels={**INTACT, "biliary_drainage": None}), load_protocol("trial")
    )
    assert result.met is None
    assert result.would_change == ("assessing encephalopathy", "assessing biliary_drainage")


def test_an_interval_across_the_threshold_is_borderline():
    flr = assess_conversion(
        _findings(flr_percent=39.0, flr_interval=Interval(34.0, 44.0)), load_protocol("trial")
    ).items[4]
    assert (flr.met, flr.borderline) == (True, True)
    assert "interval 34.0 to 44.0 %" in flr.reason
    assert "second reading" in flr.reason
    clear = assess_conversion(
        _findings(flr_percent=39.0, flr_interval=Interval(36.0, 42.0)), load_protocol("trial")
    ).items[4]
    assert not clear.borderline


def test_recorded_thrombus_is_shown():
    vessels = assess_conversion(_findings(portal_thrombus="Vp3", hepatic_thrombus="Vv2"), load_protocol("trial")).items[
        3
    ]
    assert "portal thrombus Vp3, hepatic vein thrombus Vv2" in vessels.reason


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ecog": 6}, "ECOG"),
        ({"extrahepatic": "some"}, "extrahepatic disease"),
        ({"liver_condition": "fatty"}, "liver condition"),
        ({"portal_thrombus": "V"}, "portal thrombus stage"),
    ],
)
def test_words_nobody_knows_are_refused(changes, message):
    with pytest.raises(CriteriaError, match=message):
        assess_conversion(_findings(**changes), load_protocol("cnlc"))


def _extra(number, viable, *, state="measured", site="lung"):
    name = "short_axis_mm" if site.endswith("node") else "viable_longest_mm"
    numbers = () if viable is None else (Measurement(name, viable, "mm"),)
    return Lesion(number, "non_target", site, site.endswith("node"), state, numbers)


@pytest.mark.parametrize(
    ("lesions", "state"),
    [
        ((), "none"),
        ((_extra(1, 30.0, site="liver"), _extra(2, 12.0, site="portal_vein_thrombus")), "none"),
        ((_extra(1, 0.0), _extra(2, 9.9, site="other_node"), _extra(3, None, state="absent")), "necrotic"),
        ((_extra(1, 0.0), _extra(2, 10.0, site="other_node")), "viable"),
        ((_extra(1, 0.1),), "viable"),
        ((_extra(1, None, state="present"),), None),
        ((_extra(1, 0.0, state="not_evaluable"),), None),
        ((_extra(1, None, state="present"), _extra(2, 4.0)), "viable"),
    ],
)
def test_extrahepatic_disease_of_a_visit(lesions, state):
    assert extrahepatic_state([Visit(3, lesions=lesions)])[0] == state


def test_necrosis_is_confirmed_by_an_earlier_visit():
    necrotic, viable = (_extra(1, 0.0),), (_extra(1, 5.0),)
    last = Visit(3, "2024-03-01", lesions=necrotic)
    assert extrahepatic_state([last], 28)[0] is None
    assert extrahepatic_state([Visit(2, "2024-02-02", lesions=necrotic), last], 28)[0] == "necrotic"
    assert extrahepatic_state([Visit(2, "2024-02-03", lesions=necrotic), last], 28)[0] is None
    assert extrahepatic_state([Visit(2, "2024-01-01", lesions=viable), last], 28)[0] is None
    assert extrahepatic_state([Visit(2, lesions=necrotic), last], 28)[0] is None
    assert extrahepatic_state([], 28) == (None, "no visit")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_shipped_protocols_are_complete(name):
    protocol = load_protocol(name)
    assert protocol.name == name
    assert protocol.version
    assert protocol.source
    assert all("source" in item for item in protocol.section("conversion").values())


def test_the_trial_protocol_sets_best_response():
    assert load_protocol("trial").bor_settings() == BorSettings(min_sd_days=42, confirm_days=28, max_ne=1)


def test_a_protocol_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    head = 'schema = 1\nname = "mine"\nversion = "2"\ntitle = "t"\nsource = "s"\n'
    path.write_text(head + "[conversion.flr]\nat_least_percent = 50\n", encoding="utf-8")
    result = assess_conversion(ConversionFindings(flr_percent=49.0), load_protocol(path))
    assert (result.met, len(result.items), result.protocol) == (False, 1, "mine 2")
    with pytest.raises(CriteriaError, match="no section response"):
        load_protocol(path).bor_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = 2\nname='a'\nversion='1'\ntitle='t'\nsource='s'", "protocol schema"),
        ("schema = 1\nname='a'", "protocol is incomplete: expected version, title, source"),
        ("schema = ", "protocol cannot be read"),
    ],
)
def test_broken_protocols_are_refused(tmp_path, text, message):
    path = tmp_path / "p.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CriteriaError, match=message):
        load_protocol(path)


def test_unknown_protocols_and_items_are_refused(tmp_path):
    with pytest.raises(CriteriaError, match="protocol not found"):
        load_protocol("other")
    path = tmp_path / "p.toml"
    head = 'schema = 1\nname = "p"\nversion = "2"\ntitle = "t"\nsource = "s"\n'
    path.write_text(head + "[conversion.luck]\nat_least = 1\n", encoding="utf-8")
    with pytest.raises(CriteriaError, match="conversion item is not known.*luck"):
        assess_conversion(_findings(), load_protocol(path))


def test_thrombus_stages():
    assert [cheng_stage(stage) for stage in VP] == ["none", "I", "I", "II", "III"]
    assert [cheng_stage(stage) for stage in CHENG] == list(CHENG)
    assert len(VV) == len(HVTT) == 4
    with pytest.raises(CriteriaError):
        cheng_stage("Vp5")
