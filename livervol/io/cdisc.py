"""CDISC datasets as files: CSV, SAS transport (XPT version 5) and Dataset-JSON 1.1, written and read.

XPT needs pyreadstat and Dataset-JSON odmlib, both in ``pip install "livervol[trial]"``.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from livervol.errors import CriteriaError, LivervolError, refusal
from livervol.files import atomic_folder, check_readable
from livervol.io.csv_rows import csv_rows, quoted

__all__ = ["FORMATS", "Dataset", "Variable", "find_dataset", "read_rows", "write_datasets"]

Cell = str | float | None
#: Format to file suffix, in the order in which a reader prefers them.
FORMATS = {"csv": ".csv", "dataset-json": ".json", "xpt": ".xpt"}
#: Limits of SAS transport files, version 5.
_XPT_NAME, _XPT_LABEL, _XPT_TEXT = 8, 40, 200


@dataclass(frozen=True)
class Variable:
    """A column of a dataset: its name (at most 8 characters), its label (at most 40), text or number."""

    name: str
    label: str
    kind: Literal["text", "number"] = "text"
    display_format: str = ""


@dataclass(frozen=True)
class Dataset:
    """A dataset: name, label, variables and rows in the variables' order; None is missing."""

    name: str
    label: str
    variables: tuple[Variable, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, name: str, label: str, variables: Sequence[Variable], rows: Iterable[Mapping[str, Cell]]) -> Dataset:
        """From rows as mappings; a name that is absent is missing, empty variables are left out."""
        found = list(rows)
        used = [v for v in variables if any(row.get(v.name) not in (None, "") for row in found)]
        return cls(name, label, tuple(used), tuple(tuple(row.get(v.name) for v in used) for row in found))


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise LivervolError(
            refusal(
                f"the package {name.partition('.')[0]} is not installed",
                expected="it for this format",
                got="none",
                do='Run: pip install "livervol[trial]"',
            )
        ) from error


def write_datasets(
    datasets: Sequence[Dataset], folder: str | Path, fmt: str, *, overwrite: bool = False, study: str = "", created: str
) -> Path:
    """Write one file per dataset into a new folder, all or none; empty datasets are left out.

    ``fmt`` is csv, xpt or dataset-json; ``created`` is the ISO date and time Dataset-JSON asks for. Raises
    ``LivervolError`` for an unknown format, a missing package, or text that a transport file cannot hold.
    """
    if fmt not in FORMATS:
        raise LivervolError(refusal("dataset format", expected=", ".join(FORMATS), got=repr(fmt)))
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        for dataset in datasets:
            if not dataset.rows:
                continue
            path = temporary / f"{dataset.name.lower()}{FORMATS[fmt]}"
            if fmt == "csv":
                _write_csv(dataset, path)
            elif fmt == "xpt":
                _write_xpt(dataset, path)
            else:
                _write_json(dataset, path, study, created)
    return Path(folder)


def _write_csv(dataset: Dataset, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow([v.name for v in dataset.variables])
        out.writerows([["" if cell is None else _printed(cell) for cell in row] for row in dataset.rows])


def _printed(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell
    return str(int(cell)) if float(cell).is_integer() else repr(float(cell))


def _write_xpt(dataset: Dataset, path: Path) -> None:
    pyreadstat = _package("pyreadstat")
    pandas = import_module("pandas")
    columns = {}
    for n, variable in enumerate(dataset.variables):
        cells = [row[n] for row in dataset.rows]
        if len(variable.name) > _XPT_NAME or len(variable.label) > _XPT_LABEL:
            expected = f"a name of {_XPT_NAME} and a label of {_XPT_LABEL} characters at most"
            raise LivervolError(refusal("variable does not fit XPT", expected=expected, got=variable.name))
        if variable.kind == "number":
            columns[variable.name] = pandas.Series(
                [math.nan if c is None else float(c) for c in cells], dtype="float64"
            )
            continue
        texts = ["" if c is None else str(c) for c in cells]
        for row, text in enumerate(texts, start=1):
            if not text.isascii() or len(text) > _XPT_TEXT:
                raise LivervolError(
                    refusal(
                        "text does not fit XPT",
                        expected=f"at most {_XPT_TEXT} ASCII characters",
                        got="other characters" if not text.isascii() else f"{len(text)} characters",
                        where=f"{dataset.name}, row {row}, variable {variable.name}",
                        do="Use csv or dataset-json.",
                    )
                )
        columns[variable.name] = pandas.Series(texts, dtype="object")
    frame = pandas.DataFrame(columns)
    formats = {v.name: v.display_format for v in dataset.variables if v.display_format}
    pyreadstat.write_xport(
        frame,
        str(path),
        file_label=dataset.label[:_XPT_LABEL],
        column_labels=[v.label for v in dataset.variables],
        table_name=dataset.name,
        file_format_version=5,
        variable_format=formats or None,
    )


def _write_json(dataset: Dataset, path: Path, study: str, created: str) -> None:
    model = _package("odmlib.dataset_json_1_1.model")
    columns = []
    for n, variable in enumerate(dataset.variables):
        extra: dict[str, Any] = {"displayFormat": variable.display_format} if variable.display_format else {}
        if variable.kind == "text":
            extra["length"] = max([1, *(len(str(row[n])) for row in dataset.rows if row[n] is not None)])
        kind = "string" if variable.kind == "text" else "float"
        oid = f"IT.{dataset.name}.{variable.name}"
        columns.append(model.Column(itemOID=oid, name=variable.name, label=variable.label, dataType=kind, **extra))
    document = model.DatasetJSON(
        datasetJSONCreationDateTime=created,
        datasetJSONVersion="1.1.0",
        originator="livervol",
        studyOID=f"STUDY.{study or 'UNNAMED'}",
        itemGroupOID=f"IG.{dataset.name}",
        records=len(dataset.rows),
        name=dataset.name,
        label=dataset.label,
        columns=columns,
    )
    document.rows = [list(row) for row in dataset.rows]
    path.write_text(document.to_json(indent=1) + "\n", encoding="utf-8")


def find_dataset(folder: str | Path, prefix: str) -> Path | None:
    """The file in ``folder`` whose name starts with ``prefix``, in any format; None without one.

    The same name in several formats is one dataset, read as CSV before Dataset-JSON before XPT; different names are
    refused.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CriteriaError(refusal("SDTM folder not found", expected="a folder", got="none", where=str(folder)))
    order = list(FORMATS.values())
    found = sorted(
        (path for path in folder.iterdir() if path.name.lower().startswith(prefix) and path.suffix.lower() in order),
        key=lambda path: (order.index(path.suffix.lower()), path.name),
    )
    if len({path.stem.lower() for path in found}) > 1:
        names = ", ".join(path.name for path in found)
        raise CriteriaError(
            refusal(f"several datasets start with {prefix}", expected="one", got=names, do="Keep the one to read.")
        )
    return found[0] if found else None


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """A dataset's rows as text by upper-case variable name; missing cells are empty, whole numbers without a point."""
    path = check_readable(path)
    suffix = path.suffix.lower()
    readers = {".csv": _read_csv, ".json": _read_json, ".xpt": _read_xpt}
    if suffix not in readers:
        raise CriteriaError(
            refusal("dataset format", expected=", ".join(readers), got=suffix or "none", where=path.name)
        )
    names, rows = readers[suffix](path)
    upper = [name.strip().upper() for name in names]
    return [dict(zip(upper, map(_text, row), strict=True)) for row in rows]


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _broken(path: Path, expected: str, got: str) -> CriteriaError:
    return CriteriaError(refusal("dataset cannot be read", expected=expected, got=quoted(got), where=path.name))


def _read_csv(path: Path) -> tuple[list[str], list[Sequence[Any]]]:
    header, lines = csv_rows(path)
    rows: list[Sequence[Any]] = []
    for number, cells in lines:
        if cells and len(cells) != len(header):
            raise _broken(path, f"{len(header)} fields in row {number}", str(len(cells)))
        if cells:
            rows.append(cells)
    return header, rows


def _read_json(path: Path) -> tuple[list[str], list[Sequence[Any]]]:
    model = _package("odmlib.dataset_json_1_1.model")
    try:
        document = model.DatasetJSON.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _broken(path, "Dataset-JSON 1.1", type(error).__name__) from error
    names, rows = document.column_names, document.rows or []
    if any(len(row) != len(names) for row in rows):
        raise _broken(path, f"{len(names)} values in every row", "another number")
    return list(names), rows


def _read_xpt(path: Path) -> tuple[list[str], list[Sequence[Any]]]:
    pyreadstat = _package("pyreadstat")
    try:
        columns, _ = pyreadstat.read_xport(str(path), output_format="dict", disable_datetime_conversion=True)
    except pyreadstat.ReadstatError as error:
        raise _broken(path, "a SAS transport file", str(error)) from error
    return list(columns), [tuple(row) for row in zip(*(list(c) for c in columns.values()), strict=True)]
