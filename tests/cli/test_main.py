from __future__ import annotations

import subprocess
import sys

import pytest

from livervol.cli import VERBS, main


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert f"  {name}" in printed
        assert verb.help in printed


def test_no_words_is_help(capsys):
    assert main([]) == 0
    assert "usage: livervol VERB" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("livervol 0.")


def test_unknown_verb_is_refused_with_the_known_ones(capsys):
    assert main(["segment"]) == 2
    err = capsys.readouterr().err
    assert "'segment'" in err
    assert "run, measure" in err


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert f"livervol {verb}" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from livervol.cli import main; main(['--help']); "
        "print(sorted({'numpy', 'numba', 'SimpleITK', 'typer', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_missing_option_is_exit_2(capsys):
    assert main(["run", "somewhere"]) == 2
    assert "--out" in capsys.readouterr().err


def test_installed_command_returns_the_exit_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from livervol.cli import main; sys.exit(main())", "run",
         str(tmp_path / "none.nii.gz"), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
