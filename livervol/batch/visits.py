"""VISITS.csv: which visits there are and where their files lie, with every path kept inside one tree."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from livervol.errors import CriteriaError, LivervolError, ScanError, refusal
from livervol.files import check_readable
from livervol.io.csv_rows import quoted
from livervol.scan import Phase

__all__ = ["LIST_SUFFIX", "VisitRow", "VisitTable", "files_of", "read_visits", "signature_of"]

#: Columns that state a phase and that give a mask, as ``livervol run`` takes them. Written down again here, because the
#: workflows load compilers and image libraries, which the coordinator does without.
PHASE_COLUMNS = ("arterial", *(p.value for p in Phase))
MASK_COLUMNS = ("liver", "lesions", "viable", "segments", "vessels")
SIZE_COLUMNS = ("height_cm", "weight_kg", "sex")
#: Written by the discovery for a person to look at.
NOTE_COLUMNS = ("series", "images")
_KNOWN = {"patient", "visit", "date", "path", *PHASE_COLUMNS, *MASK_COLUMNS, *SIZE_COLUMNS, *NOTE_COLUMNS}

#: A path ending so is a text file of paths, one a line: a visit whose files lie among those of others.
LIST_SUFFIX = ".files"

_MOST_TABLE_BYTES = 64 << 20
_MOST_FILES = 100_000
_DATE = re.compile(r"(\d{4})(-\d{2}(-\d{2})?)?\Z")


@dataclass(frozen=True)
class VisitRow:
    """One row: ``words`` are (phase or empty, paths), ``masks`` (name, path), all relative to the table's root.

    A word has one path, or those of the files that a list named. ``size`` is height in cm, weight in kg and sex.
    """

    row: int
    subject: str
    visit: int
    date: str
    words: tuple[tuple[str, tuple[str, ...]], ...]
    masks: tuple[tuple[str, str], ...] = ()
    size: tuple[float | None, float | None, str] = (None, None, "")

    @property
    def place(self) -> str:
        """How messages name the visit: by row and number, never by patient."""
        return f"row {self.row}, visit {self.visit}"


@dataclass(frozen=True)
class VisitTable:
    """A checked table: its rows by patient and visit number, the folder no path may leave, and warnings."""

    root: Path
    rows: tuple[VisitRow, ...]
    warnings: tuple[str, ...] = ()


def read_visits(path: str | Path, root: str | Path | None = None) -> VisitTable:
    """Read VISITS.csv: ``patient,visit,date,path``, optional phase, mask and body-size columns; paths relative to it.

    ``root`` is the tree no path may leave (by default the table's folder). Raises ``CriteriaError`` for the first row
    that breaks the schema, names a place outside the tree, or repeats a visit or its files.
    """
    path = check_readable(path, max_bytes=_MOST_TABLE_BYTES)
    root = Path(root) if root is not None else path.parent
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        got = "other bytes" if isinstance(error, UnicodeDecodeError) else str(error)
        raise CriteriaError(
            refusal("table is not CSV", expected="comma-separated text", got=got, where=path.name)
        ) from error
    reader = _Reader(path, [name.strip() for name in (lines[0] if lines else [])])
    rows = [reader.row(n, cells) for n, cells in enumerate(lines[1:], 2) if any(cell.strip() for cell in cells)]
    if not rows:
        raise CriteriaError(refusal("table has no rows", expected="at least one visit", got="none", where=path.name))
    rows.sort(key=lambda r: (r.subject, r.visit))
    _check_order(rows, path.name)
    return VisitTable(root.resolve(), tuple(rows), tuple(reader.warnings))


class _Reader:
    def __init__(self, table: Path, names: list[str]) -> None:
        self.table, self.file, self.names = table, table.name, names
        self.visits: dict[object, int] = {}
        self.used: dict[object, int] = {}
        if len(names) == 1 and re.search(r"[;\t]", names[0]):
            raise self.refused(0, "columns are not separated by commas", "commas", "semicolons or tabs")
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise self.refused(0, "column listed twice", "each column once", ", ".join(twice), do="Delete one.")
        missing = [n for n in ("patient", "visit") if n not in names]
        if not {"path", "liver", *PHASE_COLUMNS} & set(names):
            missing.append("path")
        if missing:
            raise self.refused(0, "column missing", ", ".join(missing), quoted(", ".join(names)) or "nothing")
        unknown = [n for n in names if n not in _KNOWN]
        self.warnings: list[str] = (
            [f"unknown columns ignored: {quoted(', '.join(unknown))} ({self.file})"] if unknown else []
        )

    def refused(self, row: int, rule: str, expected: str, got: str, column: str = "", do: str = "") -> CriteriaError:
        where = f"{self.file}, {f'row {row}' if row else 'header'}" + (f", column {column}" if column else "")
        return CriteriaError(refusal(rule, expected=expected, got=got, where=where, do=do))

    def row(self, number: int, cells: Sequence[str]) -> VisitRow:
        if len(cells) != len(self.names):
            raise self.refused(
                number, "row has another number of fields than the header", str(len(self.names)), str(len(cells))
            )
        cell = dict(zip(self.names, (c.strip() for c in cells), strict=True))
        if not cell["patient"]:
            raise self.refused(number, "patient is empty", "a pseudonym", "nothing", "patient", "Fill the column.")
        if not re.fullmatch(r"\d{1,6}", cell["visit"]):
            raise self.refused(number, "visit is not a number", "a whole number", repr(cell["visit"]), "visit")
        date = cell.get("date", "")
        if date and not _DATE.match(date):
            raise self.refused(number, "date is not ISO", "YYYY-MM-DD", repr(date), "date", "Write 2024-03-05.")
        words = tuple(
            ("" if name == "path" else name, self.paths(number, name, cell[name]))
            for name in ("path", *PHASE_COLUMNS)
            if cell.get(name)
        )
        masks = tuple((name, self.inside(number, name, cell[name])) for name in MASK_COLUMNS if cell.get(name))
        if not words and "liver" not in dict(masks):
            raise self.refused(number, "visit has no files", "a path, a phase or a liver mask", "nothing", "path")
        row = VisitRow(number, cell["patient"], int(cell["visit"]), date, words, masks, self.size(number, cell))
        self.once(row)
        return row

    def once(self, row: VisitRow) -> None:
        for seen, key, rule in (
            (self.visits, (row.subject, row.visit), "visit listed twice"),
            (self.used, (*row.words, *row.masks), "files listed for two visits"),
        ):
            if key in seen:
                got = f"also row {seen[key]}"
                raise self.refused(row.row, rule, "each once", got, do="Delete one of the rows.")
            seen[key] = row.row

    def paths(self, row: int, column: str, text: str) -> tuple[str, ...]:
        """The cell's path, or those in the list beside the table that it names."""
        plain = self.inside(row, column, text)
        if not plain.endswith(LIST_SUFFIX):
            return (plain,)
        listing = check_readable(_guarded(self.table.parent.resolve(), self.table.parent / plain))
        try:
            lines = check_readable(listing, max_bytes=_MOST_TABLE_BYTES).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise self.refused(row, "list of files is not text", "UTF-8", "other bytes", column) from None
        found = tuple(self.inside(row, column, line.strip()) for line in lines if line.strip())
        if not 0 < len(found) <= _MOST_FILES:
            raise self.refused(row, "list of files", f"1 to {_MOST_FILES} paths", str(len(found)), column)
        return found

    def inside(self, row: int, column: str, text: str) -> str:
        """The cell as a path that does not leave the tree by its words; where links lead is looked at later."""
        plain = os.path.normpath(text)
        if any(ord(c) < 32 for c in text) or os.path.isabs(plain) or ":" in plain[:3] or plain.split(os.sep)[0] == "..":
            do = "Give the path relative to the table's folder, or name another tree with --root."
            raise self.refused(row, "path leaves the tree", "a relative path inside it", "another", column, do)
        return plain

    def size(self, row: int, cell: Mapping[str, str]) -> tuple[float | None, float | None, str]:
        numbers: list[float | None] = []
        for name in ("height_cm", "weight_kg"):
            try:
                numbers.append(float(cell[name]) if cell.get(name) else None)
            except ValueError:
                raise self.refused(row, "cell is not a number", "a number", repr(cell[name]), name) from None
        size = (numbers[0], numbers[1], cell.get("sex", ""))
        if any(size):
            from livervol.workflows.plan import patient_size

            try:
                patient_size(*size)
            except LivervolError as error:
                raise CriteriaError(f"{error} ({self.file}, row {row})") from None
        return size


def _check_order(rows: Sequence[VisitRow], file: str) -> None:
    last: VisitRow | None = None
    for row in rows:
        if last is not None and last.subject == row.subject and row.date and last.date:
            size = min(len(last.date), len(row.date))
            if row.date[:size] < last.date[:size]:
                raise CriteriaError(
                    refusal(
                        "visits are not in the order of their dates",
                        expected=f"visit {row.visit} on or after {last.date}",
                        got=row.date,
                        where=f"{file}, rows {last.row} and {row.row}",
                        do="Number the visits by date.",
                    )
                )
        if row.date:
            last = row
        elif last is not None and last.subject != row.subject:
            last = None


def _refused(rule: str, expected: str, got: str, where: str, do: str) -> ScanError:
    return ScanError(refusal(rule, expected=expected, got=got, where=where, do=do))


def _guarded(root: Path, path: Path) -> Path:
    """The path, if it exists and no link on the way leads out of the tree."""
    try:
        real = Path(os.path.realpath(path, strict=True))
    except OSError as error:
        raise _refused(
            "file cannot be reached", "a file or folder that may be read", error.strerror or "nothing", path.name,
            "Check the path and the permissions.",
        ) from None  # fmt: skip
    if not real.is_relative_to(root):
        raise _refused(
            "link leads out of the tree", "files inside the table's tree", "a link to elsewhere", path.name,
            "Copy the files into the tree, or name a tree that holds both with --root.",
        )  # fmt: skip
    return path


def files_of(root: Path, relative: Sequence[str]) -> list[tuple[str, Path]]:
    """(name within the visit, path) of every file under the paths of a word, sorted; links must stay in the tree.

    Raises ``ScanError`` for what is missing, unreadable, a link out of the tree, or more files than a visit has.
    """
    if len(relative) > 1:
        # numbered, because files from different folders may have equal names
        return [(f"{n:06d}", _guarded(root, root / each)) for n, each in enumerate(relative)]
    start = _guarded(root, root / relative[0])
    if not start.is_dir():
        return [("".join(start.suffixes[-2:]), start)]
    found: list[tuple[str, Path]] = []
    for path in _walk(root, start):
        found.append((path.relative_to(start).as_posix(), path))
        if len(found) > _MOST_FILES:
            raise _refused("too many files", f"at most {_MOST_FILES} a visit", "more", start.name, "Split the folder.")
    return sorted(found)


def _walk(root: Path, start: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise _refused(
            "folder cannot be searched", "a folder that may be read", error.strerror or "an error", start.name,
            "Ask for read permission.",
        )  # fmt: skip

    seen: set[str] = set()
    for folder, folders, names in os.walk(start, onerror=refuse, followlinks=True):
        real = str(Path(folder).resolve())
        if real in seen:  # a link may lead back up
            folders.clear()
            continue
        seen.add(real)
        for name in [*folders, *names]:
            if Path(folder, name).is_symlink():
                _guarded(root, Path(folder, name))
        yield from (Path(folder, name) for name in names if Path(folder, name).is_file())


def signature_of(files: Sequence[tuple[str, str, Path]]) -> tuple[str, int]:
    """A hash of names, sizes and times that tells unchanged files without reading them, and their bytes in all."""
    digest, total = hashlib.sha256(), 0
    for role, name, path in files:
        stat = path.stat()
        digest.update(f"{role}\0{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        total += stat.st_size
    return digest.hexdigest(), total
