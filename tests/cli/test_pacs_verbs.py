"""``livervol pull``, ``push`` and ``deidentify`` as a user meets them."""

from __future__ import annotations

import json
import sys

import pytest

from archives import Misbehaviour, bad_archive
from dicom_factory import HOSTILE, write_series
from livervol.cli import main


@pytest.fixture
def archive(tmp_path, monkeypatch):
    files = write_series(tmp_path / "held")
    wrong = Misbehaviour()
    with bad_archive(files, wrong) as settings:
        monkeypatch.setenv("LIVERVOL_PACS_HOST", settings.host)
        monkeypatch.setenv("LIVERVOL_PACS_PORT", str(settings.port))
        monkeypatch.setenv("LIVERVOL_PACS_CALLED", settings.called)
        monkeypatch.setenv("LIVERVOL_PACS_PAUSE_S", "0.01")
        monkeypatch.setenv("LIVERVOL_PACS_RETRIES", "1")
        yield wrong


def test_pull(archive, tmp_path, capfd):
    out = tmp_path / "visit"
    assert main(["pull", "--patient", "SECRET-4711", "--date", "2024-02-29", "--out", str(out)]) == 0
    told = capfd.readouterr()
    assert "7 instances" in told.out
    assert "1 series (CT)" in told.out
    assert not any(word in told.out + told.err for word in HOSTILE)
    assert len(list(out.rglob("*.dcm"))) == 7


def test_push(archive, tmp_path, capfd):
    assert main(["push", str(tmp_path / "held")]) == 0
    assert "7 instances confirmed (7 CT)" in capfd.readouterr().out
    assert len(archive.stored) == 7


def test_a_failed_pull_is_one_sentence_and_no_folder(archive, tmp_path, capfd):
    archive.hide = 1
    assert main(["pull", "--patient", "SECRET-4711", "--out", str(tmp_path / "visit")]) == 2
    told = capfd.readouterr()
    assert len(told.err.strip().splitlines()) == 1
    assert "transfer is incomplete: expected 7 instances" in told.err
    assert not any(word in told.err for word in HOSTILE)
    assert {p.name for p in tmp_path.iterdir()} == {"held"}


@pytest.mark.parametrize("missing", ["pynetdicom", "dicomweb_client.web"])
def test_without_the_network_packages(missing, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, missing, None)
    address = {
        "pynetdicom": {"HOST": "127.0.0.1", "PORT": "104"},
        "dicomweb_client.web": {"URL": "https://x.example/y"},
    }
    for name, value in address[missing].items():
        monkeypatch.setenv(f"LIVERVOL_PACS_{name}", value)
    assert main(["pull", "--patient", "A", "--out", str(tmp_path / "visit")]) == 2
    assert 'pip install "livervol[dicomnet]"' in capfd.readouterr().err


def test_deidentify(tmp_path, capfd):
    write_series(tmp_path / "in")
    words = ["deidentify", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--pseudonym", "P-001"]
    assert main([*words, "--key", str(tmp_path / "key"), "--report", str(tmp_path / "report.json")]) == 0
    told = capfd.readouterr()
    assert "7 files in 1 series" in told.out
    assert "emptied: PatientBirthDate 7" in told.out
    assert json.loads((tmp_path / "report.json").read_text())["replaced"]["PatientID"] == 7
    assert not any(word in told.out + told.err + (tmp_path / "report.json").read_text() for word in HOSTILE)
    assert main([*words, "--key", str(tmp_path / "key")]) == 2
    assert "output already exists" in capfd.readouterr().err


def test_deidentify_refuses_in_one_sentence(tmp_path, capfd):
    write_series(tmp_path / "in")
    words = ["deidentify", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--pseudonym", "SECRET-4711"]
    assert main([*words, "--key", str(tmp_path / "key")]) == 2
    told = capfd.readouterr().err
    assert "pseudonym tells the patient" in told
    assert not any(word in told for word in HOSTILE)
    assert not (tmp_path / "out").exists()
