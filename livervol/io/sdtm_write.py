"""Courses and responses as SDTM datasets: TU, TR, RS and their supplemental qualifiers SUPPTU, SUPPTR.

Lesion n is T01, NT02 or NEW03 (TULNKID = TRLNKID); sums, changes and responses of a criterion at a visit share a link
group (TRLNKGRP = RSLNKGRP). Codes are CDISC controlled terminology; what has none is a supplemental qualifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from livervol.errors import CriteriaError, refusal
from livervol.io import sdtm_layout
from livervol.io.cdisc import Cell, Dataset
from livervol.io.sdtm import derived_state
from livervol.io.sdtm_terms import (
    CRITERIA,
    LESION_QUALIFIERS,
    LOCATIONS,
    MEASUREMENTS,
    ROLE_WORDS,
    RS_TESTS,
    STATE_WORDS,
    TR_TESTS,
    VISIT_QUALIFIERS,
)
from livervol.records import Course, Lesion, ResponseRow, Visit

__all__ = ["sdtm_datasets"]

Row = dict[str, Cell]

_PREFIX = {"target": "T", "non_target": "NT", "new": "NEW", "": "X"}
_TOO_SMALL_MM = 5.0
_DIGITS = 9
_NEW_WORDS = {"target": "NEW TARGET", "non_target": "NEW NON-TARGET"}
_TUMOUR_STATES = {state: word for word, state in STATE_WORDS.items() if state != "measured"}
_NUMBERS_AS_WORDS = ("viable_perpendicular_mm", "viable_volume_ml")


@dataclass
class _Writer:
    """The rows while they are made, with a sequence number per subject and domain."""

    study: str
    method: str
    rows: dict[str, list[Row]] = field(default_factory=lambda: {n: [] for n in ("TU", "TR", "RS", "SUPPTU", "SUPPTR")})
    last: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, domain: str, subject: str, row: Row) -> Row:
        """Append a row with its identifiers and sequence number; returns it."""
        self.last[domain, subject] += 1
        head: Row = {"STUDYID": self.study, "DOMAIN": domain, "USUBJID": subject}
        full = {**head, f"{domain}SEQ": float(self.last[domain, subject]), **row}
        self.rows[domain].append(full)
        return full

    def qualify(self, domain: str, row: Row, name: str, label: str, value: str) -> None:
        """Append a supplemental qualifier of a row."""
        self.rows[f"SUPP{domain}"].append(
            {
                "STUDYID": self.study,
                "RDOMAIN": domain,
                "USUBJID": row["USUBJID"],
                "IDVAR": f"{domain}SEQ",
                "IDVARVAL": str(int(float(row[f"{domain}SEQ"] or 0))),
                "QNAM": name,
                "QLABEL": label,
                "QVAL": value,
                "QORIG": "Assigned",
            }
        )


def sdtm_datasets(
    courses: Iterable[Course],
    responses: Iterable[ResponseRow] = (),
    *,
    study: str,
    method: str = "CT SCAN",
    best: Mapping[tuple[str, str, str], str] | None = None,
) -> tuple[Dataset, ...]:
    """TU, TR, RS, SUPPTU and SUPPTR of courses and of their responses by any criterion but LI-RADS.

    ``best`` gives the best overall response by patient, reader and criterion (BESTRESP). A reader's name becomes
    --EVALID of an independent assessor, no name is the investigator, unless the visit's attribute ``eval`` says.
    """
    writer = _Writer(study, method)
    by_key: dict[tuple[str, str], list[ResponseRow]] = {}
    for row in responses:
        by_key.setdefault((row.patient, row.reader), []).append(row)
    for course in courses:
        readers = {visit.reader for visit in course.visits}
        if len(readers) > 1:
            raise CriteriaError(refusal("course of several readers", expected="one", got=str(len(readers))))
        if not any(visit.lesions for visit in course.visits):
            raise CriteriaError(refusal("SDTM needs lesions", expected="one row per lesion and visit", got="sums only"))
        links = _course_rows(course, writer)
        for reader in readers:
            _response_rows(course, by_key.get((course.subject, reader), ()), links, writer, best or {})
    described = (
        ("TU", "Tumor/Lesion Identification", sdtm_layout.TU),
        ("TR", "Tumor/Lesion Results", sdtm_layout.TR),
        ("RS", "Disease Response and Clin Classification", sdtm_layout.RS),
        ("SUPPTU", "Supplemental Qualifiers for TU", sdtm_layout.SUPP),
        ("SUPPTR", "Supplemental Qualifiers for TR", sdtm_layout.SUPP),
    )
    return tuple(Dataset.of(name, label, variables, writer.rows[name]) for name, label, variables in described)


def _evaluator(visit: Visit, domain: str) -> Row:
    named = visit.attributes.get("eval", "") or ("INDEPENDENT ASSESSOR" if visit.reader else "INVESTIGATOR")
    return {f"{domain}EVAL": named, f"{domain}EVALID": visit.reader}


def _timing(visit: Visit, domain: str) -> Row:
    return {"VISITNUM": float(visit.number), "VISIT": f"VISIT {visit.number}", f"{domain}DTC": visit.date}


def _link_ids(course: Course) -> dict[int, str]:
    """Each lesion's identifier, by the role in which it is first seen; a split part is its origin's with a point."""
    links: dict[int, str] = {}
    parts: Counter[int] = Counter()
    for visit in course.visits:
        for lesion in visit.lesions:
            if lesion.number in links:
                continue
            parent = lesion.attributes.get("split_from", "")
            if parent and int(parent) in links:
                parts[int(parent)] += 1
                links[lesion.number] = f"{links[int(parent)]}.{parts[int(parent)]}"
            else:
                links[lesion.number] = f"{_PREFIX[lesion.role]}{lesion.number:02d}"
    return links


def _course_rows(course: Course, writer: _Writer) -> dict[int, str]:
    """TU and TR rows of one course; returns the identifiers."""
    links = _link_ids(course)
    identified: set[int] = set()
    start = next(visit for visit in course.visits if visit.lesions)
    for visit in course.visits:
        first: Row | None = None
        # a visit at which nothing was assessed is told by its records of work not done
        missed = tuple(replace(one, state="not_evaluable", measurements=(), attributes={}) for one in start.lesions)
        for lesion in visit.lesions or missed:
            if lesion.number not in identified:
                identified.add(lesion.number)
                _identify(course.subject, visit, lesion, links[lesion.number], writer)
            _merge(course.subject, visit, lesion, links, writer)
            row = _results(course.subject, visit, lesion, links[lesion.number], writer)
            first = first or row
        for name, (code, label) in VISIT_QUALIFIERS.items():
            if first is not None and visit.attributes.get(name):
                writer.qualify("TR", first, code, label, visit.attributes[name])
    return links


def _identify(subject: str, visit: Visit, lesion: Lesion, link: str, writer: _Writer) -> None:
    split = "." in link
    word = ROLE_WORDS.get(lesion.role, "TARGET" if link.startswith("T") else "NON-TARGET")
    if lesion.role == "new":
        word = _NEW_WORDS.get(lesion.attributes.get("new_role", ""), word)
    row = writer.add(
        "TU",
        subject,
        {
            "TULNKID": link,
            "TUTESTCD": "TUSPLIT" if split else "TUMIDENT",
            "TUTEST": "Tumor Split" if split else "Tumor Identification",
            "TUORRES": word,
            "TUSTRESC": word,
            "TULOC": LOCATIONS[lesion.site] if not lesion.node else "LYMPH NODE",
            "TUMETHOD": writer.method,
            **_evaluator(visit, "TU"),
            **_timing(visit, "TU"),
        },
    )
    if lesion.site not in ("liver", "other_node"):
        writer.qualify("TU", row, "SITE", "Site of Lesion", lesion.site)


def _merge(subject: str, visit: Visit, lesion: Lesion, links: Mapping[int, str], writer: _Writer) -> None:
    into = lesion.attributes.get("merged_into", "")
    if into and int(into) in links:
        word = ROLE_WORDS.get(lesion.role, "TARGET")
        writer.add(
            "TU",
            subject,
            {
                "TULNKID": f"{links[int(into)]}/{links[lesion.number]}",
                "TUTESTCD": "TUMERGE",
                "TUTEST": "Tumor Merged",
                "TUORRES": word,
                "TUSTRESC": word,
                "TUMETHOD": writer.method,
                **_evaluator(visit, "TU"),
                **_timing(visit, "TU"),
            },
        )


def _text(value: float) -> str:
    value = round(value, _DIGITS)
    return str(int(value)) if value.is_integer() else repr(value)


def _number_row(value: float, unit: str) -> Row:
    text = _text(value)
    return {"TRORRES": text, "TRORRESU": unit, "TRSTRESC": text, "TRSTRESN": float(text), "TRSTRESU": unit}


def _test(code: str) -> Row:
    return {"TRTESTCD": code, "TRTEST": TR_TESTS[code]}


def _results(subject: str, visit: Visit, lesion: Lesion, link: str, writer: _Writer) -> Row:
    """TR rows of one lesion at one visit and its qualifiers; returns the first row."""
    group = "TARGET" if link.startswith("T") else "NON-TARGET" if link.startswith("NT") else "NEW"
    common: Row = {"TRGRPID": group, "TRLNKID": link, "TRMETHOD": writer.method}
    common |= {**_evaluator(visit, "TR"), **_timing(visit, "TR"), "TRLOBXFL": "Y" if visit.is_baseline else None}
    found: list[Row] = []
    values = {name: lesion.value(name) for name in MEASUREMENTS}
    for name, value in values.items():
        if value is not None:
            code, unit = MEASUREMENTS[name]
            found.append({**_test(code), **_number_row(value, unit)})
    state, measured = lesion.state, bool(found)
    main = "LPERP" if lesion.node else "LDIAM"
    if state == "not_evaluable" and not measured:
        found.append({**_test(main), "TRSTAT": "NOT DONE", "TRREASND": "NOT EVALUABLE"})
    elif state == "too_small" and not measured:
        small = f"{_TOO_SMALL_MM:g}"
        found.append(
            {
                **_test(main), "TRORRES": "TOO SMALL TO MEASURE", "TRSTRESC": small, "TRSTRESN": _TOO_SMALL_MM,
                "TRSTRESU": "mm",
            }
        )  # fmt: skip
    elif lesion.attributes.get("merged_into"):
        found.append({**_test("TUMSTATE"), "TRORRES": "TUMOR MERGED", "TRSTRESC": "TUMOR MERGED"})
    elif state in _TUMOUR_STATES:
        word = _TUMOUR_STATES[state]
        found.append({**_test("TUMSTATE"), "TRORRES": word, "TRSTRESC": word})
    elif not found:
        found.append({**_test("TUMSTATE"), "TRORRES": "PRESENT", "TRSTRESC": "PRESENT"})
    rows = [writer.add("TR", subject, {**common, **row}) for row in found]
    _qualify(lesion, found, rows[0], writer)
    return rows[0]


def _qualify(lesion: Lesion, found: Sequence[Row], row: Row, writer: _Writer) -> None:
    words = dict(lesion.attributes)
    numbers = {name: lesion.value(name) for name in _NUMBERS_AS_WORDS}
    words |= {name: _text(value) for name, value in numbers.items() if value is not None}
    tumour = next((str(one["TRSTRESC"]) for one in found if one["TRTESTCD"] == "TUMSTATE"), "")
    told = derived_state(
        STATE_WORDS.get(tumour, ""),
        any("TRSTAT" in one for one in found),
        any(one.get("TRORRES") == "TOO SMALL TO MEASURE" for one in found),
        any("TRORRESU" in one for one in found),
    )
    if told != lesion.state:
        words["state"] = lesion.state
    for name, value in words.items():
        if value and name in LESION_QUALIFIERS:
            code, label = LESION_QUALIFIERS[name]
            writer.qualify("TR", row, code, label, value)


def _response_rows(
    course: Course,
    responses: Sequence[ResponseRow],
    links: Mapping[int, str],
    writer: _Writer,
    best: Mapping[tuple[str, str, str], str],
) -> None:
    visits = {visit.number: visit for visit in course.visits}
    ended: dict[str, ResponseRow] = {}
    for row in responses:
        if row.criterion not in CRITERIA or row.visit not in visits:
            continue
        visit = visits[row.visit]
        category, mark, _, _ = CRITERIA[row.criterion]
        group = f"V{row.visit}-{mark}"
        _sums(row, visit, group, links, writer)
        if not row.overall:
            continue
        ended[row.criterion] = row
        new = {"no": "N", "yes": "Y", "equivocal": "Y"}[row.new_lesion]
        certain = {"yes": "UNEQUIVOCAL", "equivocal": "EQUIVOCAL"}.get(row.new_lesion, "")
        results = {
            "TRGRESP": row.target,
            "NTRGRESP": row.non_target,
            "NEWLIND": new,
            "NEWLPROG": certain,
            "OVRLRESP": row.overall,
        }
        for code, result in results.items():
            if result:
                _response(course.subject, visit, code, result, (category, group), writer)
    for criterion, row in ended.items():
        word = best.get((row.patient, row.reader, criterion))
        if word:
            category = CRITERIA[criterion][0]
            _response(course.subject, visits[row.visit], "BESTRESP", word, (category, ""), writer)


def _response(
    subject: str, visit: Visit, code: str, result: str, category_group: tuple[str, str], writer: _Writer
) -> None:
    category, group = category_group
    words: Row = {"RSLNKGRP": group, "RSTESTCD": code, "RSTEST": RS_TESTS[code], "RSCAT": category}
    writer.add(
        "RS",
        subject,
        {**words, "RSORRES": result, "RSSTRESC": result, **_evaluator(visit, "RS"), **_timing(visit, "RS")},
    )


def _sums(row: ResponseRow, visit: Visit, group: str, links: Mapping[int, str], writer: _Writer) -> None:
    """The sum of a criterion at a visit and its changes, linked to the response by the link group."""
    unit, (total, from_base, from_nadir, absolute) = CRITERIA[row.criterion][2:]
    absolute_change = None
    if row.sum_mm is not None and row.nadir_sum_mm is not None:
        absolute_change = row.sum_mm - row.nadir_sum_mm
    found = [
        (total, row.sum_mm, unit),
        ("SUMNLNLD" if total == "SUMDIAM" else "", _without_nodes(row, visit, links), unit),
        (from_base, row.change_from_baseline_percent, "%"),
        (from_nadir, row.change_from_nadir_percent, "%"),
        (absolute, absolute_change, unit),
    ]
    common: Row = {"TRGRPID": "TARGET", "TRLNKGRP": group, **_evaluator(visit, "TR"), **_timing(visit, "TR")}
    common["TRLOBXFL"] = "Y" if visit.is_baseline else None
    for code, value, given_unit in found:
        if code and value is not None:
            writer.add("TR", row.patient, {**common, **_test(code), **_number_row(value, given_unit)})


def _without_nodes(row: ResponseRow, visit: Visit, links: Mapping[int, str]) -> float | None:
    """The sum of diameters without lymph nodes: the complete sum less the nodes' short axes."""
    if row.sum_mm is None:
        return None
    nodes = [one for one in visit.lesions if one.node and links[one.number].startswith("T")]
    return row.sum_mm - sum(one.value("short_axis_mm") or 0.0 for one in nodes)
