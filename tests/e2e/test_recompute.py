"""Recomputing the past on a real platform: as it was, from each source, and as it would have been."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.broker import cli_connection, connection_as
from deploy.local.demo.settle import settled
from deploy.local.demo.signing import GOAL_S, OWN_LEAVES, read_delays
from deploy.local.feedback import read_feedback
from deploy.local.layout import Layout
from services.scoring.adapters.nats_ranking_store import read_all_lists
from services.scoring.domain.lists import SUPPRESSED
from shared.events import (
    CountedFields,
    Envelope,
    FeedbackExcluded,
    FeedbackSubmitted,
    parse_envelope,
    spec_for_data,
)
from shared.kernel.clock import SystemClock, business_day, rfc3339
from shared.messaging.streams import FEEDBACK
from shared.rules import load_packs
from shared.testing import builders
from tests.support.days import begin_within_one_day
from tests.support.load import Load, simulated
from tests.support.platform import Platform, run_pingyi, running_platform, until
from tests.support.warm import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SHIPPED = (ROOT / "shared/rules/packs/2026-01.toml").read_text(encoding="utf-8")
EXCLUDED = spec_for_data(FeedbackExcluded).subject_for()
CHECKED = ("city.all.30", "county.all.30", "window.all.30", "city.all.365")


@dataclass(frozen=True, slots=True)
class Past:
    """A platform under a pack that is not committed, with two moments that lie behind it.

    Attributes:
        packs: the folder with its rule pack.
        early: hashes of the published lists at the first moment, by key.
        early_at: that moment.
        early_position: position of FEEDBACK then.
        late: the same now.
        day: the business day of all that.
        published: how many lists are published, those that show nothing included.
        export: the archived feedback as JSON lines.
    """

    platform: Platform
    packs: Path
    early: dict[str, str]
    early_at: str
    early_position: int
    late: dict[str, str]
    day: str
    published: int
    export: Path

    def recompute(self, *arguments: str) -> Any:  # noqa: ANN401 - the command's JSON
        return self.platform.pingyi_json("recompute", "--rules-dir", str(self.packs), *arguments)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("recompute")
    packs = folder / "packs"
    packs.mkdir()
    (packs / "own.toml").write_text(other_pack("own", onsite=500), encoding="utf-8")
    begin_within_one_day()
    day = str(business_day(SystemClock().now()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RULES_PATH", str(packs))
        with running_platform(folder / "var") as platform:
            patch.delenv("RULES_PATH")  # the services have it; commands must be told
            position, early, _ = asyncio.run(play(platform, simulated(1800, days_ago=1).lines, 0))
            early_at = rfc3339(SystemClock().now())
            time.sleep(0.1)
            _, late, published = asyncio.run(play(platform, simulated(700, days_ago=2, seed=8).lines, 3))
            exported = platform.pingyi("audit", "export")
            assert exported.returncode == 0, exported.stderr
            export = folder / "feedback.ndjson"
            export.write_text(exported.stdout, encoding="utf-8")
            yield Past(platform, packs, early, early_at, position, late, day, published, export)


def other_pack(version: str, *, onsite: int) -> str:
    text = SHIPPED.replace('version = "2026-01"', f'version = "{version}"')
    assert "onsite = 400" in text
    return text.replace("onsite = 400", f"onsite = {onsite}")


async def play(platform: Platform, lines: Sequence[bytes], repeats: int) -> tuple[int, dict[str, str], int]:
    """Submit ratings, exclude one, repeat events; then position, hashes of what shows, number of lists."""
    await Load(lines).run(platform.url("intake"), platform.proofs)
    async with connection_as(platform.layout, "intake") as intake, cli_connection(platform.layout) as client:
        await exclude_one_and_repeat(intake, client, repeats)
        await settled(platform.layout, client)
        position = (await client.jetstream().stream_info(FEEDBACK)).state.last_seq
        live = await read_all_lists(client)
    shown = {key: each for key, each in live.items() if any(row.status != SUPPRESSED for row in each.rows)}
    assert shown.keys() >= set(CHECKED)
    return position, {key: each.hash for key, each in shown.items()}, len(live)


async def exclude_one_and_repeat(intake: Client, client: Client, repeats: int) -> None:
    stored = await read_feedback(client)
    submitted = parse_envelope(Envelope[FeedbackSubmitted], stored[-1].data)
    fields = submitted.data.model_dump(mode="json", exclude_none=True)
    counted = {
        name: value
        for name, value in fields.items()
        if name in CountedFields.model_fields  # what the two have in common
    }
    times = {"occurred_at": rfc3339(submitted.time), "received_at": rfc3339(submitted.receivedat)}
    excluded = builders.feedback_excluded(
        target_id=submitted.id, target_revision=1, target={**counted, **times}, city=submitted.data.city,
        county=submitted.data.county,
    )  # fmt: skip
    jetstream = intake.jetstream()
    envelope = builders.envelope_of(excluded, time=SystemClock().now())  # as intake does: when it decides
    await jetstream.publish(EXCLUDED, envelope.to_json())
    for message in stored[:repeats]:
        await jetstream.publish(message.subject, message.data)  # without an id: behind the broker's window


@pytest.fixture(params=["stream", "archive", "file"])
def source(request: pytest.FixtureRequest, past: Past) -> str:
    return str(past.export) if request.param == "file" else str(request.param)


def test_the_archive_knows_repeats_and_decisions(past: Past) -> None:
    entries = [json.loads(line) for line in past.export.read_text(encoding="utf-8").splitlines()]
    assert sum(entry["kind"] == "duplicate_of" for entry in entries) == 3
    assert sum(".excluded." in entry["subject"] for entry in entries) == 2


def test_the_rankings_of_an_earlier_time_come_out_byte_for_byte(past: Past, source: str) -> None:
    answer = past.recompute("--at", past.early_at, "--from", source)
    assert answer["ok"], answer["differing"]
    assert answer["equal"] == answer["lists"] == len(past.early)
    recomputed = {key: found["recomputed_hash"] for key, found in answer["records"].items()}
    assert recomputed == past.early
    assert recomputed != past.late
    assert all(found["position"] <= past.early_position for found in answer["records"].values())
    assert len(answer["without_record"]) == past.published - len(past.early)


def test_a_position_of_the_stream_names_the_same_moment(past: Past, source: str) -> None:
    answer = past.recompute("--at", f"seq:{past.early_position}", "--from", source, "--list", "city.all.30")
    assert answer["ok"]
    assert answer["records"]["city.all.30"]["recomputed_hash"] == past.early["city.all.30"]


def test_a_position_that_no_stream_has_come_to_is_refused_with_its_last(past: Past, source: str) -> None:
    where = "archive" if source == "archive" else "stream"
    for named, stream in (("seq:1000000", "FEEDBACK"), (f"seq:{past.early_position}/1000000", "CASES")):
        refused = past.platform.pingyi("recompute", "--at", named, "--from", source)
        assert (refused.returncode, refused.stdout) == (1, "")
        words = rf"Got '(\S+)', expected a sequence of {stream} up to (\d+), the last"
        found = re.search(words, refused.stderr)
        assert found is not None, refused.stderr
        assert found[1] == named
        assert f"the last in the {where}: name an earlier position or a time in --at" in refused.stderr
        assert stream == "CASES" or int(found[2]) > past.early_position


def test_the_end_of_the_day_is_what_was_published_last(past: Past, source: str) -> None:
    answer = past.recompute("--at", past.day, "--from", source)
    assert answer["ok"]
    assert {key: found["recomputed_hash"] for key, found in answer["records"].items()} == past.late


def test_what_is_published_now_is_recomputed_row_by_row_from_each_source(past: Past, source: str) -> None:
    answer = past.recompute("--from", source)
    assert answer["ok"], answer["differences"]
    assert answer["lists"] == past.published >= 60
    told = past.platform.pingyi("recompute", "--rules-dir", str(past.packs), "--from", source)
    assert told.returncode == 0
    assert told.stdout.startswith(f"OK: {past.published} lists recomputed from ")


def test_another_pack_shows_what_would_change_and_says_that_it_is_hypothetical(
    past: Past, source: str, tmp_path: Path
) -> None:
    other = tmp_path / "what-if.toml"
    other.write_text(other_pack("what-if", onsite=1000), encoding="utf-8")
    arguments = ("--at", past.early_at, "--rules", str(other), "--from", source, "--compare")
    answer = past.recompute(*arguments)
    assert answer["hypothetical"]
    assert answer["settings"] == [{"key": "weights_milli.onsite", "old": "500", "new": "1000"}]
    assert answer["position"] <= past.early_position
    by_key = {change["list"]: change for change in answer["lists"]}
    assert by_key["city.all.30"]["scores"] > 0
    assert by_key["city.all.30"]["priors"]
    assert by_key["county.all.30"]["ranks"] > 0
    told = past.platform.pingyi("recompute", "--rules-dir", str(past.packs), *arguments)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("假如（what if）")
    assert "weights_milli.onsite: 500 → 1000" in told.stdout
    assert "民政局  名次 " in told.stdout
    assert "先验 city.all：" in told.stdout


def test_the_same_pack_changes_nothing(past: Past) -> None:
    told = past.platform.pingyi(
        "recompute", "--rules-dir", str(past.packs), "--rules", str(past.packs / "own.toml")
    )
    assert told.returncode == 0, told.stderr
    assert "两份规则的内容相同" in told.stdout
    assert f"共 {past.published} 个榜单，其中 0 个有变化" in told.stdout


def test_a_ranking_under_an_unknown_pack_is_refused_by_its_hash(past: Past) -> None:
    refused = past.platform.pingyi("recompute", "--at", past.early_at)
    assert refused.returncode == 1
    (own,) = load_packs(past.packs)
    assert own.hash in refused.stderr
    assert load_packs()[0].hash in refused.stderr
    assert "--rules-dir" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_moment_before_the_first_ranking_is_refused(past: Past) -> None:
    refused = past.platform.pingyi("recompute", "--at", "2026-01-02", "--rules-dir", str(past.packs))
    assert refused.returncode == 1
    assert "Got '2026-01-02', expected a moment at or after the first published ranking" in refused.stderr


def test_a_file_and_a_pack_need_no_platform_and_give_the_published_bytes(past: Past, tmp_path: Path) -> None:
    arguments = (
        "recompute", "--from", str(past.export), "--rules", str(past.packs / "own.toml"),
        "--at", f"seq:{past.early_position}", "--data", str(tmp_path),
    )  # fmt: skip
    written = run_pingyi(*arguments, "--out", str(tmp_path / "lists"))
    assert written.returncode == 0, written.stderr
    for key, list_hash in past.early.items():
        content = (tmp_path / "lists" / f"{key}.json").read_bytes()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == list_hash
    shown = run_pingyi(*arguments, "--list", "city.all.30")
    assert shown.returncode == 0, shown.stderr
    assert "名次" in shown.stdout
    assert "新余市" in shown.stdout


def test_a_file_without_a_pack_says_what_a_platform_is_needed_for(past: Past, tmp_path: Path) -> None:
    refused = run_pingyi("recompute", "--from", str(past.export), "--data", str(tmp_path))
    assert refused.returncode == 1
    assert "a file holds events, not what was ranked then" in refused.stderr


def test_a_file_that_ends_too_early_is_refused(past: Past, tmp_path: Path) -> None:
    short = tmp_path / "short.ndjson"
    short.write_bytes(b"".join(past.export.read_bytes().splitlines(keepends=True)[:100]))
    refused = past.platform.pingyi(
        "recompute", "--at", past.early_at, "--from", str(short), "--rules-dir", str(past.packs)
    )
    assert refused.returncode == 1
    assert "which ends at sequence 100" in refused.stderr


def test_a_changed_grade_or_a_missing_beginning_shows_as_a_difference(past: Past, tmp_path: Path) -> None:
    lines = past.export.read_text(encoding="utf-8").splitlines(keepends=True)
    place = next(at for at, line in enumerate(lines) if '"grade":5' in line)
    changed = tmp_path / "changed.ndjson"
    changed.write_text(
        "".join([*lines[:place], lines[place].replace('"grade":5', '"grade":1'), *lines[place + 1 :]])
    )
    arguments = ("recompute", "--at", past.early_at, "--rules-dir", str(past.packs), "--from")
    told = past.platform.pingyi(*arguments, str(changed))
    assert told.returncode == 1
    assert told.stdout.startswith("NOT OK: ")
    assert f"city.all.30: published {past.early['city.all.30']} at position " in told.stdout
    changed.write_text("".join(lines[50:]))
    told = past.platform.pingyi(*arguments, str(changed))
    assert told.returncode == 1
    assert "The messages begin at sequence 51" in told.stdout


def test_records_that_the_stream_has_lost_come_from_the_archive(past: Past) -> None:
    asyncio.run(forget_rankings(past.platform.layout))
    answer = past.recompute("--at", past.early_at)
    assert answer["ok"], answer
    assert {key: found["recomputed_hash"] for key, found in answer["records"].items()} == past.early


async def forget_rankings(layout: Layout) -> None:
    """Let the stream RANKING begin behind its last message, as expiry does."""
    async with connection_as(layout, "provisioner") as client:
        await client.jetstream().purge_stream("RANKING")


def test_a_period_that_has_not_closed_is_said_to_be_so(past: Past) -> None:
    asked = past.platform.pingyi("recompute", "--closed", "2020Q1")
    assert asked.returncode != 0
    assert "2020Q1" in asked.stderr
    assert "none has closed yet" in asked.stderr.replace("\n", " ")


def test_what_was_accepted_is_under_a_signed_checkpoint_within_fifteen_seconds(past: Past) -> None:
    """A signing that does not keep up is late with ever more of them; on a slow machine a few are."""
    platform = past.platform
    archived = int(platform.get("archive", "/v1/head")["entries"])
    until(lambda: signed(platform) >= archived - OWN_LEAVES, timeout_s=60, what="all of it is signed")
    delays = read_delays(platform.layout)
    assert delays.checkpoints >= 5, "one a thousand leaves at least"
    assert delays.share_within(GOAL_S) >= 0.5, delays  # the demonstration says p99


def signed(platform: Platform) -> int:
    """Entries under the last checkpoint, as its note says."""
    return int(httpx.get(platform.url("archive", "/v1/log/checkpoint"), trust_env=False).text.split("\n")[1])
