"""The baseline of the archive: Motor's ``insert_many`` of the archive's own documents, and nothing else.

``python -m tests.bench.bare_motor`` reads the documents of one database and then inserts them, timed, into
another whose collection has the same validator and indexes, with the same write concern and batch size.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.write_concern import WriteConcern

from services.archive.adapters.schema import ENTRIES
from tests.bench.processes import watching


async def measure(url: str, source: str, target: str, batch: int, pids: Mapping[str, int]) -> object:
    """Copy all documents from ``source`` to ``target``; rate and cost."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(url)
    documents = await client[source][ENTRIES].find({}, sort=[("_id", 1)]).to_list(length=None)
    entries = client[target].get_collection(ENTRIES, write_concern=WriteConcern(w="majority", j=True))
    with watching(pids) as spent:
        cpu, started = time.process_time(), time.perf_counter()
        for start in range(0, len(documents), batch):
            await entries.insert_many(documents[start : start + batch], ordered=True)
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    stored = await entries.count_documents({})
    client.close()
    return {"stored": stored, "elapsed_s": elapsed, "cpu": {"bare Motor": cpu, **spent.seconds}}


def main() -> None:
    """Do the job that stands on the standard input."""
    json.dump(asyncio.run(measure(**json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
