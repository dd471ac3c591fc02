"""The baseline of the offline verifier: every byte of an export read and hashed, and nothing else.

``python -m tests.bench.bare_hash`` hashes the files of a directory that is named on the standard input.
"""

import json
import sys
import time
from hashlib import sha256
from pathlib import Path


def measure(directory: str) -> dict[str, object]:
    """Hash each line of each file of entries; number of lines, seconds, processor seconds."""
    lines, started, cpu = 0, time.perf_counter(), time.process_time()
    for path in sorted(Path(directory).glob("entries/*")):
        with path.open("rb") as file:
            for line in file:
                sha256(line).digest()
                lines += 1
    return {"lines": lines, "elapsed_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}


def main() -> None:
    """Do the job that stands on the standard input."""
    json.dump(measure(**json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
