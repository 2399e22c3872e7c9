"""Every command and every piece of Python in README and the documentation is run, in order, in a scratch folder a page.

What cannot run says so in its title, which a reader of the page sees; how many there may be is fixed here.
"""

from __future__ import annotations

import re

import pytest

from doc_snippets import SETUP, blocks, commands, pages, prepare, run, unknown_words

#: Blocks that may be left out: window, cluster, archive, other people's weights, setting up a machine.
MOST_LEFT_OUT = 9
RUN = ("python", "bash", "console")
ALL = [block for page in pages() for block in blocks(page)]


def test_few_blocks_are_left_out_and_each_says_why():
    left_out = [block for block in ALL if block.left_out]
    assert len(left_out) <= MOST_LEFT_OUT, [f"{block}: {block.left_out}" for block in left_out]
    assert all(len(block.left_out.split()) >= 4 for block in left_out)


def test_most_blocks_run():
    assert len([block for block in ALL if block.language in RUN and not block.left_out]) >= 30


def test_no_block_hides_its_commands_behind_another_language():
    hidden = [
        str(block)
        for block in ALL
        if block.language not in (*RUN, "") and re.search(r"^(\$ )?livervol [a-z]+ .*--\w", block.text, re.M)
    ]
    assert [name for name in hidden if not name.startswith("docs/reference/")] == []


@pytest.mark.parametrize("block", [b for b in ALL if b.language in ("bash", "console", "")], ids=str)
def test_verbs_and_options_exist(block):
    for command in commands(block):
        if command.startswith("livervol "):
            assert unknown_words(command) == [], command


def test_an_option_that_does_not_exist_is_noticed():
    assert unknown_words("livervol run my_scans --colour red") == ["--colour"]
    assert unknown_words("livervol paint my_scans") == ["paint"]
    assert unknown_words("livervol export nifti visit --seg x.dcm") == ["--seg"]


def page_runs(page):
    return any(block.language in RUN and not block.left_out for block in blocks(page))


@pytest.mark.parametrize("page", [p for p in pages() if page_runs(p)], ids=lambda path: path.stem)
def test_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    prepare(page, tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks(page):
        if not block.left_out:
            run(block, tmp_path, names)


def test_a_block_that_fails_is_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = next(p for p in pages() if p.stem == "tutorial")
    block = next(b for b in blocks(page) if b.language == "bash" and "plan" in b.text)
    with pytest.raises(AssertionError, match="plan"):
        run(block, tmp_path, {})


def test_setup_commands_are_only_those_that_need_a_machine():
    words = {command.split()[0] for block in ALL if block.language in RUN[1:] for command in commands(block)}
    assert words <= {*SETUP, "livervol", "ls", "head", "cut", "sbatch", "python"}
