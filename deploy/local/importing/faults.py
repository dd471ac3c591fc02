"""What is wrong with a cell or a row, in the two languages of the reject file."""

from dataclasses import dataclass
from typing import Final

from shared.kernel.errors import shorten

NOTHING_ZH: Final = "空"
NOTHING_EN: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Fault:
    """What was expected of a value and what to do about it; says nothing of where it stands.

    Attributes:
        expected_zh: noun phrase, Chinese.
        remedy_zh: imperative, Chinese, without a full stop.
        expected_en: noun phrase, English.
        remedy_en: imperative, English, without a full stop.
    """

    expected_zh: str
    remedy_zh: str
    expected_en: str
    remedy_en: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row was not imported: a fault at its place.

    Attributes:
        column: name of the column as the file has it; a description where there is none.
        value: what stands there, None for an empty cell.
    """

    column: str
    value: str | None
    fault: Fault

    @property
    def chinese(self) -> str:
        """One sentence for the person who corrects the row."""
        shown = NOTHING_ZH if self.value is None else shorten(self.value)
        return f"「{self.column}」为 {shown}，应为{self.fault.expected_zh}；{self.fault.remedy_zh}。"

    @property
    def english(self) -> str:
        """The same in English."""
        shown = NOTHING_EN if self.value is None else shorten(self.value)
        return f"{self.column}: got {shown}, expected {self.fault.expected_en}: {self.fault.remedy_en}."
