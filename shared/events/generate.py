"""``python -m shared.events.generate [--check]``: write, or compare, everything derived from the registry.

Writes the JSON Schemas (data and envelope of each event), ``docs/asyncapi.json`` and ``docs/events.md``.
A committed schema is never overwritten by a contract that breaks it: the remedy is a new major version.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.events.asyncapi import asyncapi_document
from shared.events.catalogue import contract_name, data_schema, envelope_schema
from shared.events.compatibility import breaking_changes
from shared.events.page import events_page
from shared.events.registry import EVENTS

ROOT = Path(__file__).parents[2]
SCHEMAS = "shared/events/schemas"
DIFF_LINES = 60


def rendered() -> dict[str, str]:
    """Every generated file: path from the repository's root → text. Pure, in a fixed order."""
    files = {}
    for spec in EVENTS:
        files[f"{SCHEMAS}/{contract_name(spec)}.json"] = _json(data_schema(spec))
        files[f"{SCHEMAS}/{contract_name(spec)}.envelope.json"] = _json(envelope_schema(spec))
    files["docs/asyncapi.json"] = _json(asyncapi_document())
    files["docs/events.md"] = events_page()
    return files


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def broken_contracts(root: Path, files: Mapping[str, str]) -> list[str]:
    """What ``files`` would break in the schemas committed under ``root``; one sentence each."""
    sentences = []
    for path in sorted((root / SCHEMAS).glob("*.json")):
        name = f"{SCHEMAS}/{path.name}"
        if name not in files:
            sentences.append(
                f"{path.name}: the event is no longer registered; keep its EventSpec: "
                "streams and archive hold such events for years."
            )
            continue
        committed = json.loads(path.read_text(encoding="utf-8"))
        changes = breaking_changes(committed, json.loads(files[name]))
        sentences += [f"{path.name}: {sentence}" for sentence in changes]
    return sentences


def stale_files(root: Path, files: Mapping[str, str]) -> list[str]:
    """A readable diff for each of ``files`` that differs from what is under ``root``."""
    diffs = []
    for name, text in files.items():
        path = root / name
        committed = path.read_text(encoding="utf-8") if path.is_file() else ""
        if committed == text:
            continue
        lines = list(
            difflib.unified_diff(
                committed.splitlines(),
                text.splitlines(),
                f"{name} (committed)",
                f"{name} (generated)",
                lineterm="",
            )
        )
        more = [f"… {len(lines) - DIFF_LINES} more lines"] if len(lines) > DIFF_LINES else []
        diffs.append("\n".join(lines[:DIFF_LINES] + more))
    return diffs


def main(
    arguments: Sequence[str] | None = None,
    *,
    root: Path = ROOT,
    render: Callable[[], dict[str, str]] = rendered,
) -> int:
    """Exit code 0 when everything is written, or up to date; 1 when something is stale or would break."""
    parser = argparse.ArgumentParser(prog="python -m shared.events.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    options = parser.parse_args(arguments)
    files = render()
    broken = broken_contracts(root, files)
    if broken:
        sys.stderr.write("\n  ".join(["Refused: the change is not additive.", *broken]) + "\n")
        return 1
    if options.check:
        stale = stale_files(root, files)
        if stale:
            sys.stderr.write(
                "\n".join([*stale, "", "Generated files are out of date: run `make docs`."]) + "\n"
            )
        return 1 if stale else 0
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(files)} files are up to date.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
