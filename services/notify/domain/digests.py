"""How a digest's body is built: a line for each alert, and one that says how many more there are."""

from typing import Final

from services.notify.domain.alert import Alert
from services.notify.domain.catalogue import DIGEST
from services.notify.domain.channels import Language

ITEM: Final = "· "
"""Start of a line that names one alert."""


def rest_line(count: int, language: Language = Language.ZH) -> str:
    """Return the line that says that `count` more alerts are not named."""
    if language is Language.EN:
        return f"And {count} more: see them on the platform."
    return f"另有{count}条,请在平台上查看。"


def listed_by(alert: Alert) -> int | None:
    """Return how many alerts a digest answers for; None of any other alert."""
    count = alert.figures.get("alerts", "") if alert.rule == DIGEST else ""
    return int(count) if count.isascii() and count.isdecimal() else None
