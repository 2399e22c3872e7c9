"""The study's ledger: one SQLite file of subjects, visits, runs, numbers, responses, journal heads and sign-offs."""

from livervol.ledger.audit import Finding, RepairReport, check, repair
from livervol.ledger.courses import courses
from livervol.ledger.export import export_tables
from livervol.ledger.rows import LesionEntry, Number, RunRecord, SignOff
from livervol.ledger.store import Ledger, open_ledger

__all__ = [
    "Finding",
    "Ledger",
    "LesionEntry",
    "Number",
    "RepairReport",
    "RunRecord",
    "SignOff",
    "check",
    "courses",
    "export_tables",
    "open_ledger",
    "repair",
]
