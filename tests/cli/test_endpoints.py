"""The verb ``endpoints``: a small cohort from tables to files, and refusals that leave nothing behind."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta

import pytest

from livervol.cli.endpoints import app
from livervol.cli.export import app as export
from livervol.errors import LivervolError
from livervol.files import sha256_of
from livervol.io.cdisc import find_dataset, read_rows

FIRST = date(2024, 1, 1)
LABS = (
    ("labs", "bilirubin", "20", "umol/L"), ("labs", "albumin", "4.0", "g/dL"), ("labs", "inr", "1.1", ""),
    ("labs", "ascites", "none", ""), ("labs", "encephalopathy", "none", ""), ("ecog", "", "1", ""),
    ("extrahepatic", "", "none", ""), ("vessels", "portal_inflow", "yes", ""),
    ("vessels", "arterial_inflow", "yes", ""),
    ("vessels", "hepatic_outflow", "yes", ""), ("vessels", "biliary_drainage", "yes", ""),
    ("labs", "flr_percent", "41", "%"),
)  # fmt: skip


def day(offset):
    return "" if offset is None else (FIRST + timedelta(days=offset)).isoformat()


def write(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as handle:
        out = csv.DictWriter(handle, names)
        out.writeheader()
        out.writerows(rows)
    return path


@pytest.fixture
def tables(tmp_path):
    # patient: visits after baseline as (day, overall, change), death, surgery, arm
    cohort = {
        "s1": ([(84, "PR", -40), (147, "PR", -60), (210, "CR", -100)], None, 220, "A"),
        "s2": ([(84, "PR", -35), (147, "PD", 5)], 300, None, "A"),
        "s3": ([(84, "SD", -10), (147, "SD", -15)], None, None, "B"),
        "s4": ([(84, "PD", 30)], 120, None, "B"),
        "s5": ([], None, None, "B"),
    }
    responses, subjects, events = [], [], []
    for patient, (visits, death, surgery, arm) in cohort.items():
        subjects.append(
            {
                "patient": patient, "first_dose": day(0), "enrolled": day(-7), "death": day(death),
                "last_alive": "" if death else day(230), "surgery": day(surgery), "r0": "1" if surgery else "",
                "arm": arm,
            }
        )  # fmt: skip
        for criterion in ("mrecist", "recist11"):
            rows = [(-10, "", ""), *visits]
            for n, (offset, overall, change) in enumerate(rows):
                responses.append(
                    {
                        "patient": patient, "reader": "", "visit": n, "date": day(offset), "criterion": criterion,
                        "target": overall, "overall": overall, "change_from_baseline_percent": change,
                    }
                )  # fmt: skip
        if surgery:
            for kind, name, value, unit in LABS:
                events.append(
                    {"patient": patient, "date": day(210), "kind": kind, "name": name, "value": value, "unit": unit}
                )
    return {
        "responses": write(tmp_path / "responses.csv", responses),
        "subjects": write(tmp_path / "subjects.csv", subjects),
        "events": write(tmp_path / "events.csv", events),
        "out": tmp_path / "out",
    }


def run(tables, *extra):
    words = [
        tables["responses"],
        "--subjects",
        tables["subjects"],
        "--events",
        tables["events"],
        "--out",
        tables["out"],
    ]
    app(args=[*map(str, words), *extra], standalone_mode=False)


def test_the_whole_folder(tables, capsys):
    run(tables, "--group", "arm")
    shown = capsys.readouterr().out
    assert "ORR" in shown
    assert "s1" not in shown
    found = json.loads((tables["out"] / "summary.json").read_text())
    rates = {name: entry["rate"] for name, entry in found["endpoints"].items() if "rate" in entry}
    assert [(rates[n]["events"], rates[n]["n"]) for n in ("ORR", "ORR unconfirmed", "DCR")] == [(1, 5), (2, 5), (3, 5)]
    # 1 of 5, Clopper-Pearson: 0.5051 % to 71.64 % (R binom.test)
    assert rates["ORR"]["interval"] == [pytest.approx(0.505076, abs=1e-5), pytest.approx(71.6418, abs=1e-4)]
    assert rates["conversion"]["events"] == rates["R0 resection"]["events"] == 1
    assert (found["endpoints"]["PFS"]["median"]["n"], found["endpoints"]["PFS"]["median"]["events"]) == (5, 2)
    assert (found["endpoints"]["OS"]["median"]["n"], found["endpoints"]["OS"]["median"]["events"]) == (5, 2)
    assert found["best_overall_response"] == {"CR": 0, "PR": 1, "SD": 2, "NON-CR/NON-PD": 0, "PD": 1, "NE": 1}
    assert set(found["groups"]) == {"A", "B"}
    assert "log-rank p" in found["endpoints"]["OS"]
    assert set(found["sensitivity"]) == {"fda, surgery censor", "ema, surgery neutral", "ema, surgery censor"}
    assert found["provenance"]["inputs"]["subjects"]["sha256"] == sha256_of(tables["subjects"])
    assert "1 of 5: patients have no assessment after baseline" in found["notes"]
    with (tables["out"] / "per_patient.csv").open() as handle:
        rows = {row["patient"]: row for row in csv.DictReader(handle)}
    assert [rows[p]["bor_confirmed"] for p in rows] == ["PR", "SD", "SD", "PD", "NE"]
    assert rows["s1"]["conversion_criteria"] == "yes"
    assert rows["s1"]["response_date"] == day(84)
    assert (rows["s1"]["pfs_days"], rows["s1"]["pfs_event"]) == ("211", "0")
    assert (rows["s4"]["pfs_days"], rows["s4"]["pfs_event"], rows["s4"]["os_days"]) == ("85", "1", "121")
    assert all(rows[p][f"{name}_reason"] for p in rows for name in ("pfs", "os", "dor", "ttr", "ttp", "efs"))
    for stem in ("waterfall", "spider", "swimmer", "kaplan_meier_pfs", "kaplan_meier_os", "kaplan_meier_dor"):
        for kind in ("png", "svg", "csv"):
            assert (tables["out"] / f"{stem}.{kind}").stat().st_size > 50


def test_same_tables_same_bytes(tables):
    run(tables)
    first = {p.name: sha256_of(p) for p in tables["out"].iterdir()}
    run(tables, "--overwrite")
    assert first == {p.name: sha256_of(p) for p in tables["out"].iterdir()}


def test_order_of_patients_does_not_matter(tables):
    run(tables, "--no-plots")
    numbers = (tables["out"] / "endpoints.csv").read_text()
    for name in ("subjects", "responses"):
        head, *rows = tables[name].read_text().splitlines()
        tables[name].write_text("\n".join([head, *reversed(rows)]) + "\n")
    run(tables, "--overwrite", "--no-plots")
    assert (tables["out"] / "endpoints.csv").read_text() == numbers


def test_parameters_and_json(tables, capsys):
    run(tables, "--set", "min_response_days=0", "--set", "level=0.9", "--json", "--no-plots")
    found = json.loads(capsys.readouterr().out)
    assert found["endpoints"]["ORR"]["rate"]["events"] == 2
    assert found["protocol"]["parameters"]["level"] == {"value": 0.9, "source": "set by the user"}


def test_without_plots(tables):
    run(tables, "--no-plots")
    assert {p.name for p in tables["out"].iterdir()} == {"summary.json", "endpoints.csv", "per_patient.csv"}


@pytest.mark.parametrize("fmt", ["csv", "xpt", "dataset-json"])
def test_adam_beside_the_tables(tables, fmt):
    run(tables, "--no-plots", "--adam", fmt)
    adtte = read_rows(find_dataset(tables["out"] / "adam", "adtte"))
    times = {(r["USUBJID"], r["PARAMCD"]): (r["AVAL"], r["CNSR"]) for r in adtte}
    assert times["s1", "PFS"] == ("211", "1")
    assert times["s4", "OS"] == ("121", "0")
    adrs = read_rows(find_dataset(tables["out"] / "adam", "adrs"))
    found = {(r["USUBJID"], r["PARAMCD"]): r["AVALC"] for r in adrs if r["PARAMCD"] != "OVR"}
    assert (found["s2", "BOR"], found["s2", "CBOR"], found["s2", "RSP"], found["s2", "CRSP"]) == ("PR", "SD", "Y", "N")
    assert (found["s4", "PD"], found["s3", "PD"], found["s3", "CB"]) == ("Y", "N", "Y")


def test_adam_alone_is_the_same(tables):
    run(tables, "--no-plots", "--adam", "csv")
    alone = tables["out"].parent / "adam"
    named = ["--subjects", str(tables["subjects"]), "--events", str(tables["events"]), "--out", str(alone)]
    words = ["adam", str(tables["responses"]), *named]
    export(args=words, standalone_mode=False)
    beside = {path.name: path.read_bytes() for path in (tables["out"] / "adam").iterdir()}
    assert {path.name: path.read_bytes() for path in alone.iterdir()} == beside
    export(args=[*words, "--study", "C-17", "--overwrite"], standalone_mode=False)
    assert {row["STUDYID"] for row in read_rows(find_dataset(alone, "adtte"))} == {"C-17"}


def test_unknown_adam_format_leaves_nothing(tables):
    with pytest.raises(LivervolError, match="dataset format"):
        run(tables, "--no-plots", "--adam", "sas7bdat")
    assert not tables["out"].exists()


def test_six_weeks_by_name(tables, capsys):
    run(tables, "--protocol", "recist_six_weeks", "--json", "--no-plots")
    assert json.loads(capsys.readouterr().out)["protocol"]["name"] == "recist_six_weeks"


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (("--protocol", "nowhere"), "protocol is not known"),
        (("--set", "speed=3"), "parameter is not known"),
        (("--group", "age"), "group column is not in the table: expected arm, liver_condition, sex"),
        (("--set", "conversion_protocol=nowhere"), "protocol not found"),
    ],
)
def test_a_refusal_leaves_nothing(tables, extra, sentence):
    with pytest.raises(LivervolError, match=sentence):
        run(tables, *extra)
    assert not tables["out"].exists()


def test_laboratory_value_in_the_wrong_unit_names_its_rows(tables):
    text = tables["events"].read_text().replace("4.0,g/dL", "40,g/dL")
    tables["events"].write_text(text)
    with pytest.raises(LivervolError, match=r"albumin does not fit its unit.*events, one of rows 2, 3") as refused:
        run(tables)
    assert "s1" not in str(refused.value)


def test_existing_output_is_kept(tables):
    tables["out"].mkdir()
    (tables["out"] / "mine.txt").write_text("mine")
    with pytest.raises(LivervolError, match="output already exists"):
        run(tables)
    assert (tables["out"] / "mine.txt").read_text() == "mine"
