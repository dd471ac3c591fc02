"""Killing parts of a running platform while clients go on sending."""

import asyncio
from collections.abc import Sequence

from tests.support.load import Load
from tests.support.platform import Platform


async def killed_under_load(platform: Platform, victims: Sequence[str], lines: Sequence[bytes]) -> Load:
    """Send ``lines`` and SIGKILL each of ``victims`` on the way, at even distances and once the last is back.

    The load goes on while a victim is away, but never further than to the next one's turn: a slow restart
    must not leave a later fault without load. Returns when every line has its answer and every victim is
    back. What intake promised is added to ``platform.promised``.
    """
    load = Load(lines)
    try:
        async with asyncio.TaskGroup() as group:
            load.limit = 1 / (len(victims) + 2)
            group.create_task(load.run(platform.url("intake"), platform.proofs))
            for number, victim in enumerate(victims, 1):
                await load.reach(number / (len(victims) + 2))
                load.limit = (number + 1) / (len(victims) + 2)
                pid = await asyncio.to_thread(platform.kill, victim)
                assert load.progress < 1, "the load was over before the fault: send more"
                await asyncio.to_thread(platform.await_restart, victim, pid)
            load.limit = 1.0
    finally:
        platform.promised.update(load.promised)
    return load
