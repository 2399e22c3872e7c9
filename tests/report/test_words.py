"""The catalogue: both languages say the same things; what other rooms write is said in Chinese too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import livervol
from livervol.errors import LivervolError
from livervol.report.words import LANGUAGES, catalogue, words_of

HOLE = re.compile(r"\{(\w+)\}")
ROOT = Path(livervol.__file__).parent


def test_both_languages_have_the_same_keys():
    assert set(catalogue("en")) == set(catalogue("zh"))
    assert set(LANGUAGES) == {"en", "zh"}


def test_both_languages_have_the_same_placeholders():
    english, chinese = catalogue("en"), catalogue("zh")
    assert [key for key in english if set(HOLE.findall(english[key])) != set(HOLE.findall(chinese[key]))] == []
    assert [key for key in english if not (english[key].strip() and chinese[key].strip())] == []


def test_every_key_the_code_and_the_templates_name_is_there():
    known = catalogue("en")
    sources = [*(ROOT / "report").glob("*.py"), *(ROOT / "report" / "templates").glob("*")]
    named = {
        key for path in sources for key in re.findall(r'\bw\(\s*"([a-z_.0-9A-Z]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(named) > 100
    assert named <= set(known)


def test_terms_of_the_trial_are_the_accepted_ones():
    # mRECIST and FLR as Chinese guidelines word them
    zh = catalogue("zh")
    assert zh["category.CR"].startswith("完全缓解")
    assert zh["category.PR"].startswith("部分缓解")
    assert zh["category.SD"].startswith("疾病稳定")
    assert zh["category.PD"].startswith("疾病进展")
    assert zh["phase.late_arterial"] == "动脉晚期"
    assert zh["phase.portal_venous"] == "门静脉期"
    assert "未来肝残余" in zh["flr.title"]


@pytest.mark.parametrize(
    ("language", "iso", "shown"),
    [
        ("en", "2024-03-04", "4 Mar 2024"), ("zh", "2024-03-04", "2024年3月4日"), ("en", "2024-03", "Mar 2024"),
        ("zh", "2024-03", "2024年3月"), ("en", "2024", "2024"), ("zh", "2024", "2024年"), ("en", "", ""),
        ("en", "<b>", "<b>"), ("zh", "2024-13", "2024-13"),
    ],
)  # fmt: skip
def test_dates(language, iso, shown):
    assert words_of(language).date(iso) == shown


def test_numbers():
    w = words_of("en")
    assert w.number(1603.76, 0, "ml") == "1,604\u00a0ml"
    assert w.number(-36.6, 0, "%") == "−37\u00a0%"
    assert w.number(-0.04, 1) == "0.0"
    assert w.number(None) == w.number(float("nan")) == w.number("12") == "–"
    assert [w.signed(v) for v in (20.4, -20.4, 0.2)] == ["+20\u00a0%", "−20\u00a0%", "0\u00a0%"]
    assert w.span([1, 2.25]) == "1.0 to 2.2"
    assert w.span(None) == w.span([1]) == w.span([None, 1]) == ""


def test_placeholders_are_filled_with_text_as_it_is():
    assert words_of("en")("course.title", subject="{date} \\1") == "Course of {date} \\1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("liver touches the last slice: it may be cut off and its volume too small", "肝脏触及末层图像"),
        ("visit 2: Vessels: portal vein: unclear (confidence 0.50); check the tree.",
         "第 2 次检查：血管：门静脉：不清晰（可信度 0.50）"),
        ("scan 1: taken as native by the header alone: named in the series description; the image alone did not tell: "
         "the organs fit no phase (aorta 48, portal vein 85 HU)", "主动脉 48、门静脉 85 HU"),
        ("visit 3: mrecist overall.pd_target: target PD, non-target none, new lesion yes -> PD",
         "靶病灶 疾病进展（PD），非靶病灶 无，新病灶 有"),
        ("visit 2: mrecist target.pr: the sum has shrunk from baseline by the limit (sum 40 mm <= baseline 80 -30 %)",
         "总和 40 mm <= 基线 80 -30 %"),
        ("visit 2: new lesion 5 is equivocal and to be confirmed: 9.7 mm, below 10 mm",
         "第 2 次检查：新病灶 5 可疑，待确认：9.7 mm，小于 10 mm"),
        ("not assessed: portal_inflow, biliary_drainage", "未评估：门静脉入肝血流、胆汁引流"),
        ("FLR 34.2 %, at least 35 % asked, interval 30.7 to 37.6 %; borderline: a second reading is advised",
         "临界：建议复核"),
    ],
)  # fmt: skip
def test_sentences_of_other_rooms_in_chinese(text, shown):
    said = words_of("zh").sentence(text)
    assert not said.foreign
    assert shown in said.text


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "visit 2: something new", "not assessed: a word nobody knows", "", "{n}", "("]
)
def test_an_unknown_sentence_stays_whole_and_is_marked_english(text):
    said = words_of("zh").sentence(text)
    assert (said.text, said.language, said.foreign) == (text, "en", True)
    assert words_of("en").sentence(text).text == text


def test_sentences_match_what_the_program_writes():
    """Every English sentence that is one literal still stands in the source it comes from."""
    text = "".join(
        path.read_text(encoding="utf-8")
        for room in ("segment", "measure", "response", "workflows", "align", "endpoints")
        for path in [*(ROOT / room).rglob("*.py"), *(ROOT / room).rglob("*.toml")]
    )
    # literals broken over lines are joined as Python joins them
    joined = re.sub(r'"\s*\n\s*f?"', "", text)
    gone = [
        value
        for key, value in catalogue("en").items()
        if key.startswith("sentences.") and "{" not in value and not key.startswith(("sentences.e_", "sentences.m_"))
        and value.rstrip(".") not in joined and key not in BUILT
    ]  # fmt: skip
    assert gone == []


#: Sentences whose parts are put together where they are written.
BUILT = {
    "sentences.liver_first", "sentences.liver_last", "sentences.liver_both", "sentences.convention",
    "sentences.convention_axial", "sentences.early_accepted", "sentences.no_arterial_short", "sentences.not_subtracted",
    "sentences.figures_english", "sentences.vein_one", "sentences.vessels_mr", "sentences.given",
    "sentences.baseline_sum",
}  # fmt: skip


def test_another_language_is_refused():
    with pytest.raises(LivervolError, match="en or zh"):
        words_of("de")
