"""Importing a file: rows to lines, lines to batches, batches to intake, answers to the workspace.

Rows are read in a thread while batches are under way. Answers are kept in the order of the file, whichever
batch comes back first, so the journal is one number and the reject file has the file's order.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from deploy.local.importing.columns import Field
from deploy.local.importing.encoding import fingerprint
from deploy.local.importing.faults import Reason
from deploy.local.importing.intake_client import IntakeClient, LineAnswer, fault_of
from deploy.local.importing.rejects import Form, Reject, write_rejects
from deploy.local.importing.rows import Line, Mapper, Rejected, Row
from deploy.local.importing.sources import Kind, Source
from deploy.local.importing.workspace import (
    Identity,
    Progress,
    Workspace,
    WorkspaceError,
    imports_of,
)
from shared.kernel.errors import describe
from shared.kernel.ids import derived_id

BATCH_ROWS: Final = 5_000
BATCH_BYTES: Final = 8 << 20
UNDER_WAY: Final = 2
"""Batches sent at once: intake works on one while it reads the next; more only take memory."""
_FIELDS: Final[Mapping[str, Field]] = {each.value: each for each in Field}

OnProgress = Callable[[Progress, int], None]


def default_import_id(sha256: str, sheet: str | None) -> str:
    """The id of a file's import when nobody gives one: the same bytes again are the same import."""
    return "imp-" + derived_id("import", sha256, sheet or "").replace("-", "")[:16]


def require_unchanged(file: Path, import_id: str, sha256: str, *, named: bool) -> None:
    """Make sure that a file which was imported from this place before is not imported anew by accident.

    Saved once more by Excel it has other bytes, hence another id, and all of its rows would count twice.

    Raises:
        WorkspaceError: it was imported from here with other bytes, and no id says what is meant.
    """
    imports = imports_of(file)
    if named or not imports or any(each.sha256 == sha256 for each in imports):
        return
    earlier = imports[-1].import_id
    raise WorkspaceError(
        describe(
            f"{file.name}, which has changed since it was imported as {earlier}",
            "to be told whether it holds the same ratings",
            f"if it does, repeat with --import-id {earlier}: rows that are in already are recognised by "
            f"their numbers; if it holds other ratings, with --import-id {import_id}",
        )
    )


@dataclass(slots=True)
class Batch:
    """Some rows of the file in their order."""

    lines: list[Line] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    position: int = 0

    @property
    def rows(self) -> int:
        """How many rows it is made of."""
        return len(self.lines) + len(self.rejected)


def batches(source: Source, mapper: Mapper, rows: int = BATCH_ROWS) -> Iterator[Batch]:
    """The file in batches of `rows`, fewer where rows are large; the same file gives the same batches."""
    batch, size = Batch(), 0
    for row in source.rows:
        mapped = mapper.map(row)
        if isinstance(mapped, Line):
            batch.lines.append(mapped)
            size += len(mapped.data)
        else:
            batch.rejected.append(mapped)
        size += sum(map(len, row.cells))  # kept for the reject file, columns that nobody reads too
        if batch.rows >= rows or size >= BATCH_BYTES:
            batch.position = source.position
            yield batch
            batch, size = Batch(), 0
    if batch.rows:
        batch.position = source.position
        yield batch


@dataclass(frozen=True, slots=True)
class Import:
    """One import, ready to run."""

    file: Path
    source: Source
    mapper: Mapper
    batch_rows: int = BATCH_ROWS

    @property
    def form(self) -> Form:
        """What its reject file looks like."""
        return Form(self.source.kind, self.source.header, self.mapper.import_id, self.mapper.channel.value)

    def identity(self, sheet: str | None, columns: Sequence[str]) -> Identity:
        """What must be the same for it to go on."""
        return Identity(
            self.mapper.import_id,
            fingerprint(self.file).sha256,
            {
                "channel": self.mapper.channel.value,
                "source": self.mapper.source.value,
                "sheet": sheet,
                "columns": sorted(columns),
                "own_references": self.mapper.own_references,
                "batch_rows": self.batch_rows,
            },
        )


async def run_import(
    job: Import, workspace: Workspace, intake: IntakeClient, on_progress: OnProgress = lambda *_: None
) -> Progress:
    """Import everything that the workspace does not know yet; the counts of the whole file.

    Killed at any moment, the same call goes on: what intake has accepted it recognises.

    Raises:
        LocalError: the file breaks off, or intake refuses or stays away.
    """
    if workspace.progress.done:
        return workspace.progress
    under_way: deque[tuple[Batch, asyncio.Task[list[LineAnswer]]]] = deque()
    known = workspace.progress.batches
    reader = batches(job.source, job.mapper, job.batch_rows)
    try:
        while (batch := await asyncio.to_thread(next, reader, None)) is not None:
            if known:
                known -= 1
                on_progress(workspace.progress, batch.position)
                continue
            under_way.append((batch, asyncio.create_task(_send(batch, job, intake))))
            if len(under_way) >= UNDER_WAY:
                await _finish(*under_way.popleft(), job, workspace, on_progress)
        while under_way:
            await _finish(*under_way.popleft(), job, workspace, on_progress)
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
    return await asyncio.to_thread(_conclude, job, workspace)


async def _send(batch: Batch, job: Import, intake: IntakeClient) -> list[LineAnswer]:
    if not batch.lines:
        return []
    return await intake.submit([line.data for line in batch.lines], job.mapper.import_id)


async def _finish(
    batch: Batch,
    task: asyncio.Task[list[LineAnswer]],
    job: Import,
    workspace: Workspace,
    on_progress: OnProgress,
) -> None:
    answers = await task
    counts = {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": len(batch.rejected)}
    results: list[str] = []
    refused = [(each.row, Reject.of(each.number, each.row.cells, each.reasons)) for each in batch.rejected]
    for line, answer in zip(batch.lines, answers, strict=True):
        counts[answer.status] += 1
        if answer.status in {"accepted", "duplicate"}:
            results.append(f"{line.number},{answer.status},{answer.event_id}\n")
        else:
            refused.append((line.row, _refusal(line, answer, job)))
    refused.sort(key=lambda pair: pair[0].number)
    results += [f"{reject.row},rejected,\n" for _, reject in refused]
    before = workspace.progress
    after = replace(
        before,
        batches=before.batches + 1,
        rows=before.rows + batch.rows,
        **{name: getattr(before, name) + count for name, count in counts.items()},
    )
    await asyncio.to_thread(workspace.add, "".join(results).encode(), [each for _, each in refused], after)
    on_progress(workspace.progress, batch.position)


def _refusal(line: Line, answer: LineAnswer, job: Import) -> Reject:
    reasons: list[Reason] = []
    for issue in answer.errors or ():
        each = _field_of(issue.field, line.row)
        column = issue.field if each is None else job.source.name_of(each)
        written = None if each is None else line.row.values.get(each)
        reasons.append(Reason(column, written or issue.value, fault_of(issue)))
    return Reject.of(line.number, line.row.cells, reasons)


def _field_of(name: str, row: Row) -> Field | None:
    """The field of the row that intake calls `name`."""
    each = _FIELDS.get(name)
    if each is Field.UNIT_ID and Field.UNIT_ID not in row.values:
        return Field.UNIT_NAME
    if each is Field.TIME and Field.TIME not in row.values:
        return Field.DATE
    return each


def _conclude(job: Import, workspace: Workspace) -> Progress:
    """Write the reject file and say in the journal that all is done."""
    if fingerprint(job.file).sha256 != workspace.identity.sha256:
        raise WorkspaceError(
            describe(
                f"{job.file.name}, which was changed while it was being imported",
                "the file as it was at the start",
                f"import it again with --import-id {job.mapper.import_id}: rows that are in are recognised",
            )
        )
    progress = workspace.progress
    written: Path | None = None
    if progress.rejected + progress.conflict:
        written = write_rejects(reject_path(job.file, job.source.kind), job.form, workspace.rejects())
    workspace.record(replace(progress, done=True, reject_file=None if written is None else str(written)))
    return workspace.progress


def reject_path(file: Path, kind: Kind) -> Path:
    """Where the rows go that were not imported: beside the file, in its format."""
    stem = file.stem.removesuffix(".rejects")
    return file.with_name(f"{stem}.rejects.{kind.value}")
