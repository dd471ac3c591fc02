"""The vault's keeper at work: goes through it once a day, and at once when the key file has changed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from services.intake.application.keeping import Keeper, Pass
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, TransientError
from shared.observability.logging import get_logger

RETRY_S: Final = 5.0

_log = get_logger(component="vault")


class PassMetrics(Protocol):
    """Role: shows passes to operators."""

    def passed(self, done: Pass) -> None:
        """A pass is over."""
        ...


@dataclass(slots=True)
class KeeperState:
    """What the keeper has done, for who asks.

    Attributes:
        keys: ids of the live key-encryption keys, the newest last.
        last: the last complete pass; None before the first one since the keys have changed.
    """

    keys: tuple[str, ...]
    last: Pass | None = None


class KeyFile(Protocol):
    """Role: the vault's key file, looked at again and again."""

    def changed(self) -> tuple[str, ...] | None:
        """Take up the file if it has changed: the ids of its keys, the newest last; else None."""
        ...


async def keep_vault(  # noqa: PLR0913 - what the loop depends on, keyword-only
    keeper: Keeper,
    state: KeeperState,
    *,
    key_file: KeyFile,
    wait_ready: Callable[[], Awaitable[None]],
    metrics: PassMetrics,
    clock: Clock,
    every_s: float,
    look_s: float,
) -> None:
    """Go through the vault every `every_s` seconds, look at the key file every `look_s`, until cancelled."""
    loop = asyncio.get_running_loop()
    due = 0.0
    while True:
        try:
            keys = await asyncio.to_thread(key_file.changed)
        except PermanentError as error:
            _log.error("vault_key_file_unusable", reason=str(error))  # the keys that we have go on
            keys = None
        if keys is not None:
            _log.info("vault_keys_changed", keys=keys)
            state.keys, state.last, due = keys, None, 0.0
        if loop.time() >= due:
            await wait_ready()
            try:
                done = await keeper.go_through(clock.now())
            except TransientError as error:
                _log.warning("vault_pass_repeats", reason=str(error), delay_s=RETRY_S)
                due = loop.time() + RETRY_S
            else:
                state.last = done
                metrics.passed(done)
                due = loop.time() + every_s
                _tell(done)
        await asyncio.sleep(look_s)


def _tell(done: Pass) -> None:
    told = _log.error if done.spared or done.unopened else _log.info
    told(
        "vault_passed",
        records=done.records,
        rewrapped=done.rewrapped,
        orphans=done.orphans,
        erased_again=done.erased_again,
        spared=done.spared,
        unopened=done.unopened,
    )
