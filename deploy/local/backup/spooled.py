"""Accepted ratings that no stream has yet: what a backup lacks, and a restore must not take away."""

import os
import sqlite3
from pathlib import Path

from deploy.local.layout import Layout
from services.intake.adapters.spool_file import SpoolFile, spool_path

SPOOL = "spool"


def spool_directory(layout: Layout) -> Path:
    """Where intake keeps them: SPOOL_DIR, else below its data."""
    return Path(os.environ.get("SPOOL_DIR") or layout.service_data("intake") / SPOOL)


def describe_spool(layout: Layout) -> str | None:
    """What waits there, in words, also beside an intake that runs; None if nothing does."""
    path = spool_path(spool_directory(layout))
    if not path.is_file():
        return None
    try:
        file = SpoolFile(path, readonly=True)
        try:
            amount = file.amount()
        finally:
            file.close()
    except sqlite3.Error as error:
        return f"what is in {path} can't be read ({error})"
    waiting = amount.messages + amount.aside
    return f"{waiting} accepted messages wait in {path.parent}" if waiting else None
