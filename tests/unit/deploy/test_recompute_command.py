"""``pingyi recompute`` without a platform: a file, a pack, and what it says when something is wrong."""

import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from deploy.local.cli import main
from services.scoring.application.recompute import recompute
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.rules import load_pack
from tests.unit.scoring.feedback import NOW, messages, random_feedback
from tests.unit.shared.rules.test_packs import SHIPPED, edited

UNITS = load_units()
EVENTS = random_feedback(UNITS.by_level(Level.WINDOW)[:20], 600, seed=4)
LISTS = recompute(messages(EVENTS), UNITS, load_pack(None, NOW.date()), NOW.date())

Pingyi = Callable[..., tuple[object, str, str]]


@pytest.fixture
def pingyi(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Pingyi:
    """The command in this process, where no platform runs; exit code, stdout, stderr."""
    for name in ("NATS_URL", "MONGODB_URL", "INTAKE_URL", "SCORING_URL", "NOTIFY_URL", "ARCHIVE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "140")  # names on one line

    def call(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["pingyi", "recompute", "--data", str(tmp_path), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"".join(event.payload + b"\n" for event in EVENTS))
    return path


@pytest.mark.parametrize("how", ["option", "loaded"])
def test_the_table_of_units_is_the_one_named_or_the_one_loaded_and_not_the_committed_one(
    pingyi: Pingyi, file: Path, tmp_path: Path, how: str
) -> None:
    other = tmp_path / "registry" / "units.csv"
    other.parent.mkdir()
    text = (resources.files("shared.kernel.data") / "units.csv").read_text(encoding="utf-8")
    name = UNITS.by_level(Level.CITY)[0].name
    assert text.count(f",{name},") == 1
    if how == "option":
        other = tmp_path / "mine.csv"
    other.write_text(text.replace(f",{name},", ",改名后的市民政局,"), encoding="utf-8")
    named = ("--units", str(other)) if how == "option" else ()
    code, out, err = pingyi("--from", str(file), "--rules", str(SHIPPED), "--json", *named)
    assert (code, err) == (0, "")
    lists = recompute(messages(EVENTS), load_units(other), load_pack(None, NOW.date()), NOW.date())
    assert json.loads(out)["lists"] == {key: found.hash for key, found in lists.items()}
    assert json.loads(out)["lists"] != {key: found.hash for key, found in LISTS.items()}


def test_all_lists_are_named_with_their_hashes_and_called_hypothetical(pingyi: Pingyi, file: Path) -> None:
    code, out, err = pingyi("--from", str(file), "--rules", str(SHIPPED))
    assert (code, err) == (0, "")
    assert "Hypothetical; nothing of this was ever published." in out.splitlines()[0]
    assert "位置 FEEDBACK 600，截至 2026-11-20（600 条评价）" in out
    for key, found in LISTS.items():
        assert f"  {key}  {len(found.rows)} units  {found.hash}" in out.splitlines()
    code, out, _ = pingyi("--from", str(file), "--rules", str(SHIPPED), "--json")
    answer = json.loads(out)
    assert (code, answer["hypothetical"]) == (0, True)
    assert answer["lists"] == {key: found.hash for key, found in LISTS.items()}


def test_one_list_is_shown_as_a_table_or_as_its_canonical_bytes(pingyi: Pingyi, file: Path) -> None:
    arguments = ("--from", str(file), "--rules", str(SHIPPED), "--list", "window.all.30")
    code, out, _ = pingyi(*arguments)
    assert code == 0
    first = LISTS["window.all.30"].rows[0]
    assert f"{first.score:.2f}" in out
    assert first.name in out
    code, out, _ = pingyi(*arguments, "--json")
    assert (code, out.encode()) == (0, LISTS["window.all.30"].canonical() + b"\n")


def test_lists_are_written_as_files_whose_digest_is_their_hash(
    pingyi: Pingyi, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "lists"
    code, told, _ = pingyi("--from", str(file), "--rules", str(SHIPPED), "--out", str(out))
    assert code == 0
    assert f"{len(LISTS)} lists written to {out}" in told
    digests = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}
    assert {key: f"sha256:{digest}" for key, digest in digests.items()} == {
        key: found.hash for key, found in LISTS.items()
    }
    code, _, _ = pingyi(
        "--from", str(file), "--rules", str(SHIPPED), "--out", str(out / "one"), "--list", "city.all.7"
    )
    assert (code, [path.name for path in (out / "one").iterdir()]) == (0, ["city.all.7.json"])


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (("--list", "window.marriages.30"), f"one of the {len(LISTS)} lists, such as window.marriage.30, "),
        (("--at", "noon"), "or seq:4711 in --at"),
        (("--at", "seq:601"), "Got 'seq:601', expected a sequence of FEEDBACK up to 600, the last in "),
        (("--at", "9998-12-31"), "Got '9998-12-31', expected a moment of the past; it is "),
        (("--compare",), "no platform runs on the data directory"),
    ],
)
def test_what_is_wrong_is_told_with_what_there_is(
    pingyi: Pingyi, file: Path, arguments: tuple[str, ...], finding: str
) -> None:
    code, out, err = pingyi("--from", str(file), "--rules", str(SHIPPED), *arguments)
    assert (code, out) == (1, "")
    assert finding in err


def test_a_wrong_pack_is_refused_with_all_of_its_problems(pingyi: Pingyi, file: Path, tmp_path: Path) -> None:
    pack = tmp_path / "x.toml"
    pack.write_text(edited("^onsite = 400", "onsite = 4000").replace("places = 10", "places = 0"))
    code, out, err = pingyi("--from", str(file), "--rules", str(pack))
    assert (code, out) == (1, "")
    assert "weights_milli.onsite: Got 4000" in err
    assert "alerts.rank_drop.places: Got 0" in err


def test_a_broken_line_ends_the_command_with_its_number(pingyi: Pingyi, file: Path) -> None:
    with file.open("ab") as grown:
        grown.write(b'{"specversion":\n')
    code, out, err = pingyi("--from", str(file), "--rules", str(SHIPPED))
    assert (code, out) == (1, "")
    assert f"{file}, line 601: Got '{{\"specversion\":'" in err


def test_a_file_alone_does_not_say_what_was_ranked(pingyi: Pingyi, file: Path) -> None:
    code, _, err = pingyi("--from", str(file), "--at", "2026-11-20")
    assert code == 1
    assert "with --rules FILE it is recomputed without one" in err
