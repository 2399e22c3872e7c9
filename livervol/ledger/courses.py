"""Courses of visits from the ledger's current numbers, ready for the response criteria."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from livervol.ledger.rows import MACHINE
from livervol.ledger.store import Ledger
from livervol.records import Course, Interval, Lesion, Measurement, Visit

__all__ = ["courses"]


def _measurement(row: dict[str, Any], prefix: str = "") -> Measurement:
    interval = None if row["lower"] is None else Interval(row["lower"], row["upper"])
    method, reason = row["method"], ""
    if row["value"] is None:
        method, reason = "", method.removeprefix("absent: ") or "not given"
    return Measurement(prefix + row["name"], row["value"], row["unit"], method, interval=interval, reason=reason)


def _lesion(row: dict[str, Any], numbers: list[dict[str, Any]]) -> Lesion:
    fixed = {"site", "state", "role"}
    entry = json.loads(row["entry"])
    words = {k: v for k, v in entry.items() if isinstance(v, str) and k not in fixed and not k.endswith("_reason")}
    measured = tuple(_measurement(n) for n in numbers)
    node = row["site"] in ("porta_hepatis_node", "other_node")
    return Lesion(row["number"], entry.get("role", ""), row["site"], node, row["state"], measured, words)


def _absent(known: dict[int, Lesion], found: list[Lesion]) -> list[Lesion]:
    """A lesion seen at an earlier visit and not found now is listed as absent."""
    here = {lesion.number for lesion in found}
    gone = [Lesion(n, site=old.site, node=old.node, state="absent") for n, old in known.items() if n not in here]
    return sorted([*found, *gone], key=lambda lesion: lesion.number)


def courses(ledger: Ledger, reader: str = MACHINE) -> Iterator[Course]:
    """One course per subject from the current revision of each visit, in order of pseudonym; failed visits are absent.

    The first visit is the baseline. Only ``reader``'s numbers are used.
    """
    runs = ledger.query(
        "SELECT r.id, s.pseudonym, v.number, r.date, r.attributes FROM current_runs r JOIN visits v ON "
        "v.id = r.visit_id JOIN subjects s ON s.id = v.subject_id WHERE r.reader = ? ORDER BY s.pseudonym, v.number",
        reader,
    )
    by_subject: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        by_subject[run["pseudonym"]].append(run)
    for subject, mine in by_subject.items():
        known: dict[int, Lesion] = {}
        visits = []
        for run in mine:
            visit = _visit(ledger, run, reader, known, is_baseline=run is mine[0])
            known.update({lesion.number: lesion for lesion in visit.lesions})
            visits.append(visit)
        yield Course(subject, tuple(visits))


def _visit(ledger: Ledger, run: dict[str, Any], reader: str, known: dict[int, Lesion], *, is_baseline: bool) -> Visit:
    rows = ledger.query("SELECT * FROM measurements WHERE run_id = ? ORDER BY id", run["id"])
    by_lesion: dict[int, list[dict[str, Any]]] = defaultdict(list)
    own = []
    for row in rows:
        if row["lesion_id"] is not None:
            by_lesion[row["lesion_id"]].append(row)
        else:
            prefix = f"{row['structure']}." + (f"{row['number']}." if row["number"] else "")
            own.append(_measurement(row, prefix))
    found = ledger.query("SELECT * FROM lesions WHERE run_id = ? ORDER BY number", run["id"])
    lesions = [_lesion(row, by_lesion[row["id"]]) for row in found]
    return Visit(
        run["number"],
        run["date"],
        reader,
        is_baseline,
        tuple(_absent(known, lesions)),
        tuple(own),
        json.loads(run["attributes"]),
    )
