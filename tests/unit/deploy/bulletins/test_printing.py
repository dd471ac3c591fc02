from pathlib import Path
from xml.etree import ElementTree as ET

import pypdfium2 as pdfium
import pytest

from deploy.local.bulletins import folder as kept
from deploy.local.bulletins.document import BulletinTextError, parse, plain, runs
from deploy.local.bulletins.folder import PDF, TEXT, render, require_publishable, write, write_draft
from deploy.local.bulletins.plots import plots_of
from deploy.local.bulletins.wording import draft
from deploy.local.errors import LocalError
from shared.kernel.errors import InvalidValueError
from tests.unit.deploy.bulletins.support import board, cases, figures, row

EVIL = '<script>alert("x")</script>&#[evil]*{{图:假}}** \\ $x$ @ref `raw` "引"\u202e\n+++'
LONG = "某某市某某区" * 30 + "婚姻登记处"


def finished(folder: Path) -> None:
    text = (folder / TEXT).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("【待补充")]
    (folder / TEXT).write_text("\n".join(lines), encoding="utf-8")


def pages_of(pdf: bytes) -> list[str]:
    document = pdfium.PdfDocument(pdf)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draft with markup in names and very long ones."""
    rows = (row(1, name=EVIL), row(2, name=LONG), *(row(number) for number in range(3, 10)))
    directory = tmp_path_factory.mktemp("bulletin")
    write_draft(directory, figures(boards=(board(rows=rows),), cases=cases()))
    write(directory, render(directory))
    return directory


def test_printing_twice_gives_the_same_bytes(drafted: Path) -> None:
    again = render(drafted)
    assert again.pdf == (drafted / PDF).read_bytes()
    assert again.html == (drafted / "bulletin.html").read_bytes()
    assert b"CreationDate" not in again.pdf


def test_the_pdf_says_in_chinese_what_the_text_says_on_numbered_pages(drafted: Path) -> None:
    pages = pages_of((drafted / PDF).read_bytes())
    text = "".join("".join(pages).split())
    for expected in ("民主评议工作简报", "2026年第10期", "南昌市民政局", "一、总体情况", "问题整改", "优秀"):
        assert expected in text
    assert [f"— {number} —" in page for number, page in enumerate(pages, 1)] == [True] * len(pages)
    assert "\ufffd" not in text
    assert "<script>alert" in text, "what others wrote is set as text"


def test_the_html_runs_nothing_that_others_wrote_and_needs_nothing_from_elsewhere(drafted: Path) -> None:
    html = (drafted / "bulletin.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in html
    assert "\u202e" not in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_plots_are_well_formed_and_keep_long_names_within_their_room() -> None:
    rows = (row(1, name=EVIL), row(2, name=LONG), row(3))
    for plot in plots_of(figures(boards=(board(rows=rows),))).values():
        root = ET.fromstring(plot.svg)  # noqa: S314 - our own
        assert root.tag.endswith("svg")
        assert (
            max((len(each.text or "") for each in root.iter() if each.tag.endswith("text")), default=0) < 60
        )


def test_only_a_finished_text_that_was_printed_as_it_is_can_be_published(tmp_path: Path) -> None:
    write_draft(tmp_path, figures())
    printed = render(tmp_path)
    write(tmp_path, printed)
    with pytest.raises(LocalError, match="待补充"):
        require_publishable(tmp_path, printed)
    finished(tmp_path)
    printed = render(tmp_path)
    with pytest.raises(LocalError, match="pingyi bulletin render"):
        require_publishable(tmp_path, printed)
    write(tmp_path, printed)
    require_publishable(tmp_path, printed)
    with (tmp_path / TEXT).open("a", encoding="utf-8") as text:
        text.write("\n\n联系电话13812345678。\n")
    printed = render(tmp_path)
    write(tmp_path, printed)
    with pytest.raises(LocalError, match="手机号"):
        require_publishable(tmp_path, printed)


def test_figures_that_were_changed_by_hand_are_not_printed(tmp_path: Path) -> None:
    write_draft(tmp_path, figures())
    path = tmp_path / "figures.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"ratings": 198', '"ratings": 1980', 1))
    with pytest.raises(LocalError, match="changed"):
        render(tmp_path)


def test_a_text_that_somebody_may_have_edited_is_not_written_over(tmp_path: Path) -> None:
    write_draft(tmp_path, figures())
    with pytest.raises(LocalError, match="--force"):
        write_draft(tmp_path, figures())
    write_draft(tmp_path, figures(), force=True)


def test_names_mean_nothing_in_the_text_and_come_out_as_they_went_in() -> None:
    for name in ("**粗**", "{{图:评价走势}}", "# 一", "> 二", "- 三", "a\\b", "+++"):
        line = plain(name)
        (block,) = parse(f"{draft(figures()).partition('> ')[0]}\n{line}\n").blocks
        assert (block.kind, "".join(run.text for run in block.lines[0])) == ("paragraph", name)
    assert runs("甲**乙**丙") == (("甲", False), ("乙", True), ("丙", False))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{{图 走势}}", "on a line of its own"),
        ("##一、", "blank"),
        ("{{表:没有}} 字", "on a line of its own"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, says: str) -> None:
    with pytest.raises(BulletinTextError, match=says):
        parse(f"{draft(figures())}\n{line}\n")


def test_a_table_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    write_draft(tmp_path, figures())
    with (tmp_path / TEXT).open("a", encoding="utf-8") as text:
        text.write("\n{{表:没有}}\n")
    with pytest.raises(InvalidValueError, match="总体情况"):
        render(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('issue = "', 'number = "', "number"),
        ('date = "2026', 'date = "昨天2026', "YYYY-MM-DD"),
        ("+++\n", "", "between two lines"),
        ('title = "', "title = ", "TOML"),
    ],
)
def test_settings_that_cannot_be_read_are_named(before: str, after: str, says: str) -> None:
    with pytest.raises(BulletinTextError, match=says):
        parse(draft(figures()).replace(before, after, 1))


def test_without_the_typesetter_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.bulletins.pdf.FONTS", "no_such_fonts")
    write_draft(tmp_path, figures())
    with pytest.raises(LocalError, match=r"pingyi\[bulletin\]"):
        kept.render(tmp_path)
