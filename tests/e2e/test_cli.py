"""The command line beside a running platform: each command, its JSON, and what it says when it can't."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.cli import main
from deploy.local.layout import SERVICES
from shared.kernel.grades import Level
from tests.support import warm
from tests.support.load import registry
from tests.support.platform import Platform, clean_environment, free_port_base, run_pingyi, until

InProcess = Callable[..., tuple[object, str, str]]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """The command line called in this process, ten times faster: exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["pingyi", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return call


def test_submit_gives_a_receipt_and_a_repeat_says_so(platform: Platform) -> None:
    unit = registry().by_level(Level.WINDOW)[10]
    arguments = ("submit", unit.unit_id, "4", "--client-ref", "cli-1", "--text", "很快")
    told = platform.pingyi(*arguments)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Accepted. Receipt ")
    answer = platform.pingyi_json(*arguments)
    assert answer["duplicate"]
    assert answer["receipt_code"] in told.stdout
    assert answer["event_id"] in told.stdout


def test_tokens_are_printed_used_once_and_told_apart(platform: Platform, tmp_path: Path) -> None:
    unit = registry().by_level(Level.WINDOW)[12].unit_id
    out = tmp_path / "codes"
    issued = platform.pingyi_json("tokens", "issue", "--unit", unit, "--count", "3", "--out", str(out))
    assert sorted(path.name for path in out.iterdir()) == [
        "00001.svg",
        "00002.svg",
        "00003.svg",
        "tokens.csv",
    ]
    first, second, _ = [row["token"] for row in issued["tokens"]]
    used = platform.pingyi_json("submit", unit, "5", "--channel", "qr", "--token", first)
    assert not used["duplicate"]
    states = [platform.pingyi_json("tokens", "state", token)["state"] for token in (first, second)]
    assert states == ["used", "valid"]
    again = platform.pingyi("submit", unit, "1", "--channel", "qr", "--token", first)
    assert (again.returncode, "a token that was used before" in again.stderr) == (1, True)
    full = platform.pingyi("tokens", "issue", "--unit", unit, "--out", str(out))
    assert (full.returncode, "an empty directory" in full.stderr) == (1, True)


def test_a_rating_is_corrected_held_released_excluded_reinstated_and_withdrawn(platform: Platform) -> None:
    unit = registry().by_level(Level.WINDOW)[11]
    rating = platform.pingyi_json("submit", unit.unit_id, "4")
    target = rating["event_id"]
    steps = [
        (
            "correct", "--reason", "mistyped", "--grade", "2", "--dimension", "service=1",
            "--decided-by", "county-clerk",
        ),
        ("quarantine", "--reason", "burst"),
        ("release", "--reason", "found_genuine"),
        ("exclude", "--reason", "malicious", "--decided-by", "county-clerk"),
        ("reinstate", "--reason", "new_evidence", "--decided-by", "province-reviewer"),
    ]  # fmt: skip
    states: list[str] = []
    for command, *options in steps:
        answer = platform.pingyi_json("feedback", command, target, *options, "--idempotency-key", command)
        if command in {"correct", "exclude"}:
            approve_and_wait(platform, answer["approval_id"])
            states.append(platform.pingyi_json("feedback", "state", target)["state"])
            continue
        assert answer["target_revision"] == len(states) + 1
        states.append(answer["state"])
    assert states == ["counted", "quarantined", "counted", "excluded", "counted"]
    again = platform.pingyi("feedback", "withdraw", rating["receipt_code"])
    assert again.stdout.startswith("Revision 6: the rating is withdrawn now. Event "), again.stderr
    shown = platform.pingyi("feedback", "state", target)
    assert shown.stdout == "withdrawn, revision 6. Open moves: none.\n"
    by = ("--decided-by", "county-clerk")
    refused = platform.pingyi("feedback", "exclude", target, "--reason", "untrue", *by)
    assert refused.returncode == 1
    assert "409" in refused.stderr
    assert "state: exclude for a rating that is withdrawn; expected no move at all" in refused.stderr


def approve_and_wait(platform: Platform, approval: str) -> None:
    """Let a second person agree, and wait until intake has carried it out."""
    refused = platform.pingyi("approvals", "approve", approval, "--by", "county-clerk")
    assert (refused.returncode, "another person" in refused.stderr) == (1, True), refused.stderr
    agreed = platform.pingyi("approvals", "approve", approval, "--by", "city-reviewer", "--level", "city")
    assert agreed.returncode == 0, agreed.stderr
    deadline = time.monotonic() + 60
    while platform.pingyi_json("approvals", "show", approval)["stage"] != "carried_out":
        assert time.monotonic() < deadline
    assert approval in platform.pingyi("approvals", "list", "--stage", "carried_out").stdout


def test_a_sub_grade_that_cannot_be_read_is_explained(in_process: InProcess) -> None:
    code, _, err = in_process(
        "feedback", "correct", "x", "--reason", "mistyped", "--dimension", "speed=1", "--decided-by", "clerk"
    )
    assert code == 2
    assert "speed=1" in err
    assert "service, efficiency" in err


@pytest.mark.parametrize(
    ("arguments", "found", "expected"),
    [
        (("U999999", "5"), "U999999", "registered unit"),
        (("U000112", "9"), "9", "grade"),
        (("U000112", "5", "--occurred-at", "2999-01-01T00:00:00Z"), "2999-01-01", "up to now"),
        (("U000112", "5", "--channel", "pigeon"), "pigeon", "channel"),
    ],
)
def test_submit_explains_bad_input_by_value_expectation_and_field(
    platform: Platform, in_process: InProcess, arguments: tuple[str, ...], found: str, expected: str
) -> None:
    code, out, err = in_process("submit", *arguments, "--data", str(platform.layout.data))
    assert (code, out) == (1, "")
    assert err.startswith("pingyi: 422 ")
    assert found in err
    assert expected in err


def test_rankings_shows_a_table_and_as_json_the_list(platform: Platform) -> None:
    answer = platform.pingyi_json("rankings", "--level", "window", "--kind", "marriage", "--window", "90")
    assert answer["list"] == "window.marriage.90"
    assert {"unit_id", "rank", "score", "n"} <= answer["items"][0].keys()
    assert len(answer["items"]) == 20
    shown = platform.pingyi("rankings", "--limit", "3")
    assert shown.returncode == 0, shown.stderr
    assert "名次" in shown.stdout
    assert shown.stdout.startswith("county.all.30 ")


def test_rankings_of_an_unknown_window_says_which_there_are(platform: Platform) -> None:
    refused = platform.pingyi("rankings", "--window", "31")
    assert refused.returncode == 1
    assert "31" in refused.stderr
    assert "365" in refused.stderr


def test_events_tail_prints_what_happens_and_stops_at_the_count(platform: Platform) -> None:
    unit = registry().by_level(Level.WINDOW)[11]
    subject = f"feedback.v1.submitted.{unit.city}.{unit.county}"
    command = [str(warm.PINGYI), "events", "tail", subject, "--count", "2", "--json"]
    with warm.start(
        [*command, "--data", str(platform.layout.data)],
        stdout=subprocess.PIPE, text=True, env=clean_environment(),
    ) as tail:  # fmt: skip
        numbers = iter(range(1_000))

        def told_enough() -> bool:
            # Repeated, since nothing says when the other process has subscribed.
            reference = f"cli-tail-{next(numbers)}"
            platform.pingyi_json("submit", unit.unit_id, "5", "--client-ref", reference)
            return tail.poll() is not None

        until(told_enough, timeout_s=60, what="two events are printed")
        assert tail.stdout is not None
        lines = tail.stdout.read().splitlines()
    assert tail.returncode == 0
    events = [json.loads(line) for line in lines]
    assert len(events) == 2
    assert all(event["data"]["unit_id"] == unit.unit_id for event in events)


def test_audit_verify_passes_and_names_the_head(platform: Platform) -> None:
    report = platform.pingyi_json("audit", "verify")
    assert report["ok"]
    assert report["findings"] == []
    told = platform.pingyi("audit", "verify")
    assert told.returncode == 0
    assert told.stdout.startswith("OK: ")


def test_recompute_finds_the_live_rankings_byte_for_byte(platform: Platform) -> None:
    # By a process of its own, with another order of sets than the copy's that published them.
    cold = run_pingyi("recompute", "--data", str(platform.layout.data), cold=True)
    assert cold.returncode == 0, cold.stdout
    platform.pingyi_json("recompute")


def test_status_shows_every_part_ready(platform: Platform) -> None:
    answer = platform.pingyi_json("status")
    assert answer["state"] == "ready"
    assert {part["name"] for part in answer["parts"]} == {*SERVICES, "nats", "mongod"}
    assert all(part["ready"] for part in answer["parts"])


def test_doctor_is_content_beside_the_running_platform(platform: Platform) -> None:
    findings = platform.pingyi_json("doctor")["checks"]
    assert {finding["check"] for finding in findings} >= {"ports", "disk speed", "clock"}
    assert not [finding for finding in findings if finding["level"] == "FAIL"]
    assert all(finding["remedy"] for finding in findings if finding["level"] != "OK")


def test_deadletter_list_of_a_healthy_platform_is_empty(platform: Platform) -> None:
    listed = platform.pingyi("deadletter", "list", "--json")
    assert (listed.returncode, listed.stdout) == (0, "")


def test_platform_is_found_by_its_ports_too(platform: Platform) -> None:
    found = run_pingyi("rankings", "--json", "--port-base", str(platform.layout.port_base))
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["list"] == "county.all.30"


@pytest.mark.parametrize(
    "command",
    [
        ("submit", "U000112", "5"),
        ("import", "ratings.csv"),
        ("feedback", "state", "01a1fba9-83e8-7020-9f45-1548d21dbe77"),
        ("rankings",),
        ("events", "tail"),
        ("audit", "verify"),
        ("recompute",),
        ("deadletter", "list"),
        ("status",),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_without_a_platform_each_command_says_how_to_name_one(
    tmp_path: Path, in_process: InProcess, command: tuple[str, ...]
) -> None:
    code, out, err = in_process(*command, "--data", str(tmp_path))
    assert (code, out) == (1, "")
    assert f"no platform runs on the data directory {tmp_path}" in err
    assert "pingyi up" in err


def test_ports_where_nobody_answers_are_named(tmp_path: Path) -> None:
    base = free_port_base()
    lost = run_pingyi("rankings", "--data", str(tmp_path), "--port-base", str(base))
    assert lost.returncode == 1
    assert f":{base + 2}" in lost.stderr
    assert "Traceback" not in lost.stderr


def test_a_running_platform_is_backed_up_and_not_restored_over(platform: Platform, tmp_path: Path) -> None:
    saved = tmp_path / "backup"
    answer = platform.pingyi_json("audit", "backup", str(saved))
    assert (answer["format"], answer["database"]) == (1, "pingyi")
    assert json.loads((saved / "manifest.json").read_text())["documents"] == answer["documents"]
    assert (saved / "secrets" / "mongo" / "root-password").stat().st_mode & 0o077 == 0
    again = platform.pingyi("audit", "backup", str(saved))
    assert again.returncode == 1
    assert "which is not empty" in again.stderr
    refused = platform.pingyi("audit", "restore", str(saved), "--replace")
    assert refused.returncode == 1
    assert "is in use by pid" in refused.stderr


def test_a_stream_that_is_archived_is_not_accepted(platform: Platform) -> None:
    refused = platform.pingyi("audit", "accept", "FEEDBACK", "--reason", "none", "--yes")
    assert refused.returncode == 1
    assert "expected a stream that is refused" in refused.stderr
