"""Each service killed under load, repeats after a loss of memory, and the supervisor's own death."""

import json
import shutil
from pathlib import Path

import psutil
import pytest

from deploy.local.broker import cli_connection
from shared.messaging.streams import FEEDBACK
from tests.support.audit import assert_everything_adds_up
from tests.support.faults import killed_under_load
from tests.support.load import Load, simulated
from tests.support.platform import Platform, running_platform
from tests.support.processes import wait_until_gone

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

KILLS = {"intake": 2, "scoring": 2, "notify": 1, "archive": 1}


@pytest.mark.parametrize("service", KILLS)
async def test_service_killed_under_load_leaves_everything_balanced(
    own_platform: Platform, service: str
) -> None:
    plan = simulated(3_000, days_ago=1 + list(KILLS).index(service))
    load = await killed_under_load(own_platform, [service] * KILLS[service], plan.lines)
    assert service != "intake" or load.retries > 0, "no client noticed that intake was away"
    assert own_platform.record().children[service].restarts >= KILLS[service]
    assert len(load.promised) == plan.ratings
    await assert_everything_adds_up(own_platform)


async def test_repeated_batch_adds_nothing_even_when_intake_lost_its_memory(own_platform: Platform) -> None:
    lines = [line for line in simulated(400, days_ago=8).lines if b"demo-" in line]
    first = await killed_under_load(own_platform, [], lines)
    stored = await last_feedback(own_platform)

    again = await killed_under_load(own_platform, [], lines)
    assert again.promised == first.promised
    assert again.outcomes == {"duplicate": len(lines)}
    assert await last_feedback(own_platform) == stored

    pid = own_platform.kill("intake")
    shutil.rmtree(own_platform.layout.service_data("intake"), ignore_errors=True)
    own_platform.layout.service_data("intake").mkdir(exist_ok=True)
    own_platform.await_restart("intake", pid)
    forgetful = await killed_under_load(own_platform, [], lines)
    assert forgetful.promised == first.promised
    assert forgetful.outcomes == {"duplicate": len(lines)}
    assert await last_feedback(own_platform) == stored


async def test_same_reference_with_other_content_is_a_conflict_and_the_first_one_stands(
    own_platform: Platform,
) -> None:
    line = next(line for line in simulated(50, days_ago=9).lines if b"demo-" in line)
    await killed_under_load(own_platform, [], [line])
    body = json.loads(line)
    other = json.dumps({**body, "grade": 5 if body["grade"] != 5 else 1}).encode()
    refused = Load([other])
    await refused.run(own_platform.url("intake"))
    assert refused.outcomes == {"conflict": 1}
    assert not refused.promised


def test_killed_supervisor_takes_everything_along_and_its_data_is_taken_up(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with pytest.raises(SupervisorKilledError), running_platform(data) as first:  # noqa: PT012 - the block is the life of a platform
        receipt = first.pingyi_json("submit", "U000112", "5", "--client-ref", "before-the-crash")
        tree = first.tree()
        assert len(tree) == 1 + len(first.pids()) == 7
        first.supervisor.kill()
        first.supervisor.wait()
        wait_until_gone(tree, timeout_s=5)
        raise SupervisorKilledError
    assert (data / "platform.json").exists(), "a killed supervisor cannot clean up"
    with running_platform(data) as second:
        assert not [process for process in tree if psutil.pid_exists(process.pid) and process.is_running()]
        repeated = second.pingyi_json("submit", "U000112", "5", "--client-ref", "before-the-crash")
        assert repeated["event_id"] == receipt["event_id"]
        assert repeated["duplicate"]


class SupervisorKilledError(Exception):
    """Leaves the block of a platform that no longer runs."""


async def last_feedback(platform: Platform) -> int:
    async with cli_connection(platform.layout) as client:
        return (await client.jetstream(timeout=10).stream_info(FEEDBACK)).state.last_seq
