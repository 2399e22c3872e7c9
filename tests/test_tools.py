from __future__ import annotations

import sys

import pytest

from tools import need_tool, run_tool


def test_program_is_found_and_run() -> None:
    name = sys.executable.rsplit("/", 1)[-1]
    assert need_tool(name).is_file()
    assert run_tool(name, "-c", "print(6 * 7)").stdout == "42\n"


def test_absent_program_skips_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVERVOL_CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        need_tool("no-such-program")


def test_absent_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERVOL_CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        need_tool("no-such-program")
