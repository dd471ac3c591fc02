"""The baseline of imports: the same lines, prepared beforehand, posted in the same batches.

``python -m tests.bench.bare_post`` reads a file as an import would, under another import id, and then posts
what it has read with the same client, timed.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx

from deploy.local.importing.rows import Mapper
from deploy.local.importing.running import UNDER_WAY, batches
from deploy.local.importing.sources import open_source
from deploy.local.importing.unit_names import NamedUnit, UnitNames
from shared.kernel.grades import Channel, Source
from shared.kernel.units import load_units


def prepared(path: Path, import_id: str) -> list[bytes]:
    """The bodies of all batches of a file."""
    names = UnitNames((NamedUnit(u.unit_id, u.name, u.kind, u.division) for u in load_units()), {})
    with open_source(path) as source:
        mapper = Mapper(import_id, Channel.PAPER, Source.PUBLIC, names, source.name_of)
        return [b"\n".join(line.data for line in batch.lines) for batch in batches(source, mapper)]


async def measure(file: str, import_id: str, url: str, proof: str) -> object:
    """Post every batch; seconds, and how many ratings were accepted."""
    bodies = prepared(Path(file), import_id)
    headers = {"Content-Type": "application/x-ndjson", "X-Import-Id": import_id, "Authorization": proof}
    gate = asyncio.Semaphore(UNDER_WAY)
    async with httpx.AsyncClient(timeout=120, trust_env=False) as http:

        async def post(body: bytes) -> int:
            async with gate:
                answer = await http.post(f"{url}/v1/feedback/batch", content=body, headers=headers)
            return int(answer.raise_for_status().json()["accepted"])

        started = time.perf_counter()
        accepted = sum(await asyncio.gather(*map(post, bodies)))
        return {"elapsed_s": time.perf_counter() - started, "accepted": accepted}


def main() -> None:
    """Do the job that stands on the standard input."""
    json.dump(asyncio.run(measure(**json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
