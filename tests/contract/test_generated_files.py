"""Schemas, AsyncAPI and docs/events.md: up to date, and guarded against changes that break readers."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.events import EVENTS, EventSpec
from shared.events.catalogue import contract_name, producers_of, readers_of
from shared.events.generate import ROOT, SCHEMAS, main, rendered, stale_files
from tests.contract.contracts import committed_schema, each_event
from tests.npm_support import run_node

Schema = dict[str, Any]


@cache
def _rendered_once() -> dict[str, str]:
    return rendered()


def today() -> dict[str, str]:
    """What the models of today give, for tests that change a copy of it: they are the same all the time."""
    return dict(_rendered_once())


SUBMITTED = f"{SCHEMAS}/feedback.submitted.v1.json"


def test_generated_files_are_up_to_date() -> None:
    assert stale_files(ROOT, today()) == [], "run `make docs`"


def test_no_file_lies_among_the_schemas_that_nobody_generates() -> None:
    committed = {f"{SCHEMAS}/{path.name}" for path in (ROOT / SCHEMAS).iterdir()}
    assert committed == {name for name in today() if name.startswith(SCHEMAS)}


@each_event
@pytest.mark.parametrize("suffix", ["", ".envelope"])
def test_a_schema_is_itself_valid(spec: EventSpec, suffix: str) -> None:
    jsonschema.Draft202012Validator.check_schema(committed_schema(spec, suffix))


def test_the_page_has_a_section_for_every_event() -> None:
    page = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")][1:] == [
        spec.name for spec in EVENTS
    ]


def test_the_official_parser_accepts_the_asyncapi_document() -> None:
    done = run_node("validate_asyncapi.mjs", str(ROOT / "docs/asyncapi.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert [each for each in found["messages"] if each["severity"] == 0] == []
    assert found["channels"] == [spec.subject_for("{city}", "{county}", f"{{{spec.key}}}") for spec in EVENTS]
    assert set(found["operations"]) == {
        f"{service}.{action}.{contract_name(spec)}"
        for spec in EVENTS
        for action, names in (("send", producers_of(spec)), ("receive", readers_of(spec)))
        for service in names
    }


def test_the_official_parser_would_refuse_a_broken_document(tmp_path: Path) -> None:
    document = json.loads((ROOT / "docs/asyncapi.json").read_text(encoding="utf-8"))
    del document["channels"]["feedback.submitted.v1"]
    broken = tmp_path / "asyncapi.json"
    broken.write_text(json.dumps(document))
    assert run_node("validate_asyncapi.mjs", str(broken)).returncode == 1


def generate(root: Path, change: Callable[[Schema], object], *arguments: str) -> int:
    """Commit today's files under ``root``, change one model, run the generator. Returns its exit code."""
    assert main([], root=root, render=today) == 0
    files = today()
    schema = json.loads(files[SUBMITTED])
    change(schema)
    files[SUBMITTED] = json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
    return main(list(arguments), root=root, render=lambda: files)


def _rename(schema: Schema) -> None:
    schema["properties"]["score"] = schema["properties"].pop("grade")
    schema["required"] = ["score" if name == "grade" else name for name in schema["required"]]


def _require_new(schema: Schema) -> None:
    schema["properties"]["reason"] = {"type": "string"}
    schema["required"].append("reason")


BREAKS: dict[str, tuple[Callable[[Schema], object], str]] = {
    "a removed field": (lambda schema: schema["properties"].pop("kind"), "kind: was there"),
    "a renamed field": (_rename, "grade: was there"),
    "a new required field": (_require_new, "reason: was not there"),
    "an optional field made required": (lambda schema: schema["required"].append("kind"), "kind: was"),
    "a required field made optional": (lambda schema: schema["required"].remove("grade"), "grade: was"),
    "a changed type": (lambda schema: schema["properties"]["grade"].update(type="number"), "grade: had type"),
    "null no longer allowed": (
        lambda schema: schema["properties"].update(kind={"type": "string", "default": None}),
        "kind: had type",
    ),
    "a narrowed enum": (lambda schema: schema["$defs"]["Channel"]["enum"].remove("sms"), "channel: took"),
    "a narrowed range": (
        lambda schema: schema["properties"]["grade"].update(maximum=4),
        "grade: had maximum",
    ),
    "a raised minimum": (
        lambda schema: schema["properties"]["grade"].update(minimum=2),
        "grade: had minimum",
    ),
    "a changed pattern": (
        lambda schema: schema["properties"]["city"].update(pattern="^36"),
        "city: had pattern",
    ),
    "a shorter text": (
        lambda schema: schema["properties"]["unit_id"].update(maxLength=10),
        "unit_id: had maxLength",
    ),
    "a narrower nested field": (
        lambda schema: schema["$defs"]["SealedText"]["properties"]["record"].update(maxLength=8),
        "text.record: had maxLength",
    ),
    "another default": (
        lambda schema: schema["properties"]["has_contact"].update(default=True),
        "has_contact: meant",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_change_that_breaks_readers_makes_the_generator_fail_and_write_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, sentence = BREAKS[name]
    assert generate(tmp_path, change) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert "next major version" in told
    assert stale_files(tmp_path, today()) == [], "nothing was overwritten"


def test_a_changed_const_makes_the_generator_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], root=tmp_path, render=today) == 0
    files = today()
    name = f"{SCHEMAS}/feedback.submitted.v1.envelope.json"
    files[name] = files[name].replace("cn.pingyi.feedback.submitted.v1", "cn.pingyi.feedback.given.v1")
    assert main([], root=tmp_path, render=lambda: files) == 1
    assert "type: had const" in capsys.readouterr().err


def test_an_event_that_is_no_longer_registered_makes_the_generator_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], root=tmp_path, render=today) == 0
    files = {name: text for name, text in today().items() if "conflicted" not in name}
    assert main([], root=tmp_path, render=lambda: files) == 1
    assert "keep its EventSpec" in capsys.readouterr().err


ADDITIONS: dict[str, Callable[[Schema], object]] = {
    "a new optional field": lambda schema: schema["properties"].update(
        visit={"type": "string", "default": None}
    ),
    "a wider enum": lambda schema: schema["$defs"]["Channel"]["enum"].append("letter"),
    "a wider range": lambda schema: schema["properties"]["grade"].update(maximum=10),
    "a better description": lambda schema: schema["properties"]["grade"].update(description="Grade 等级."),
}


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_additive_change_is_written_and_until_then_reported_as_stale(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(tmp_path, ADDITIONS[name], "--check") == 1
    told = capsys.readouterr().err
    assert f"{SUBMITTED} (committed)" in told
    assert "run `make docs`" in told
    assert generate(tmp_path, ADDITIONS[name]) == 0
    assert (tmp_path / SUBMITTED).read_text(encoding="utf-8") != today()[SUBMITTED]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    assert main([], root=tmp_path) == 0
    assert main(["--check"], root=tmp_path) == 0, "it renders anew, and compares with what was written"
