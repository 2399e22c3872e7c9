"""SDTM in and out: responses derived again from TU and TR, round trips in three formats, controlled terms, refusals."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.errors import CriteriaError, LivervolError
from livervol.io.cdisc import FORMATS, Dataset, Variable, find_dataset, read_rows, write_datasets
from livervol.io.sdtm import read_sdtm_courses
from livervol.io.sdtm_layout import RS, SUPP, TR, TU
from livervol.io.sdtm_terms import CRITERIA, LESION_QUALIFIERS, RS_TESTS, TR_TESTS, VISIT_QUALIFIERS
from livervol.io.sdtm_write import sdtm_datasets
from livervol.records import SITES, Course, Lesion, Measurement, Visit
from livervol.response import assess

MADE = "2024-05-06T07:08:09"


def mm(**values):
    units = {"mm": "mm", "ml": "ml", "hu": "HU"}
    return tuple(Measurement(name, value, units[name.rsplit("_", 1)[1]]) for name, value in values.items())


def liver_course(reader="RADIOLOGIST 1", subject="S-1"):
    """Targets in liver and nodes, a non-target that progresses, a split, a merge, a new lesion, a thrombus."""
    first = (
        Lesion(1, "target", measurements=mm(longest_mm=52.5, viable_longest_mm=41.25, volume_ml=70.125)),
        Lesion(2, "target", measurements=mm(longest_mm=31.0, viable_longest_mm=30.0, viable_perpendicular_mm=21.5)),
        Lesion(3, "target", "porta_hepatis_node", True, measurements=mm(longest_mm=33.0, short_axis_mm=24.0)),
        Lesion(4, "non_target", "portal_vein_thrombus", state="present"),
        Lesion(5, "non_target", "lung", measurements=mm(longest_mm=8.0)),
    )
    second = (
        replace(first[0], measurements=mm(longest_mm=40.1, viable_longest_mm=12.3, mean_hu=45.0)),
        Lesion(2, "target", state="too_small"),
        replace(first[2], measurements=mm(short_axis_mm=9.0)),
        replace(first[3], state="unequivocal_progression"),
        replace(first[4], state="absent", measurements=()),
        Lesion(
            7,
            "new",
            "liver",
            state="equivocal",
            measurements=mm(longest_mm=11.0),
            attributes={"enhancement": "typical"},
        ),
    )
    third = (
        Lesion(1, "target", measurements=mm(longest_mm=20.0, viable_longest_mm=0.0)),
        Lesion(8, "", attributes={"split_from": "1"}, measurements=mm(longest_mm=9.0, viable_longest_mm=4.0)),
        Lesion(2, "target", attributes={"merged_into": "1"}),
        Lesion(3, "target", "porta_hepatis_node", True, state="not_evaluable"),
        first[3],
        replace(first[4], state="not_evaluable", measurements=()),
        Lesion(7, "new", measurements=mm(longest_mm=19.0), attributes={"enhancement": "typical", "washout": "yes"}),
    )
    return Course(
        subject,
        (
            Visit(1, "2024-01-02", reader, is_baseline=True, lesions=first),
            Visit(2, "2024-03", reader, lesions=second, attributes={"markers": "abnormal"}),
            Visit(4, "2024-06-01", reader, lesions=third, attributes={"mrecist_evaluable": "no"}),
            Visit(5, "2024-08-01", reader),
        ),
    )


def told(course, criteria=("recist11", "mrecist")):
    """What a round trip must keep: every response with its numbers."""
    rows = [row for name in criteria for row in assess(course, name)]
    return [(r.visit, r.date, r.criterion, r.target, r.non_target, r.new_lesion, r.overall, r.sum_mm) for r in rows]


def written(tmp_path, courses, fmt="csv", responses=()):
    folder = tmp_path / fmt
    write_datasets(sdtm_datasets(courses, responses, study="ST"), folder, fmt, created=MADE, study="ST", overwrite=True)
    return folder


def test_responses_are_derived_again_from_tu_and_tr(shared):
    folder = shared / "oracles" / "sdtm"
    with (folder / "rs_onco_recist.csv").open() as handle:
        given_rows = list(csv.DictReader(handle))
    found = {}
    for course in read_sdtm_courses(folder):
        evaluator = course.visits[0].attributes["eval"]
        for row in assess(course, "recist11"):
            if row.overall:
                found[course.subject, evaluator, row.reader, row.visit] = (row.overall, row.date)
    passed = 0
    for row in given_rows:
        key = (row["USUBJID"], row["RSEVAL"], row["RSEVALID"], int(float(row["VISITNUM"])))
        passed += found.get(key) == (row["RSSTRESC"], row["RSDTC"])
    assert passed == len(given_rows) == 27, f"passed {passed} of {len(given_rows)}"
    assert len(found) == len(given_rows)


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_reference_study_survives_every_format(shared, tmp_path, fmt):
    courses = read_sdtm_courses(shared / "oracles" / "sdtm")
    responses = [row for course in courses for row in assess(course, "recist11")]
    folder = written(tmp_path, courses, fmt, responses)
    back = read_sdtm_courses(folder)
    assert [told(course, ["recist11"]) for course in back] == [told(course, ["recist11"]) for course in courses]
    kept = [row for row in read_rows(find_dataset(folder, "rs")) if row["RSTESTCD"] == "OVRLRESP"]
    with (shared / "oracles/sdtm/rs_onco_recist.csv").open() as handle:
        reference = sorted(
            (r["USUBJID"], r["RSEVAL"], r["RSEVALID"], int(float(r["VISITNUM"])), r["RSSTRESC"], r["RSDTC"])
            for r in csv.DictReader(handle)
        )
    ours = sorted(
        (r["USUBJID"], r["RSEVAL"], r["RSEVALID"], int(r["VISITNUM"]), r["RSSTRESC"], r["RSDTC"]) for r in kept
    )
    assert ours == reference


@pytest.mark.parametrize("fmt", FORMATS)
def test_our_own_output_comes_back(tmp_path, fmt):
    courses = (liver_course(), liver_course("", "S-2"))
    back = read_sdtm_courses(written(tmp_path, courses, fmt))
    assert [c.subject for c in back] == ["S-1", "S-2"]
    for before, after in zip(courses, back, strict=True):
        assert told(after) == told(before)
        assert [v.is_baseline for v in after.visits] == [True, False, False, False]
        assert [v.reader for v in after.visits] == [v.reader for v in before.visits]
        for old, new in zip(before.visits[:3], after.visits, strict=False):
            assert [x.number for x in new.lesions] == [x.number for x in old.lesions]
            for one, other in zip(old.lesions, new.lesions, strict=True):
                assert (other.site, other.node, other.state, other.role) == (one.site, one.node, one.state, one.role)
                assert {m.name: m.value for m in other.measurements} == {m.name: m.value for m in one.measurements}
                assert dict(other.attributes) == dict(one.attributes)
    assert {v.attributes["eval"] for v in back[0].visits} == {"INDEPENDENT ASSESSOR"}
    assert {v.attributes["eval"] for v in back[1].visits} == {"INVESTIGATOR"}


STATES = st.sampled_from(["measured", "absent", "too_small", "not_evaluable"])
SIZES = st.integers(1, 900).map(lambda n: n / 10)


@st.composite
def random_courses(draw):
    sites = draw(st.lists(st.sampled_from(SITES), min_size=1, max_size=5))
    roles = [draw(st.sampled_from(["target", "non_target"])) for _ in sites]
    visits = []
    for number in range(1, draw(st.integers(2, 4)) + 1):
        lesions = []
        for n, (site, role) in enumerate(zip(sites, roles, strict=True), start=1):
            node = site.endswith("_node")
            state = "measured" if number == 1 else draw(STATES)
            size, viable = draw(SIZES), draw(SIZES)
            values = {"short_axis_mm" if node else "longest_mm": size} | ({} if node else {"viable_longest_mm": viable})
            measured = mm(**values) if state == "measured" else ()
            if number == 1 or draw(st.booleans()):
                lesions.append(Lesion(n, role, site, node, state, measured))
        day = (date(2024, 1, 1) + timedelta(days=60 * number)).isoformat()
        visits.append(Visit(number, day, "R", lesions=tuple(lesions)))
    return Course("S", tuple(visits))


@given(random_courses())
def test_any_course_gives_the_same_responses_after_a_round_trip(tmp_path_factory, course):
    (back,) = read_sdtm_courses(written(tmp_path_factory.mktemp("sdtm"), (course,)))
    assert told(back) == told(course)


def test_sums_and_responses_share_their_link_group(tmp_path):
    course = liver_course()
    responses = [row for name in ("recist11", "mrecist") for row in assess(course, name)]
    datasets = sdtm_datasets([course], responses, study="ST", best={("S-1", "RADIOLOGIST 1", "mrecist"): "PR"})
    folder = write_datasets(datasets, tmp_path / "x", "csv", created=MADE)
    tr = [row for row in read_rows(folder / "tr.csv") if row["TRLNKGRP"]]
    rs = read_rows(folder / "rs.csv")
    assert {row["TRLNKGRP"] for row in tr} >= {row["RSLNKGRP"] for row in rs if row["VISITNUM"] == "2"}
    assert all(row["TRLNKID"] == "" and row["TRGRPID"] == "TARGET" for row in tr)
    baseline = {(row["TRTESTCD"], row["TRLNKGRP"]): row["TRSTRESN"] for row in tr if row["VISITNUM"] == "1"}
    # whole diameters 52.5 + 31, node 24; viable diameters 41.25 + 30, node 24
    assert baseline["SUMDIAM", "V1-R"] == "107.5"
    assert baseline["SUMNLNLD", "V1-R"] == "83.5"
    assert baseline["SUMVDIAM", "V1-M"] == "95.25"
    categories = {row["RSCAT"] for row in rs}
    assert categories == {"RECIST 1.1", "MRECIST LENCIONI LIVER CANCER 2010"}
    (best,) = [row for row in rs if row["RSTESTCD"] == "BESTRESP"]
    assert (best["RSSTRESC"], best["RSCAT"]) == ("PR", "MRECIST LENCIONI LIVER CANCER 2010")
    assert len({(row["USUBJID"], row["TRSEQ"]) for row in read_rows(folder / "tr.csv")}) == len(
        read_rows(folder / "tr.csv")
    )


def sdtmig_tables(cases):
    """TU and TR as the SDTMIG prints them: DIAMETER for every target, T04 split into T04.1 and T04.2 at week 6."""
    tu, tr = [], []
    head = {"USUBJID": "44444", "TUEVAL": "INVESTIGATOR", "TUTESTCD": "TUMIDENT", "TUORRES": "TARGET", "VISITNUM": "10"}
    for link in ("T01", "T02", "T03", "T04"):
        tu.append({**head, "TULNKID": link, "TULOC": "LYMPH NODE" if link == "T03" else "LIVER"})
    for link in ("T04.1", "T04.2"):
        tu.append({**head, "TULNKID": link, "TULOC": "LIVER", "TUTESTCD": "TUSPLIT", "VISITNUM": "40"})
    for name, visit in (("baseline", 10), ("week6", 40), ("week12", 60)):
        for link, value in cases[name].items():
            if not link.startswith("T0"):
                continue
            row = {"USUBJID": "44444", "TREVAL": "INVESTIGATOR", "TRLNKID": link, "TRTESTCD": "DIAMETER", "TRORRES": ""}
            row |= {"TRSTRESN": "", "TRSTRESU": "", "TRSTAT": "", "VISITNUM": str(visit)}
            row["TRDTC"] = f"2010-0{visit // 10}-01"
            if isinstance(value, str) and "TOO SMALL" in value:
                row |= {"TRORRES": "TOO SMALL TO MEASURE", "TRSTRESN": "5", "TRSTRESU": "mm"}
            elif value == "NOT DONE":
                row["TRSTAT"] = "NOT DONE"
            else:
                row |= {"TRORRES": str(value), "TRSTRESN": str(value), "TRSTRESU": "mm"}
            tr.append(row)
    return tu, tr


def save(folder, name, rows):
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="") as handle:
        out = csv.DictWriter(handle, list(dict.fromkeys(key for row in rows for key in row)))
        out.writeheader()
        out.writerows(rows)


def test_the_implementation_guides_example(shared, tmp_path):
    cases = json.loads((shared / "oracles/response_cases/sdtmig_examples.json").read_text())["subject_44444"]
    tu, tr = sdtmig_tables(cases)
    save(tmp_path / "ig", "tu.csv", tu)
    save(tmp_path / "ig", "tr.csv", tr)
    (course,) = read_sdtm_courses(tmp_path / "ig")
    rows = {row.visit: row for row in assess(course, "recist11")}
    week6, week12 = cases["week6"], cases["week12"]
    assert rows[10].sum_mm == cases["baseline"]["sum"] == 62
    assert (rows[40].sum_mm, rows[40].target, rows[40].overall) == (week6["sum"], week6["target"], week6["overall"])
    assert round(rows[40].change_from_baseline_percent) == week6["pct_change_baseline"]
    assert rows[60].target == week12["target"]
    folder = written(tmp_path, (course,), "csv", list(rows.values()))
    sums = {(r["VISITNUM"], r["TRTESTCD"]): float(r["TRSTRESN"]) for r in read_rows(folder / "tr.csv") if r["TRLNKGRP"]}
    assert (sums["10", "SUMNLNLD"], sums["40", "SUMNLNLD"]) == (
        cases["baseline"]["sum_non_nodal"],
        week6["sum_non_nodal"],
    )
    assert sums["40", "ACNSD"] == week6["abs_change_nadir"]
    tests = {row["TULNKID"]: row["TUTESTCD"] for row in read_rows(folder / "tu.csv")}
    whole = {f"T0{n}": "TUMIDENT" for n in (1, 2, 3, 4)}
    assert tests == {**whole, "T04.1": "TUSPLIT", "T04.2": "TUSPLIT"}


def test_every_code_is_controlled_terminology(shared):
    terms = {}
    for name in ("sdtm_ct_oncology_recent.csv", "sdtmct_2015-12-18_oncology_codelists.csv"):
        with (shared / "oracles/cdisc_ct" / name).open() as handle:
            for row in csv.DictReader(handle):
                terms.setdefault(row["codelist_code"], set()).add(row["submission_value"])
    course = liver_course()
    responses = [r for name in ("recist11", "mrecist", "easl", "volumetric") for r in assess(course, name)]
    best = {("S-1", "RADIOLOGIST 1", "mrecist"): "PR"}
    tu, tr, rs, _, _ = (
        [dict(zip([v.name for v in d.variables], row, strict=True)) for row in d.rows]
        for d in sdtm_datasets([course], responses, study="ST", best=best)
    )
    checks = (
        ("C96784", {r["TUTESTCD"] for r in tu}),
        ("C96783", {r["TUTEST"] for r in tu}),
        ("C123650", {r["TUSTRESC"] for r in tu}),
        ("C96779", {r["TRTESTCD"] for r in tr} | set(TR_TESTS)),
        ("C96778", {r["TRTEST"] for r in tr} | set(TR_TESTS.values())),
        ("C124309", {r["TRSTRESC"] for r in tr if r["TRTESTCD"] == "TUMSTATE"}),
        ("C96782", {r["RSTESTCD"] for r in rs} | set(RS_TESTS)),
        ("C96781", {r["RSTEST"] for r in rs} | set(RS_TESTS.values())),
        ("C96785", {r["RSSTRESC"] for r in rs if r["RSTESTCD"] != "NEWLIND"}),
        ("C124298", {category for category, *_ in CRITERIA.values()}),
        ("C78735", {r["TUEVAL"] for r in tu} | {"INVESTIGATOR"}),
    )
    strange = {code: sorted(words - terms[code]) for code, words in checks if words - terms[code]}
    assert strange == {}
    # every pair of code and name stands side by side in the lists
    assert {r["RSSTRESC"] for r in rs if r["RSTESTCD"] == "NEWLIND"} <= {"Y", "N"}


def test_names_and_labels_fit_a_transport_file():
    variables = (*TU, *TR, *RS, *SUPP)
    assert all(len(v.name) <= 8 and len(v.label) <= 40 for v in variables)
    qualifiers = [*LESION_QUALIFIERS.values(), *VISIT_QUALIFIERS.values()]
    assert all(len(name) <= 8 and len(label) <= 40 for name, label in qualifiers)
    assert len({name for name, _ in qualifiers}) == len(qualifiers)
    assert all(len(code) <= 8 for code in (*TR_TESTS, *RS_TESTS))
    assert all(len(name) <= 40 for name in (*TR_TESTS.values(), *RS_TESTS.values()))


def test_dataset_json_says_what_it_is(tmp_path):
    folder = written(tmp_path, (liver_course(),), "dataset-json")
    document = json.loads((folder / "tr.json").read_text())
    assert (document["datasetJSONVersion"], document["name"], document["studyOID"]) == ("1.1.0", "TR", "STUDY.ST")
    assert document["datasetJSONCreationDateTime"] == MADE
    assert document["records"] == len(document["rows"])
    kinds = {column["name"]: column["dataType"] for column in document["columns"]}
    assert (kinds["TRSTRESN"], kinds["TRORRES"]) == ("float", "string")


def test_transport_file_is_read_by_another_program(tmp_path):
    pandas = pytest.importorskip("pandas")
    folder = written(tmp_path, (liver_course(),), "xpt")
    frame = pandas.read_sas(folder / "tu.xpt", format="xport", encoding="ascii")
    assert frame["TULNKID"].tolist()[:3] == ["T01", "T02", "T03"]
    assert frame["VISITNUM"].tolist()[0] == 1.0


def simple(**changes):
    tu = {"USUBJID": "secret", "TUEVAL": "INVESTIGATOR", "TULNKID": "T01", "TUORRES": "TARGET", "TULOC": "LIVER"}
    tr = {"USUBJID": "secret", "TREVAL": "INVESTIGATOR", "TRLNKID": "T01", "TRTESTCD": "LDIAM", "TRORRES": "2.1"}
    tr |= {"TRORRESU": "cm", "TRSTRESC": "21", "TRSTRESU": "mm", "TRDTC": "2024-01-02T10:11"}
    rows = ({**tu, "VISITNUM": "1"}, {**tr, "VISITNUM": "1"})
    return tuple({key: changes.get(key, value) for key, value in row.items()} for row in rows)


def read_simple(tmp_path, *pairs):
    save(tmp_path / "s", "tu.csv", [tu for tu, _ in pairs])
    save(tmp_path / "s", "tr.csv", [tr for _, tr in pairs])
    return read_sdtm_courses(tmp_path / "s")


def test_standard_result_before_original_and_time_of_day_dropped(tmp_path):
    (course,) = read_simple(tmp_path, simple())
    visit = course.visits[0]
    assert (visit.date, visit.lesions[0].value("longest_mm")) == ("2024-01-02", 21.0)
    (course,) = read_simple(tmp_path, simple(TRSTRESC=""))
    assert course.visits[0].lesions[0].value("longest_mm") == 21.0  # 2.1 cm


def test_unscheduled_visits_keep_their_order(tmp_path):
    pairs = [simple(VISITNUM=number) for number in ("1", "2", "2.1", "3")]
    (course,) = read_simple(tmp_path, *pairs)
    assert [v.number for v in course.visits] == [100, 200, 210, 300]


def test_lesions_of_two_kinds_with_one_number_stay_apart(tmp_path):
    target = simple()
    other = simple(TULNKID="NT01", TUORRES="NON-TARGET", TRLNKID="NT01", TRTESTCD="TUMSTATE", TRSTRESC="PRESENT")
    (course,) = read_simple(tmp_path, target, other)
    assert [(x.number, x.role, x.state) for x in course.visits[0].lesions] == [
        (1, "target", "measured"),
        (2, "non_target", "present"),
    ]


def test_merged_lesions_of_the_guide(tmp_path):
    pairs = [simple(TULNKID=link, TRLNKID=link) for link in ("T01", "T02")]
    merge = {**simple(TULNKID="T02/T01")[0], "TUTESTCD": "TUMERGE", "VISITNUM": "2"}
    gone = simple(VISITNUM="2", TRTESTCD="TUMSTATE", TRSTRESC="TUMOR MERGED")[1]
    left = simple(VISITNUM="2", TRLNKID="T02", TRSTRESC="35")[1]
    tu = [{"TUTESTCD": "TUMIDENT", **row} for row, _ in pairs]
    save(tmp_path / "m", "tu.csv", [*tu, merge])
    save(tmp_path / "m", "tr.csv", [*(row for _, row in pairs), gone, left])
    (course,) = read_sdtm_courses(tmp_path / "m")
    assert course.visits[1].lesions[0].attributes["merged_into"] == "2"
    assert assess(course, "recist11")[1].sum_mm == 35.0


def test_readers_never_mix(tmp_path):
    pairs = []
    for evaluator, reader in (("INVESTIGATOR", ""), ("INDEPENDENT ASSESSOR", ""), ("INDEPENDENT ASSESSOR", "B")):
        tu, tr = simple(TUEVAL=evaluator, TREVAL=evaluator)
        pairs.append(({**tu, "TUEVALID": reader}, {**tr, "TREVALID": reader}))
    courses = read_simple(tmp_path, *pairs)
    assert [(c.visits[0].attributes["eval"], c.visits[0].reader) for c in courses] == [
        ("INVESTIGATOR", ""),
        ("INDEPENDENT ASSESSOR", ""),
        ("INDEPENDENT ASSESSOR", "B"),
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"TRLNKID": "T09"}, "measured lesion is not identified.*tr.csv, record 1"),
        ({"TREVAL": "SOMEBODY"}, "measured lesion is not identified.*tr.csv, record 1"),
        ({"TUORRES": "MAYBE"}, "TUORRES is not known.*tu.csv, record 1"),
        ({"TRSTRESU": "inch"}, "unit cannot be read.*tr.csv, record 1"),
        ({"TRSTRESC": "big"}, "result cannot be read.*tr.csv, record 1"),
        ({"TRSTRESC": "-3"}, "result cannot be read.*tr.csv, record 1"),
        ({"TRTESTCD": "TUMSTATE", "TRSTRESC": "FINE"}, "TUMSTATE is not known.*tr.csv, record 1"),
        ({"VISITNUM": "WEEK 3"}, "VISITNUM cannot be read"),
    ],
)
def test_refusals_name_dataset_and_record(tmp_path, changes, sentence):
    with pytest.raises(CriteriaError, match=sentence) as refused:
        read_simple(tmp_path, simple(**changes))
    assert "secret" not in str(refused.value)


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(CriteriaError, match="SDTM folder not found"):
        read_sdtm_courses(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CriteriaError, match="SDTM dataset is missing: expected a dataset whose name starts with tu"):
        read_sdtm_courses(tmp_path / "empty")
    read_simple(tmp_path, simple())
    save(tmp_path / "s", "tu_other.csv", [simple()[0]])
    with pytest.raises(CriteriaError, match="several datasets start with tu"):
        read_sdtm_courses(tmp_path / "s")
    (tmp_path / "s" / "tu_other.csv").unlink()
    (tmp_path / "s" / "tr.csv").write_text("USUBJID\nx\n")
    with pytest.raises(CriteriaError, match=r"variable missing: expected TRLNKID, TRTESTCD, VISITNUM.*tr\.csv"):
        read_sdtm_courses(tmp_path / "s")
    for name, sentence in (("tr.json", "Dataset-JSON 1.1"), ("tr.xpt", "a SAS transport file")):
        (tmp_path / "s" / "tr.csv").unlink(missing_ok=True)
        (tmp_path / "s" / name).write_text('{"name": "TR"}')
        with pytest.raises(CriteriaError, match=f"dataset cannot be read: expected {sentence}"):
            read_sdtm_courses(tmp_path / "s")
        (tmp_path / "s" / name).unlink()


def test_sums_alone_and_mixed_readers_cannot_be_written():
    sums = Course("S", (Visit(1, measurements=mm(sum_mm=30.0)),))
    with pytest.raises(CriteriaError, match="SDTM needs lesions"):
        sdtm_datasets([sums], study="ST")
    lesions = (Lesion(1, "target", measurements=mm(longest_mm=20.0)),)
    mixed = Course("S", (Visit(1, "", "A", lesions=lesions), Visit(2, "", "B", lesions=lesions)))
    with pytest.raises(CriteriaError, match="course of several readers"):
        sdtm_datasets([mixed], study="ST")


@pytest.mark.parametrize(("fmt", "package"), [("xpt", "pyreadstat"), ("dataset-json", "odmlib")])
def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch, fmt, package):
    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LivervolError, match=r'pip install "livervol\[trial\]"') as refused:
        written(tmp_path, (liver_course(),), fmt)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / fmt).exists()


@pytest.mark.parametrize(
    ("text", "sentence"), [("é", "other characters"), ("x" * 201, "201 characters")], ids=["accent", "long"]
)
def test_text_a_transport_file_cannot_hold(tmp_path, text, sentence):
    dataset = Dataset.of("TU", "l", [Variable("USUBJID", "Subject")], [{"USUBJID": text}])
    with pytest.raises(LivervolError, match=f"text does not fit XPT.*{sentence}") as refused:
        write_datasets([dataset], tmp_path / "x", "xpt", created=MADE)
    assert text not in str(refused.value)
    write_datasets([dataset], tmp_path / "x", "csv", created=MADE)
    assert read_rows(tmp_path / "x" / "tu.csv") == [{"USUBJID": text}]


def test_unknown_format(tmp_path):
    with pytest.raises(LivervolError, match="dataset format"):
        write_datasets([], tmp_path / "x", "sas7bdat", created=MADE)
