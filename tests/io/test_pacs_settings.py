"""Where an archive's settings come from, and how little of them is ever shown."""

from __future__ import annotations

import pytest

from livervol.errors import LivervolError
from livervol.io.pacs_settings import ArchiveSettings, load_settings

SECRET = "hunter2-4711"
FILE = f"""
[hospital]
url = "https://pacs.example/dicom-web"
user = "reader"
password = "{SECRET}"

[trial]
host = "10.0.0.7"
port = 11112
called = "TRIAL"
tls = true
timeout_s = 5
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pacs.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


def test_a_table_of_the_file(file):
    found = load_settings(file, "trial", {})
    assert (found.host, found.port, found.called, found.tls, found.timeout_s) == ("10.0.0.7", 11112, "TRIAL", True, 5)
    assert (
        load_settings(None, "", {"LIVERVOL_PACS_FILE": str(file), "LIVERVOL_PACS_ARCHIVE": "hospital"}).user == "reader"
    )


def test_the_environment_wins(file):
    found = load_settings(file, "hospital", {"LIVERVOL_PACS_USER": "other", "LIVERVOL_PACS_TIMEOUT_S": "7.5"})
    assert (found.user, found.password, found.timeout_s) == ("other", SECRET, 7.5)


def test_the_environment_alone():
    found = load_settings(None, "", {"LIVERVOL_PACS_HOST": "h", "LIVERVOL_PACS_PORT": "104", "LIVERVOL_PACS_TLS": "1"})
    assert (found.host, found.port, found.tls, found.label) == ("h", 104, True, "ANY-SCP at h:104")


def test_secrets_are_not_shown(file):
    found = load_settings(file, "hospital", {})
    assert SECRET not in repr(found)
    assert SECRET not in found.label


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o777])
def test_a_file_others_can_read_is_refused(file, mode):
    file.chmod(mode)
    with pytest.raises(
        LivervolError, match=rf"settings file is open to others: expected mode 0600, got mode {mode:04o}"
    ):
        load_settings(file, "trial", {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no toml at all [", "settings file is not TOML"),
        ('url = "https://x"', r"archive is not in the settings"),
        ("", "archive is not in the settings"),
        ('[a]\nurl = "https://x"\n[b]\nurl = "https://y"', "expected one table .*, got a, b"),
        ('[a]\nurl = "https://x"\ncolour = 1', "setting is not known: .*got colour"),
        ('[a]\nhost = "x"\nport = "104"', "setting port has the wrong type: expected int, got str"),
        ('[a]\nhost = "x"\nport = true', "setting port has the wrong type: expected int, got bool"),
        ('[a]\nhost = "x"\nport = 70000', "port is not a port"),
        ('[a]\nhost = "x"\nport = 104\nurl = "https://x"', "archive has no address"),
        ('[a]\ncalled = "X"', "archive has no address"),
        ('[a]\nhost = "x"\nport = 104\ncalled = "A TITLE THAT IS LONG"', "AE title 'called' is not valid"),
        ('[a]\nurl = "ftp://x/y"', "url is not valid: .*scheme ftp"),
        ('[a]\nurl = "https://me:hunter2-4711@x/y"', "url holds a name or password"),
        (
            '[a]\nurl = "http://pacs.example/x"\nuser = "u"\npassword = "hunter2-4711"',
            "password would travel unprotected",
        ),
        ('[a]\nurl = "https://x"\npassword = "hunter2-4711"\ntoken = "t"', "two ways to log in"),
        ('[a]\nurl = "https://x"\nretries = 99', "out of range"),
        ('[a]\nurl = "https://x"\npause_s = -1.0', "out of range"),
    ],
)
def test_refusals(file, text, sentence):
    file.write_text(text)
    with pytest.raises(LivervolError, match=sentence) as caught:
        load_settings(file, "", {})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("PORT", "many"), ("TLS", "perhaps"), ("TIMEOUT_S", "long")])
def test_environment_values_are_checked(name, value):
    with pytest.raises(LivervolError, match=f"LIVERVOL_PACS_{name} is not valid") as caught:
        load_settings(None, "", {"LIVERVOL_PACS_HOST": "h", f"LIVERVOL_PACS_{name}": value})
    assert value not in str(caught.value)


def test_without_any_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(LivervolError, match=r"no archive is known: .*docs/pacs\.md"):
        load_settings(None, "", {})


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(LivervolError, match="input file not found"):
        load_settings(tmp_path / "absent.toml", "", {})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8042/x", "http://localhost/x", "https://pacs.example/x"])
def test_a_password_may_travel_on_this_machine_or_encrypted(url):
    assert ArchiveSettings(url=url, user="u", password=SECRET).url == url
