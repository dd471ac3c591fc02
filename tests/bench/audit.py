"""Audit: the stand-alone verifier on a million entries, beside hashing the same bytes; and single proofs."""

import asyncio
import contextlib
import random
import re
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import psutil

from deploy.audit import verify_export
from services.archive.domain import merkle
from services.archive.domain.notes import Checkpoint, SigningKey, open_note, sign
from shared.testing.clock import NOON
from tests.bench.figures import Bound, Figure, Goal, Section, Series, percentile
from tests.bench.processes import peak_resident_mb, run_program
from tests.bench.stage import data_directory
from tests.support.audit_export import KEY, ORIGIN, SyntheticLog
from tests.support.repeated_tree import RepeatedTree

ENTRIES: Final = 1_000_000
EVERY: Final = 1_000
ROUNDS: Final = 2
"""A round takes a minute; whatever disturbs one for so short a time shows in the other."""
LIMIT_S, LIMIT_MB = 60.0, 300.0
LEAVES: Final = 10_000_000
PROOFS: Final = 2_000
PROOF_MS: Final = 5.0
SIGNED_LEAVES: Final = 200_000
LEAF_US: Final = 10.0
LOOK_S: Final = 0.05


async def measure(rounds: int) -> Section:
    """Verify an export that is made once; then prove single leaves, and hash and sign others."""
    checks: list[_Check] = []
    bare: list[dict[str, float]] = []
    with data_directory() as directory:
        export = directory / "export"
        await asyncio.to_thread(SyntheticLog(export, ENTRIES, every=EVERY).write)
        for _ in range(min(rounds, ROUNDS)):
            checks.append(await _verify(export))
            bare.append(await run_program("tests.bench.bare_hash", {"directory": str(export)}))
    proving = await asyncio.to_thread(_prove)
    leaf_us, bare_us = await asyncio.to_thread(_grow_and_sign)
    return Section(
        "Audit",
        [
            Figure(
                "offline check of a million entries: processor time", "s",
                Series(tuple(check.cpu_s for check in checks)), Series(tuple(each["cpu_s"] for each in bare)),
                "SHA-256 of the same lines", Goal(Bound.AT_MOST, LIMIT_S),
            ),
            Figure(
                "elapsed, beside whatever else ran", "s",
                Series(tuple(check.elapsed_s for check in checks)),
                Series(tuple(each["elapsed_s"] for each in bare)), "likewise",
            ),
            Figure(
                "memory at its peak", "MB", Series(tuple(check.peak_mb for check in checks)),
                goal=Goal(Bound.AT_MOST, LIMIT_MB),
            ),
            Figure(
                "inclusion proof in ten million: p99 of processor time", "ms", Series((proving.p99_ms,)),
                goal=Goal(Bound.AT_MOST, PROOF_MS),
            ),
            Figure(
                "the first one after a start", "ms", Series((proving.first_ms,)),
                goal=Goal(Bound.AT_MOST, PROOF_MS),
            ),
            Figure("reading the tree at the start, in the background", "ms", Series((proving.start_ms,))),
            Figure(
                "leaf hashed and signed: processor time", "µs", Series((leaf_us,)), Series((bare_us,)),
                "two SHA-256 of the same bytes", Goal(Bound.AT_MOST, LEAF_US),
            ),
        ],
        checks=[checks[-1].said, f"{PROOFS:,} of the archive's proofs, for random leaves of {LEAVES:,}"],
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Check:
    """One run of the verifier, which has one thread: alone on a processor it takes its processor time."""

    cpu_s: float
    elapsed_s: float
    peak_mb: float
    said: str


@dataclass(frozen=True, slots=True)
class _Proving:
    """What single proofs take, in ms of processor time; of the store's own time nothing.

    Attributes:
        p99_ms: the 99th percentile.
        first_ms: the very first one.
        start_ms: reading the signed tree's edge, which happens in the background when the archive starts.
    """

    p99_ms: float
    first_ms: float
    start_ms: float


async def _verify(export: Path) -> _Check:
    started, cpu_s, peak_mb = time.perf_counter(), 0.0, 0.0
    process = await asyncio.create_subprocess_exec(
        sys.executable, verify_export.__file__, str(export), "--key", KEY.verifier.text,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    program, done = psutil.Process(process.pid), asyncio.ensure_future(process.communicate())
    while not done.done():
        with contextlib.suppress(psutil.Error, OSError):
            peak_mb, cpu_s = max(peak_mb, peak_resident_mb(process.pid)), sum(program.cpu_times()[:2])
        await asyncio.wait({done}, timeout=LOOK_S)
    said = (await done)[0].decode()
    elapsed_s = time.perf_counter() - started
    found = re.fullmatch(r"OK: (\d+) entries of 2 streams, (\d+) checkpoints; signed by \S+\n", said)
    if process.returncode != 0 or found is None:
        raise AssertionError(f"an export in order expected, the verifier said: {said}")
    counted = f"the verifier went through {int(found[1]):,} entries and {int(found[2]):,} checkpoints"
    return _Check(cpu_s, elapsed_s, peak_mb, counted)


def _prove() -> _Proving:
    """Ask the archive's own `Proofs` for leaves of ten million, out of a store that answers at once."""
    return asyncio.run(_ask_for_proofs())


async def _ask_for_proofs() -> _Proving:
    tree, chance = RepeatedTree(LEAVES), random.Random(1)
    proofs, started = tree.proofs(), time.process_time()
    await proofs.refresh()  # as the archive does when it starts
    start_ms = (time.process_time() - started) * 1e3
    times: list[float] = []
    for index in (chance.randrange(LEAVES) for _ in range(PROOFS)):
        started = time.process_time()
        found = await proofs.inclusion(index)
        times.append((time.process_time() - started) * 1e3)
        hashed = merkle.leaf_hash(found.leaf.encode())
        if not merkle.verify_inclusion(hashed, index, LEAVES, found.path, tree.head.root):
            raise AssertionError(f"the proof of leaf {index} does not lead to the root")
    return _Proving(percentile(sorted(times), 0.99), times[0], start_ms)


def _grow_and_sign() -> tuple[float, float]:
    """Processor time a leaf in µs: ours, with a checkpoint a thousand; two bare hashes of its bytes."""
    leaf, key = b"x" * 420, SigningKey.generate(ORIGIN)
    frontier, started = merkle.Frontier(), time.process_time()
    note = ""
    for number in range(1, SIGNED_LEAVES + 1):
        frontier.append(merkle.leaf_hash(leaf))
        if number % EVERY == 0:
            note = str(sign(Checkpoint(ORIGIN, frontier.size, frontier.root()), key, NOON))
    ours = time.process_time() - started
    if open_note(note, [key.verifier]).checkpoint.size != SIGNED_LEAVES:
        raise AssertionError("the last checkpoint covers every leaf")
    started = time.process_time()
    for _ in range(SIGNED_LEAVES):
        sha256(sha256(leaf).digest()).digest()
    bare = time.process_time() - started
    return ours / SIGNED_LEAVES * 1e6, bare / SIGNED_LEAVES * 1e6
