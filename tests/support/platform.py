"""The whole platform as a user runs it: ``pingyi up`` as a process, found by its ``platform.json``.

Two flavours, as with servers. ``platform`` is started once per pytest process and shared by all tests that
leave its processes alone. ``own_platform`` is for tests that kill things: the tests of one module share it,
so that the checks of each also cover what the ones before it did, but a failed test takes it away.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from deploy.local.broker import connection_as
from deploy.local.demo.receiver import WebhookReceiver
from deploy.local.embedded.ports import is_free
from deploy.local.layout import Layout
from deploy.local.platform_file import PlatformRecord, has_ended, read_running
from deploy.local.wallet import Wallet
from tests.support import warm
from tests.support.processes import wait_until_gone
from tests.support.redelivery import redeliver_sooner
from tests.support.warm import PINGYI, ROOT

T = TypeVar("T")

START_TIMEOUT_S = 180.0
STOP_LIMIT_S = 20.0
"""Twice the supervisor's own limits, which tests of it hold to less than ten: what takes longer has none."""
RESTART_TIMEOUT_S = 120.0
CLI_TIMEOUT_S = 180.0
POLL_S = 0.05
CHECKPOINT_EVERY_S = "2"
"""Instead of 10: tests wait for what they did to be signed."""
START_ATTEMPTS = 3
"""A free port may be taken by a parallel worker before our servers listen on it; then others are tried."""
FIRST_BASE, LAST_BASE, BASE_STEP = 12_000, 32_000, 40
"""Below the range from which Linux gives ports to clients."""
_ADDRESSES = ("NATS_URL", "MONGODB_URL", "INTAKE_URL", "SCORING_URL", "NOTIFY_URL", "ARCHIVE_URL")


def free_port_base() -> int:
    """A ``--port-base`` whose ports are free now; random, since parallel workers look at the same time."""
    bases = list(range(FIRST_BASE, LAST_BASE, BASE_STEP))
    random.SystemRandom().shuffle(bases)
    return next(base for base in bases if all(map(is_free, Layout(Path(), base).ports())))


def until(met: Callable[[], T | None], *, timeout_s: float, what: str) -> T:
    """Poll ``met`` until it gives something other than None or False, and return that.

    Connection errors count as "not yet": processes are killed and restarted in these tests.
    """
    deadline_s = time.monotonic() + timeout_s
    last: object = None
    while True:
        try:
            last = answer = met()
            if answer is not None and answer is not False:
                return answer
        except httpx.TransportError as error:
            last = error
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}; last seen {last!r}"
        time.sleep(POLL_S)


def run_pingyi(
    *arguments: str,
    timeout_s: float = CLI_TIMEOUT_S,
    environment: Mapping[str, str] = MappingProxyType({}),
    cold: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Run ``pingyi`` to its end, without addresses of another platform; ``cold``: as a person does."""
    return warm.run(
        [str(PINGYI), *arguments],
        cwd=ROOT,
        env=clean_environment(**environment),
        timeout_s=timeout_s,
        cold=cold,
    )


def clean_environment(**more: str) -> dict[str, str]:
    """Our environment without addresses of another platform, with ``more``."""
    return {name: value for name, value in os.environ.items() if name not in _ADDRESSES} | more


@dataclass
class Platform:
    """One running platform.

    Attributes:
        layout: where everything of it is.
        supervisor: the ``pingyi up`` process, leader of its own process group.
        webhooks: a real receiver of its alerts.
        announced: the line of JSON that it printed when it was ready, as text.
        started_s: seconds from start to that line.
        went: processes of this platform that were seen, to check that none stays.
        promised: grade by event id of everything that intake accepted from tests; kept by ``support.faults``.
        poisoned: messages in FEEDBACK that tests put there and that are no events.
        environment: variables that its processes have beside ours.
        cold: its processes, and commands beside it, are executed and no copies (``tests.support.warm``).
    """

    layout: Layout
    supervisor: "subprocess.Popen[bytes]"
    webhooks: WebhookReceiver
    announced: str
    started_s: float
    went: set[psutil.Process] = field(default_factory=set)
    promised: dict[str, int] = field(default_factory=dict)
    poisoned: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    cold: bool = False

    def record(self) -> PlatformRecord:
        """What ``platform.json`` says now."""
        record = read_running(self.layout.platform_file)
        assert record is not None, f"no live platform.json; the supervisor's log ends:\n{self.log_tail()}"
        return record

    def pid(self, name: str) -> int:
        """Process id of a child: a service, ``nats`` or ``mongod``."""
        pid = self.record().children[name].pid
        assert pid is not None
        return pid

    def pids(self) -> dict[str, int]:
        """Process ids of all children."""
        return {name: child.pid for name, child in self.record().children.items() if child.pid is not None}

    def tree(self) -> set[psutil.Process]:
        """The supervisor and everything below it, as the system sees it; remembered for the end."""
        root = psutil.Process(self.supervisor.pid)
        found = {root, *root.children(recursive=True)}
        self.went |= found
        return found

    def kill(self, name: str) -> int:
        """SIGKILL a child and return the process id that it had."""
        self.tree()
        pid = self.pid(name)
        psutil.Process(pid).kill()
        return pid

    def await_restart(self, name: str, old_pid: int) -> None:
        """Wait until the supervisor runs ``name`` anew and, if it is a service, it is ready."""

        def restarted() -> bool:
            pid = self.record().children[name].pid
            return pid not in {None, old_pid} and psutil.pid_exists(pid or 0) and self.is_ready(name)

        until(restarted, timeout_s=RESTART_TIMEOUT_S, what=f"{name} is back after SIGKILL")

    def is_ready(self, name: str) -> bool:
        """Whether a child can do its work; of mongod only whether it runs."""
        if name == "mongod":
            return True
        url = f"{self.layout.nats_monitor_url}/healthz" if name == "nats" else f"{self.url(name)}/readyz"
        answer = httpx.get(url, timeout=5, trust_env=False)
        # Intake is ready without the broker, too; who looks into the stream wants its spool drained.
        return answer.is_success and (name != "intake" or answer.json()["status"] == "ok")

    def await_ready(self) -> None:
        """Wait until every service and the broker are ready."""
        for name in ("nats", *self.record().services):
            until(lambda name=name: self.is_ready(name), timeout_s=RESTART_TIMEOUT_S, what=f"{name} is ready")  # type: ignore[misc]  # the default binds the loop's variable

    @property
    def proofs(self) -> Wallet:
        """For a client's ``auth``: what lies beside the platform."""
        return Wallet.of(self.layout)

    def url(self, service: str, path: str = "") -> str:
        """Address of a service's HTTP interface."""
        return self.layout.service_url(service) + path

    def get(self, service: str, path: str, **params: str | int) -> Any:  # noqa: ANN401 - whatever JSON it gives
        """JSON answer of a service; fails the test on any error status."""
        answer = httpx.get(
            self.url(service, path), params=params, timeout=60, trust_env=False, auth=self.proofs
        )
        assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text}"
        return answer.json()

    def pingyi(self, *arguments: str, timeout_s: float = CLI_TIMEOUT_S) -> "subprocess.CompletedProcess[str]":
        """Run ``pingyi`` beside this platform."""
        return run_pingyi(
            *arguments,
            "--data",
            str(self.layout.data),
            timeout_s=timeout_s,
            environment=self.environment,
            cold=self.cold,
        )

    def pingyi_json(self, *arguments: str, timeout_s: float = CLI_TIMEOUT_S) -> Any:  # noqa: ANN401 - whatever JSON it prints
        """The same with ``--json``; must succeed; the parsed output."""
        done = self.pingyi(*arguments, "--json", timeout_s=timeout_s)
        assert done.returncode == 0, f"{arguments}: code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    @property
    def saved_checkpoint(self) -> Path:
        """Where an auditor of this platform keeps the last checkpoint; it may not exist yet."""
        return self.layout.data.with_name(f"{self.layout.data.name}.checkpoint")

    def log_tail(self, name: str = "supervisor", lines: int = 30) -> str:
        """The end of a log, for messages."""
        path = self.layout.log(name)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, signum: signal.Signals = signal.SIGINT) -> float:
        """Stop it as Ctrl-C does, check that it obeys in time and leaves nothing, and return the seconds."""
        if self.supervisor.poll() is None:
            self.tree()
            began_s = time.monotonic()
            os.killpg(self.supervisor.pid, signum)
            try:
                code = self.supervisor.wait(2 * STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.supervisor.kill()
                self.supervisor.wait()
                raise
            took_s = time.monotonic() - began_s
            assert code == 0, f"ended with code {code}:\n{self.log_tail()}"
        else:
            took_s = 0.0
        wait_until_gone((each for each in self.went if not has_ended(each)), timeout_s=10)
        assert took_s <= STOP_LIMIT_S, f"the stop took {took_s:.1f} s"
        return took_s


@contextmanager
def running_platform(
    data: Path,
    *arguments: str,
    webhooks: WebhookReceiver | None = None,
    cold: bool = False,
    **environment: str,
) -> Iterator[Platform]:
    """``pingyi up`` on ``data`` and free ports, ready; stopped with all checks when the block ends well.

    ``cold`` is for tests of what the processes themselves are: see ``Platform``.
    """
    with ExitStack() as stack:
        inbox = webhooks or stack.enter_context(WebhookReceiver(data / "secrets" / "webhook.key"))
        platform = _start(data, inbox, arguments, environment, cold=cold)
        try:
            yield platform
        except BaseException:
            platform.supervisor.kill()  # the kernel ends its children; the first failure is the one to see
            platform.supervisor.wait()
            raise
        platform.stop()


def _start(
    data: Path,
    inbox: WebhookReceiver,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    cold: bool,
) -> Platform:
    for attempt in range(START_ATTEMPTS):
        layout = Layout(data.resolve(), free_port_base())
        said, told = data.with_name(f"{data.name}.out"), data.with_name(f"{data.name}.err")
        began_s = time.monotonic()
        with said.open("wb") as stdout, told.open("wb") as stderr:
            command = [str(PINGYI), "up", "--data", str(data), "--port-base", str(layout.port_base)]
            supervisor = warm.start(
                [*command, "--json", *arguments],
                cold=cold,
                stdout=stdout,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=clean_environment(
                    WEBHOOK_URL=inbox.url,
                    ALLOW_LOOPBACK="true",
                    CHECKPOINT_EVERY_S=CHECKPOINT_EVERY_S,
                    **environment,
                ),
                start_new_session=True,
            )
        try:
            _until_announced(supervisor, said, began_s)
        except TimeoutError:
            supervisor.kill()
            supervisor.wait()
            pytest.fail(f"not ready within {START_TIMEOUT_S:g} s:\n{told.read_text(encoding='utf-8')}")
        if supervisor.poll() is None:
            seconds = time.monotonic() - began_s
            platform = Platform(
                layout,
                supervisor,
                inbox,
                said.read_text(encoding="utf-8"),
                seconds,
                environment=environment,
                cold=cold,
            )
            platform.tree()
            return platform
        message = told.read_text(encoding="utf-8")
        if "port" not in message or attempt == START_ATTEMPTS - 1:
            pytest.fail(f"`pingyi up` ended with code {supervisor.returncode}:\n{message}")
    raise AssertionError  # not reached: the last attempt returns or fails


def _until_announced(supervisor: "subprocess.Popen[bytes]", said: Path, began_s: float) -> None:
    while supervisor.poll() is None and not said.read_bytes().endswith(b"\n"):
        if time.monotonic() - began_s > START_TIMEOUT_S:
            raise TimeoutError
        time.sleep(POLL_S)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The process-wide platform with whatever other tests left in it; don't kill any part of it."""
    with running_platform(tmp_path_factory.mktemp("platform") / "var") as running:
        yield running


@dataclass
class _Pool:
    make: Callable[[], Path]
    stack: ExitStack = field(default_factory=ExitStack)
    running: Platform | None = None

    def take(self) -> Platform:
        if self.running is None:
            self.running = self.stack.enter_context(running_platform(self.make()))
            hasten(self.running)
        return self.running

    def discard(self) -> None:
        if self.running is not None:
            self.running.supervisor.kill()
            self.running.supervisor.wait()
            self.running = None


def hasten(platform: Platform) -> None:
    """Let what a killed reader had been given come again after seconds."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_hastened(platform.layout))


async def _hastened(layout: Layout) -> None:
    async with connection_as(layout, "provisioner") as client:
        await redeliver_sooner(client)


@pytest.fixture(scope="module")
def _own_platforms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Pool]:
    pool = _Pool(lambda: tmp_path_factory.mktemp("own-platform") / "var")
    with pool.stack:
        yield pool


@pytest.fixture
def own_platform(_own_platforms: _Pool, request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A platform of this module: kill any part of it. The next test gets a new one only after a failure."""
    failed_before = request.session.testsfailed
    yield _own_platforms.take()
    if request.session.testsfailed > failed_before:
        _own_platforms.discard()
