from __future__ import annotations

import csv
import json

import pytest

from livervol.errors import ScanError
from livervol.io.tables import lesion_entry, measurements_csv, nested_values, read_document, write_measurements
from livervol.records import Interval, Lesion, Line, Measurement

LIVER = (
    Measurement("liver.volume_ml", 1417.5, "ml", method="voxel sum", of="liver"),
    Measurement("segments.5.volume_ml", 201.25, "ml", of="segment 5"),
    Measurement("tumor.necrosis_percent", None, "%", reason="no arterial phase"),
    Measurement(
        "remnant.left_hepatectomy.flr_of_functional_percent",
        36.1,
        "%",
        interval=Interval(31.0, 41.5),
        method="TLV - TV",
    ),
)
LESION = Lesion(
    2,
    measurements=(
        Measurement("longest_mm", 31.4, "mm", line=Line((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 17)),
        Measurement("viable_longest_mm", 12.5, "mm", line=Line((1.5, 2.0, 3.0), (4.0, 5.5, 6.0), 18)),
        Measurement("volume_ml", 16.0, "ml"),
    ),
    attributes={"site_segment": "5"},
)


def test_names_become_nested_keys():
    tree = nested_values(LIVER)
    assert tree["liver"] == {"volume_ml": 1417.5}
    assert tree["segments"]["5"]["volume_ml"] == 201.25
    assert tree["tumor"] == {"necrosis_percent": None, "necrosis_percent_reason": "no arterial phase"}
    assert tree["remnant"]["left_hepatectomy"]["flr_of_functional_percent_interval"] == [31.0, 41.5]


def test_lesion_entry_says_where_each_length_lies():
    entry = lesion_entry(LESION)
    assert entry["number"] == 2
    assert entry["site"] == "liver"
    assert entry["site_segment"] == "5"
    assert entry["plane_index"] == 17
    assert entry["endpoints_lps_mm"] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert entry["viable_plane_index"] == 18
    assert entry["viable_endpoints_lps_mm"] == [[1.5, 2.0, 3.0], [4.0, 5.5, 6.0]]
    assert entry["volume_ml"] == 16.0


def test_csv_has_one_row_per_number():
    rows = list(csv.DictReader(measurements_csv(LIVER, [LESION]).splitlines()))
    assert len(rows) == 7
    assert rows[0] == {
        "structure": "liver", "number": "", "name": "volume_ml", "value": "1417.5",
        "unit": "ml", "lower": "", "upper": "", "method": "voxel sum",
    }  # fmt: skip
    assert (rows[1]["structure"], rows[1]["number"], rows[1]["name"]) == ("segments", "5", "volume_ml")
    assert (rows[2]["value"], rows[2]["method"]) == ("", "absent: no arterial phase")
    assert (rows[3]["lower"], rows[3]["upper"]) == ("31.0", "41.5")
    assert (rows[4]["structure"], rows[4]["number"], rows[4]["name"]) == ("lesion", "2", "longest_mm")


def test_csv_keeps_every_digit():
    row = next(csv.DictReader(measurements_csv([Measurement("liver.volume_ml", 0.1 + 0.2, "ml")], []).splitlines()))
    assert float(row["value"]) == 0.1 + 0.2


def test_written_files_read_back_and_are_not_overwritten(tmp_path):
    document = {"schema_version": 1, **nested_values(LIVER), "lesions": [lesion_entry(LESION)]}
    written, table = write_measurements(tmp_path, document, LIVER, [LESION])
    assert json.loads(written.read_text(encoding="utf-8")) == document
    assert table.read_text(encoding="utf-8").startswith("structure,number,name")
    with pytest.raises(ValueError, match="already exists"):
        write_measurements(tmp_path, document, LIVER, [LESION])


def test_documents_are_read_and_what_is_none_is_refused_by_name(tmp_path):
    path = tmp_path / "measurements.json"
    assert read_document(path) == {}
    with pytest.raises(ScanError, match=r"measurements\.json is unreadable: .*no such file"):
        read_document(path, needed=True)
    path.write_text('{"liver": {"volume_ml": 1417.5}}')
    assert read_document(path) == {"liver": {"volume_ml": 1417.5}}
    for text in ("[1, 2", "[]", "7", "", "[" * 100_000, b"\xff\xfe"):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ScanError, match=r"measurements\.json is unreadable"):
            read_document(path)
