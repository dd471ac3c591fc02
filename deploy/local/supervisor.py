"""Starts the platform's children, keeps them running, and stops them in order.

Servers and services start at the same moment: loading a service's code takes longer than starting a server,
which services wait for by themselves. The one-shot provisioner follows as soon as the servers are ready. At
the end the services are stopped before the servers. A child that dies is started again after a
growing delay; one that keeps failing ends the whole platform with an error, because a platform that limps
without anybody noticing is worse than one that is down. Nothing here knows which children there are.
"""

import asyncio
import contextlib
import http.client
import json
import os
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from deploy.local.embedded.logs import tail
from deploy.local.embedded.process import ChildProcess
from deploy.local.errors import GaveUpError, LocalError, StopRequestedError
from deploy.local.restart import RestartHistory, RestartPolicy
from shared.observability.health import RENEWED

T = TypeVar("T")

POLL_S = 0.1
"""How often a child's end, or a start's readiness, is looked for."""

PROBE_S = 2.0
"""How long one question for readiness may take."""


class Server(Protocol):
    """A server that the platform needs: ``NatsServer``, ``MongoServer``, or a stand-in in a test."""

    @property
    def pid(self) -> int | None:
        """Process id of the last start."""

    @property
    def log(self) -> Path:
        """Its log file."""

    @property
    def returncode(self) -> int | None:
        """Exit code of the last run."""

    def start(self) -> None:
        """Start and block until ready."""

    def stop(self, timeout_s: float) -> None:
        """Stop in order, kill after ``timeout_s``."""

    def kill(self) -> None:
        """Kill at once."""

    def is_alive(self) -> bool:
        """Whether the process runs."""

    def healthy(self) -> bool:
        """Whether it can do its work; only asked where ``ServerSpec.heal`` is set."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server, and whether it is restarted when it runs but is not healthy.

    ``heal`` is for nats-server, whose JetStream stays off after a full disk until it is started again. A
    mongod that does not answer is merely busy and would lose its time with a restart.
    ``settle`` is called when it is ready, after each start, and after provisioning.
    """

    name: str
    server: Server
    heal: bool = False
    settle: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to run: a service, or the provisioner."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    """Added to our own environment."""
    log: Path
    nice: int = 0
    """How far it stands back when the machine is busy, once it is ready: 0 not at all, 19 most."""
    ready_url: str | None = None
    """Answers 200 when the process can work; None: ready as soon as it runs."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Bounds of the supervisor, in seconds; the three of the stop add up to less than ten."""

    ready_s: float = 60.0
    """How long a service may take to get ready without any progress to be seen in its readiness."""
    provision_s: float = 60.0
    drain_s: float = 5.5
    server_stop_s: float = 3.0
    health_interval_s: float = 3.0
    unhealthy_checks: int = 5
    """Patient on purpose: a broker that is merely slow on a loaded machine must not be killed."""


@dataclass(slots=True)
class ChildState:
    """What is known of one child now."""

    pid: int | None = None
    restarts: int = 0


def _ignore(_: str) -> None:
    """The default listener."""


@dataclass(slots=True)
class Supervisor:
    """The children of one platform and their lives; use from one event loop only.

    ``start``, then ``wait``, then always ``stop`` (which may be called at any moment, and twice).
    """

    servers: Sequence[ServerSpec]
    provision: ProcessSpec | None
    services: Sequence[ProcessSpec]
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    timing: Timing = field(default_factory=Timing)
    say: Callable[[str], None] = _ignore
    """Called with a sentence on everything that an operator should know."""
    on_change: Callable[[], None] = lambda: None
    """Called whenever ``children`` changed."""
    monotonic: Callable[[], float] = time.monotonic
    uniform: Callable[[], float] = random.random
    children: dict[str, ChildState] = field(default_factory=dict)
    _processes: dict[str, ChildProcess] = field(default_factory=dict)
    _server_starts: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    _keepers: list[asyncio.Task[None]] = field(default_factory=list)
    _failure: LocalError | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Start everything and return when every service is ready.

        Raises:
            LocalError: a server did not start, provisioning failed, or a service gave up or was not ready in
                time; or ``request_stop`` was called. Whatever runs by then goes on running until ``stop``.
        """
        await self.during(self._start_all())

    async def _start_all(self) -> None:
        founding = asyncio.create_task(self._start_servers_and_provision())
        await asyncio.sleep(0)  # the servers' processes first: everybody else will wait for them
        try:
            for spec in self.services:
                self._launch(spec, nice=0)  # until all are ready: whoever waits for the platform waits for it
                self._keep(spec.name, self._keep_service(spec))
            await founding
        finally:
            await _cancel([founding])
        # Only from now on: while a server recovers its data no service shows any progress.
        await _all(self._until_ready(spec) for spec in self.services)
        for spec in self.services:
            self._processes[spec.name].yield_to_others(spec.nice)

    async def _start_servers_and_provision(self) -> None:
        await _all(self._start_server(spec) for spec in self.servers)
        for server in self.servers:
            self._keep(server.name, self._keep_server(server))
        if self.provision is not None:
            await self._provision(self.provision)
            await _all(asyncio.to_thread(spec.settle) for spec in self.servers)

    async def wait(self) -> None:
        """Return after ``request_stop``.

        Raises:
            GaveUpError: a child failed too often.
        """
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` as long as the platform runs, and cancel it when that ends first.

        Raises:
            StopRequestedError: ``request_stop`` was called before the work was done.
            GaveUpError: a child failed too often before the work was done.
        """
        task = asyncio.create_task(work)
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if self._failure is not None:
                raise self._failure
            raise StopRequestedError("the platform was stopped while it was at work")
        finally:
            await _cancel([task, ended])

    def request_stop(self) -> None:
        """Make ``wait`` return and ``start`` or ``during`` end; for signal handlers."""
        self._ended.set()

    async def stop(self) -> None:
        """Stop the services (in parallel, with time to drain), then the servers; kill what exceeds its time.

        Afterwards no child runs, whatever state it was in. Takes at most ``drain_s`` + ``server_stop_s`` and
        a second.
        """
        self._ended.set()
        await _cancel(self._keepers)
        processes = list(self._processes.values())
        await asyncio.gather(*(asyncio.to_thread(each.stop, self.timing.drain_s) for each in processes))
        await asyncio.gather(*(self._stop_server(spec) for spec in self.servers))

    def _keep(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            # A keeper runs until it is cancelled; one that ends otherwise leaves a child nobody restarts.
            if not task.cancelled():
                self._fail(
                    GaveUpError(
                        f"whoever keeps {name} running ended ({task.exception()!r}); expected it never to: "
                        "this is a defect, start the platform again"
                    )
                )

        keeper = asyncio.create_task(work, name=f"keep-{name}")
        keeper.add_done_callback(ended)
        self._keepers.append(keeper)

    async def _start_server(self, spec: ServerSpec) -> None:
        began_s = self.monotonic()
        # The start blocks a thread, which nothing can interrupt: remembered, so that stop() can outlast it.
        start = asyncio.ensure_future(asyncio.to_thread(spec.server.start))
        self._server_starts[spec.name] = start
        await asyncio.shield(start)
        self._note(spec.name, spec.server.pid)
        await asyncio.to_thread(spec.settle)
        self._tell(f"{spec.name} is ready after {self.monotonic() - began_s:.1f} s (pid {spec.server.pid})")

    async def _stop_server(self, spec: ServerSpec) -> None:
        await asyncio.to_thread(spec.server.stop, self.timing.server_stop_s)
        start = self._server_starts.get(spec.name)
        if start is not None and not start.done():
            await asyncio.wait([start], timeout=0.5)
        await asyncio.to_thread(spec.server.kill)

    async def _keep_server(self, spec: ServerSpec) -> None:
        history = RestartHistory(self.policy, self.uniform)
        while True:
            began_s = self.monotonic()
            reason = await self._until_server_fails(spec)
            await self._before_restart(spec.name, spec.server.log, history, began_s, reason)
            try:
                await self._start_server(spec)
            except (LocalError, OSError) as error:  # OSError: a full disk takes no configuration
                self._tell(f"{spec.name} could not be started: {error}")

    async def _until_server_fails(self, spec: ServerSpec) -> str:
        unhealthy, next_check_s = 0, self.monotonic() + self.timing.health_interval_s
        while spec.server.is_alive():
            await asyncio.sleep(POLL_S)
            if not spec.heal or self.monotonic() < next_check_s:
                continue
            unhealthy = 0 if await asyncio.to_thread(spec.server.healthy) else unhealthy + 1
            if unhealthy >= self.timing.unhealthy_checks:
                await asyncio.to_thread(spec.server.kill)
                return f"was not healthy {unhealthy} times in a row"
            next_check_s = self.monotonic() + self.timing.health_interval_s
        return f"ended with code {spec.server.returncode}"

    async def _provision(self, spec: ProcessSpec) -> None:
        process = self._launch(spec, nice=spec.nice)
        deadline_s = self.monotonic() + self.timing.provision_s
        while process.is_alive():
            if self.monotonic() > deadline_s:
                await asyncio.to_thread(process.kill)
            await asyncio.sleep(POLL_S / 2)
        if process.returncode != 0:
            raise LocalError(
                f"{spec.name} ended with code {process.returncode}; expected 0 within "
                f"{self.timing.provision_s:g} s: see {spec.log}, which ends:\n{_tail(spec.log)}"
            )
        del self._processes[spec.name], self.children[spec.name]
        self._changed()

    def _launch(self, spec: ProcessSpec, *, nice: int) -> ChildProcess:
        process = ChildProcess(spec.command, log=spec.log, env={**os.environ, **spec.env}, nice=nice)
        self._processes[spec.name] = process
        process.start()
        self._note(spec.name, process.pid)
        return process

    async def _keep_service(self, spec: ProcessSpec) -> None:
        history = RestartHistory(self.policy, self.uniform)
        process, failure = self._processes[spec.name], ""
        while True:
            began_s = self.monotonic()
            while process.is_alive():  # noqa: ASYNC110 - the end of a process sets no event
                await asyncio.sleep(POLL_S)
            wanted = not failure and process.returncode == RENEWED
            reason = failure or f"ended with code {process.returncode}"
            await self._before_restart(spec.name, spec.log, history, began_s, reason, wanted=wanted)
            try:
                process = self._launch(spec, nice=spec.nice)
            except (
                OSError
            ) as error:  # a full disk, or no more processes; the next round counts it as a failure
                process, failure = self._processes[spec.name], f"could not be started: {error}"
            else:
                failure = ""

    async def _before_restart(
        self,
        name: str,
        log: Path,
        history: RestartHistory,
        began_s: float,
        reason: str,
        *,
        wanted: bool = False,
    ) -> None:
        """Wait until the next start is due; after one failure too many, end the platform instead."""
        delay_s = history.next_delay_s(started_s=began_s, ended_s=self.monotonic(), wanted=wanted)
        if delay_s is None:
            self._fail(
                GaveUpError(
                    f"{name} {reason}, failure {self.policy.max_failures} within {self.policy.window_s:g} s; "
                    f"expected it to keep running: see {log}, which ends:\n{_tail(log)}"
                )
            )
            await asyncio.Event().wait()  # until stop() cancels this task
            return
        self._tell(f"{name} {reason} (see {log}); starting it again in {delay_s:.1f} s")
        self.children[name].restarts += 1
        await asyncio.sleep(delay_s)

    async def _until_ready(self, spec: ProcessSpec) -> None:
        if spec.ready_url is None:
            return
        began_s, answer = self.monotonic(), "nothing"
        seen: set[str] = set()
        deadline_s = began_s + self.timing.ready_s
        while self.monotonic() < deadline_s:
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, body = await asyncio.to_thread(_get, spec.ready_url)
                if status == http.HTTPStatus.OK:
                    self._tell(f"{spec.name} is ready after {self.monotonic() - began_s:.1f} s")
                    return
                progress = _progress(body)
                if progress not in seen:  # never answered before: going to and fro is no progress
                    seen.add(progress)
                    deadline_s = self.monotonic() + self.timing.ready_s
                answer = f"{status} {body[:300]}"
            await asyncio.sleep(POLL_S)
        raise GaveUpError(
            f"{spec.name} was not ready and made no progress within {self.timing.ready_s:g} s; "
            f"expected 200 from {spec.ready_url}, got {answer}: "
            f"see {spec.log}, which ends:\n{_tail(spec.log)}"
        )

    def _note(self, name: str, pid: int | None) -> None:
        self.children.setdefault(name, ChildState()).pid = pid
        self._changed()

    def _tell(self, sentence: str) -> None:
        # Best effort: with a full disk there is no place for the sentence, but children can still be kept.
        with contextlib.suppress(OSError):
            self.say(sentence)

    def _changed(self) -> None:
        with contextlib.suppress(OSError):
            self.on_change()

    def _fail(self, error: LocalError) -> None:
        self._failure = self._failure or error
        self._ended.set()


def _tail(log: Path) -> str:
    try:
        return tail(log)
    except OSError as error:
        return f"(unreadable: {error})"


def _get(url: str) -> tuple[int, str]:
    """Status and body of an answer on this machine; blocks.

    With the standard library only: an HTTP client package would have to be loaded before the first child
    could be started, and each of its clients reads the system's certificates.
    """
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PROBE_S)
    try:
        connection.request("GET", address.path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", errors="replace")
    finally:
        connection.close()


def _progress(body: str) -> str:
    """What of an answer of ``/readyz`` tells how far the service is: all but how long the checks took."""
    try:
        checks = json.loads(body)["checks"]
        return json.dumps({name: [check["status"], check["detail"]] for name, check in checks.items()})
    except (ValueError, LookupError, TypeError, AttributeError):
        return body[:300]


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run ``works`` together; the first error cancels the rest and is raised as it is, not in a group."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _cancel(tasks)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
