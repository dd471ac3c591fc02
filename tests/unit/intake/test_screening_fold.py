"""Between looking and acting: what a look says arrives whole, and is remembered until it is carried out."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.screening_process import LENGTH_BYTES, decode_look, encode_look
from services.intake.application.errors import IndexNotReadyError, ScreenerGoneError
from services.intake.application.holding import Holder
from services.intake.domain.looks import NOTHING, Look
from services.intake.domain.screening import Hold, Release, Trait
from services.intake.entrypoints import screening
from services.intake.entrypoints.screening import ScreeningFold
from shared.kernel.reasons import QuarantineReason

SEQUENCES = st.integers(0, 2**53)
HOLDS = st.builds(
    Hold,
    st.text(),
    SEQUENCES,
    SEQUENCES,
    st.sampled_from(QuarantineReason),
    st.sampled_from(Trait),
    st.text(),
)
RELEASES = st.builds(Release, st.text(), SEQUENCES, SEQUENCES)


def hold(event_id: str, sequence: int = 1) -> Hold:
    return Hold(event_id, sequence, 0, QuarantineReason.BURST, Trait.SURGE, "surge:U1")


def release(event_id: str) -> Release:
    return Release(event_id, 1, 0)


def look(*steps: Hold | Release | str, anew: bool = False, **ratings: bytes) -> Look:
    return Look(len(steps), 0, steps, {int(name[1:]): data for name, data in ratings.items()}, anew)


@given(
    st.builds(
        Look,
        SEQUENCES,
        SEQUENCES,
        st.lists(HOLDS | RELEASES | st.text()),
        st.dictionaries(SEQUENCES, st.binary()),
        st.booleans(),
    )
)
def test_a_look_arrives_as_it_was_sent(sent: Look) -> None:
    frame = encode_look(sent)
    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    got = decode_look(frame[LENGTH_BYTES:])
    assert got == sent
    assert [type(each) for each in got.steps] == [type(each) for each in sent.steps]


class Script:
    """Looks that were written beforehand; after the last one nobody looks any more."""

    def __init__(self, *looks: Look | Exception) -> None:
        self.looks = list(looks)
        self.settled: list[bool] = []
        self.stopped: list[bool] = []
        self.over = asyncio.Event()

    async def look(self, *, settled: bool) -> Look:
        self.settled.append(settled)
        if not self.looks:
            self.over.set()
            await asyncio.Event().wait()
        said = self.looks.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def stop(self, *, settled: bool) -> None:
        self.stopped.append(settled)


class Acts:
    """A holder that notes what it is to do; it can't as often as `fails` says."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.done: list[tuple[list[Hold | Release], dict[int, bytes]]] = []

    async def carry_out(
        self, decided: Sequence[Hold | Release], ratings: Mapping[int, bytes]
    ) -> list[Hold | Release]:
        if self.fails:
            self.fails -= 1
            raise IndexNotReadyError
        self.done.append((list(decided), dict(ratings)))
        return list(decided)


class Shown:
    apart: int | None = None
    pending = 0

    def screened(self, ratings: int, lag: int) -> None: ...
    def screening_decided(self, decided: Sequence[Hold | Release]) -> None: ...

    def screening_pending(self, ratings: int) -> None:
        self.pending = ratings

    def screened_by(self, processes: int) -> None:
        self.apart = processes


async def run(
    script: Script, acts: Acts, *, leads: bool = True, apart: Script | None = None
) -> tuple[ScreeningFold, Shown]:
    shown = Shown()
    fold = ScreeningFold(
        looks=script,
        apart=apart,
        holder=cast("Holder", cast("Any", acts)),
        leads=lambda: leads,
        metrics=shown,
    )
    task = asyncio.create_task(fold.run())
    async with asyncio.timeout(5):
        await script.over.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return fold, shown


async def test_what_is_decided_is_carried_out_with_the_bytes_at_hand() -> None:
    script, acts = Script(look(hold("a", 7), s7=b"rating"), NOTHING), Acts()
    await run(script, acts)
    assert acts.done == [([hold("a", 7)], {7: b"rating"})]
    assert script.settled == [True, True, True]


async def test_nothing_is_kept_before_it_is_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "RETRY_S", 0.0)
    script, acts = Script(look(hold("a")), NOTHING), Acts(fails=1)
    fold, _ = await run(script, acts)
    assert script.settled == [True, False, True]
    assert [decided for decided, _ in acts.done] == [[hold("a")]]
    await fold.stop()
    assert script.stopped == [True]


async def test_who_does_not_lead_remembers_until_the_leader_has_done_it() -> None:
    script, acts = Script(look(hold("a"), hold("b")), look("a"), look(release("b"))), Acts()
    fold, shown = await run(script, acts, leads=False)
    assert (acts.done, shown.pending) == ([], 0)
    assert script.settled == [True, False, False, True]

    fold, shown = await run(other := Script(look(hold("a"), "x")), acts, leads=False)
    assert shown.pending == 1
    await fold.stop()
    assert other.stopped == [False]


async def test_a_hold_that_somebody_made_is_not_made_again_but_its_release_is() -> None:
    script, acts = Script(look(hold("a"), "a", release("a"))), Acts()
    await run(script, acts)
    assert [decided for decided, _ in acts.done] == [[release("a")]]


async def test_a_fold_that_begins_anew_voids_what_it_decides_again() -> None:
    script, acts = Script(look(hold("a")), look(hold("b"), anew=True)), Acts()
    _, shown = await run(script, acts, leads=False)
    assert shown.pending == 1


async def test_where_the_process_is_gone_this_one_looks_itself() -> None:
    apart = Script(look(hold("a")), ScreenerGoneError("killed"))
    script, acts = Script(look(hold("b"), anew=True)), Acts()
    fold, shown = await run(script, acts, apart=apart)
    assert [decided for decided, _ in acts.done] == [[hold("a")], [hold("b")]]
    assert shown.apart == 0
    await fold.stop()
    assert (apart.stopped, script.stopped) == ([], [True])


async def test_the_process_looks_while_it_lives() -> None:
    script = Script()
    apart = Script(NOTHING)
    shown = Shown()
    fold = ScreeningFold(
        looks=script,
        apart=apart,
        holder=cast("Holder", cast("Any", Acts())),
        leads=lambda: True,
        metrics=shown,
    )
    task = asyncio.create_task(fold.run())
    await apart.over.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await fold.stop()
    assert (script.settled, shown.apart, apart.stopped) == ([], 1, [True])
