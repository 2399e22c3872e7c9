"""Contrast phase of every real scan of LIVERVOL_SHARED whose phase is known, beside what is recognised.

    python benchmarks/phases.py [--only NAME ...] [--out TABLE.csv]

Known phases are those of the scans' README: the SABS cases are portal venous (02, 13, 15, 22 and 26 early in it) but
for the plain case 14; the studies of the HCC patient were told apart by acquisition and by attenuations read by hand.
T2 series show no contrast phase and must stay unknown. An answer is right, wrong, or open (unknown, with a warning).
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from livervol.io.dicom import read_dicom
from livervol.io.images import read_image
from livervol.scan import Phase, Scan
from livervol.segment.phase import PhaseReport, recognise_phases

COLUMNS = ("series", "known", "found", "verdict", "reason", "warnings")
PLAIN = ("sabs_14",)


@dataclass(frozen=True)
class Visit:
    """One visit: its folder or file below ``scans`` and the known phase of each volume in order of acquisition."""

    name: str
    path: str
    known: tuple[Phase, ...]

    def read(self, scans: Path) -> list[Scan]:
        """Its volumes in order of acquisition."""
        place = scans / self.path
        if place.is_dir():
            return sorted(read_dicom(place), key=lambda s: int(s.source.hints.get("acquisition_number", "0")))
        modality, sequence = ("MR", "T2") if "mr" in self.name else ("CT", "CT")
        return [read_image(place, modality=modality, sequence=sequence)]


def visits(shared: Path) -> Iterator[Visit]:
    """Every visit whose phases are known."""
    scans = shared / "scans"
    for folder in sorted((scans / "train_ct").glob("sabs_*")):
        phase = Phase.NATIVE if folder.name in PLAIN else Phase.PORTAL_VENOUS
        yield Visit(folder.name, f"train_ct/{folder.name}/ct.nii.gz", (phase,))
    yield Visit("chaos_ct_03", "chaos_ct_03/dicom", (Phase.PORTAL_VENOUS,))
    yield Visit("crlm_1004", "crlm_1004/dicom", (Phase.PORTAL_VENOUS,))
    before = (Phase.NATIVE, Phase.LATE_ARTERIAL, Phase.PORTAL_VENOUS)
    yield Visit("hcc_007 before", "hcc_007/19971227", before)
    yield Visit("hcc_007 after", "hcc_007/19980314", (Phase.EARLY_ARTERIAL,))
    for folder in sorted(scans.glob("chaos_mr_*")):
        yield Visit(folder.name, f"{folder.name}/t2spir.nii.gz", (Phase.UNKNOWN,))


def verdict(known: Phase, found: Phase) -> str:
    """``right``, ``wrong``, or ``open`` where the answer is an honest unknown."""
    return "right" if found is known else "open" if found is Phase.UNKNOWN else "wrong"


def rows(visit: Visit, report: PhaseReport) -> Iterator[dict[str, str]]:
    """One row a series."""
    for n, (known, scan, reason) in enumerate(zip(visit.known, report.scans, report.reasons, strict=True), 1):
        yield {
            "series": f"{visit.name} {n}" if len(visit.known) > 1 else visit.name,
            "known": known.value,
            "found": scan.phase.value,
            "verdict": verdict(known, scan.phase),
            "reason": reason,
            "warnings": " | ".join(w for w in report.warnings if w.startswith(f"scan {n}")),
        }


def main() -> None:
    """Print the table and the count of each verdict, and write the table as CSV when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of visit names")
    parser.add_argument("--out", type=Path, help="CSV file of the table")
    chosen = parser.parse_args()
    shared = Path(os.environ.get("LIVERVOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    table: list[dict[str, str]] = []
    for visit in visits(shared):
        if chosen.only and not any(visit.name.startswith(word) for word in chosen.only):
            continue
        for row in rows(visit, recognise_phases(visit.read(shared / "scans"))):
            table.append(row)
            print(*(row[key] for key in COLUMNS[:5]), sep="  ", flush=True)
            if row["warnings"]:
                print("    shown:", row["warnings"])
    print(", ".join(f"{count} {kind}" for kind, count in sorted(Counter(row["verdict"] for row in table).items())))
    if chosen.out is not None:
        with chosen.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
