"""Recipients as a table: one row for each, with everything that concerns them. CSV, as spreadsheets save it.

What a cell may hold is what the TOML file may; each problem is told with its line and column. Several values
in a cell are separated by semicolons. Rows that are empty, or begin with ``#``, say nothing.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Final

from pydantic import ValidationError

from services.notify.adapters.recipients_form import (
    MOST_PROBLEMS,
    ROLES,
    ChainForm,
    FileForm,
    RecipientForm,
    RecipientsError,
    SubscriptionForm,
    SupervisorsForm,
    book_of,
    problems_of,
    region_token,
)
from services.notify.domain.directory import Book
from shared.kernel.errors import describe
from shared.kernel.units import UnitRegistry

COLUMNS: Final[Mapping[str, str]] = {
    "id": "编号",
    "label": "岗位",
    "channels": "渠道",
    "quiet_from": "免打扰开始",
    "quiet_to": "免打扰结束",
    "working_days": "仅工作日",
    "quota": "限额",
    "cover": "代岗人",
    "absences": "外出",
    "outside": "系统外",
    "operator": "运维值班",
    "officer_of": "责任人单位",
    "deputy_of": "分管单位",
    "head_of": "一把手单位",
    "backup_of": "B岗单位",
    "supervises": "监督区划",
    "regions": "订阅区划",
    "kinds": "订阅窗口类别",
    "rules": "订阅规则",
    "severity": "订阅级别",
}
"""Columns, in any order, each by its English or its Chinese name."""
REQUIRED: Final = ("id", "label", "channels")
SUBSCRIBES: Final = ("regions", "kinds", "rules", "severity")
EXPECTED: Final[Mapping[str, str]] = {
    "id": "lower-case letters, digits and . _ - (at most 64)",
    "label": "a post of at most 64 characters",
    "channels": "names of channels, such as email;webhook",
    "quiet_from": "a time of day such as 20:00, beside quiet_to",
    "quiet_to": "a time of day such as 08:00, beside quiet_from",
    "quota": "a whole number from 1 to 100000",
    "cover": "the id of a recipient",
    "absences": "days such as 2026-11-20~2026-11-27, the second one the day back",
    "severity": "info, warning or critical",
}
"""What a cell of a column may hold."""
YES_OR_NO: Final = "yes or no"
_WORDS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("yes", "true", "1", "是"), True), **dict.fromkeys(("no", "false", "0", "否", ""), False),
}  # fmt: skip
_SEPARATORS: Final = re.compile(r"[;；、,，\s]+")
_SPAN: Final = re.compile(r"(\d{4}-\d\d-\d\d)\s*[~～至]\s*(\d{4}-\d\d-\d\d)")
_SHORT_TIME: Final = re.compile(r"\d:\d\d")


@dataclass(slots=True)
class _Table:
    """What the rows say so far; `lines` has the line for each part's place."""

    problems: list[str] = field(default_factory=list)
    recipients: list[RecipientForm] = field(default_factory=list)
    operators: list[str] = field(default_factory=list)
    chains: dict[str, dict[str, str]] = field(default_factory=dict)
    supervisors: dict[str, list[str]] = field(default_factory=dict)
    subscriptions: list[SubscriptionForm] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def form(self) -> FileForm:
        return FileForm(
            operators=tuple(self.operators),
            recipients=tuple(self.recipients),
            chains=tuple(ChainForm(unit=unit, **people) for unit, people in self.chains.items()),
            supervisors=tuple(
                SupervisorsForm(region=region, recipients=tuple(people))
                for region, people in self.supervisors.items()
            ),
            subscriptions=tuple(self.subscriptions),
        )

    def line_of(self, place: str) -> int:
        """The line of the narrowest part that `place` lies in."""
        parts = place.split(".")
        for length in range(len(parts), 0, -1):
            line = self.lines.get(".".join(parts[:length]))
            if line is not None:
                return line
        return 1


class _Row:
    """One row: cells by column, and what is wrong with them."""

    def __init__(self, line: int, cells: Mapping[str, str]) -> None:
        self.line = line
        self.cells = cells
        self.problems: list[str] = []

    def wrong(self, column: str, expected: str, remedy: str = "correct the cell") -> None:
        value = self.cells.get(column, "")
        self.problems.append(f"line {self.line}, {column}: {describe(value, expected, remedy)}")

    def text(self, column: str) -> str | None:
        return self.cells.get(column, "") or None

    def several(self, column: str) -> tuple[str, ...]:
        return tuple(each for each in _SEPARATORS.split(self.cells.get(column, "")) if each)

    def flag(self, column: str) -> bool:
        found = _WORDS.get(self.cells.get(column, "").lower())
        if found is None:
            self.wrong(column, YES_OR_NO, "write 是 or 否, yes or no")
        return bool(found)

    def quiet(self) -> dict[str, str] | None:
        hours = {end: self.cells.get(f"quiet_{end}", "") for end in ("from", "to")}
        if not any(hours.values()):
            return None
        return {end: f"0{time}" if _SHORT_TIME.fullmatch(time) else time for end, time in hours.items()}

    def absences(self) -> list[dict[str, str]]:
        text = self.cells.get("absences", "")
        spans = [{"from": match[1], "back": match[2]} for match in _SPAN.finditer(text)]
        if _SEPARATORS.sub("", _SPAN.sub("", text)):
            self.wrong("absences", EXPECTED["absences"])
        return spans

    def recipient(self) -> RecipientForm | None:
        """Whom the row is about; None: `problems` says why not."""
        fields: dict[str, Any] = {
            "id": self.cells.get("id", ""),
            "label": self.cells.get("label", ""),
            "channels": self.several("channels"),
            "quiet": self.quiet(),
            "working_days": self.flag("working_days"),
            "quota": self.text("quota"),
            "absences": self.absences(),
            "cover": self.text("cover"),
            "outside": self.flag("outside"),
        }
        try:
            return RecipientForm.model_validate(fields)
        except ValidationError as error:
            self._refused(error)
            return None

    def subscription(self) -> SubscriptionForm | None:
        """What the row's person subscribes to; None: nothing, or `problems` says what is wrong."""
        if not any(self.cells.get(column) for column in SUBSCRIBES):
            return None
        fields: dict[str, Any] = {"recipient": self.cells["id"]}
        fields |= {column: self.several(column) for column in ("regions", "kinds", "rules")}
        if self.cells.get("severity"):
            fields["severity"] = self.cells["severity"]
        try:
            return SubscriptionForm.model_validate(fields)
        except ValidationError as error:
            self._refused(error)
            return None

    def _refused(self, error: ValidationError) -> None:
        columns = dict.fromkeys(_column(issue["loc"]) for issue in error.errors(include_url=False))
        for column in columns:
            self.wrong(column, EXPECTED.get(column, "another value"))


def _column(place: tuple[int | str, ...]) -> str:
    name = str(place[0])
    if name == "quiet":
        return f"quiet_{place[1]}" if len(place) > 1 else "quiet_from"
    return name


def parse_table(text: str, origin: str, units: UnitRegistry, kinds: Mapping[str, str]) -> Book:
    """Read a table of recipients.

    Args:
        text: CSV with a header of `COLUMNS`.
        origin: what to call it in errors.
        units: chains may name these only.
        kinds: subscriptions may name these kinds of window only.

    Raises:
        RecipientsError: no such table, or anything unknown, missing, repeated or contradictory; lists all.
    """
    table = _Table()
    for row in _rows(text, origin):
        _take(row, table)
    if table.problems:
        raise RecipientsError(origin, table.problems[:MOST_PROBLEMS])
    form = table.form()
    problems = [
        f"line {table.line_of(place)}, {place}: {said}" for place, said in problems_of(form, units, kinds)
    ]
    if problems:
        raise RecipientsError(origin, problems[:MOST_PROBLEMS])
    return book_of(form)


def _rows(text: str, origin: str) -> Iterator[_Row]:
    reader = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    columns: tuple[str, ...] | None = None
    ended = 0
    try:
        for cells in reader:
            line, ended = ended + 1, reader.line_num
            values = [cell.strip() for cell in cells]
            if not any(values) or values[0].startswith("#"):
                continue
            if columns is None:
                columns = _header(values, origin, line)
                continue
            row = _Row(line, dict(zip(columns, values, strict=False)))
            if any(values[len(columns) :]):
                extra = describe(values[len(columns)], "no more cells than columns", "quote commas in cells")
                row.problems.append(f"line {line}: {extra}")
            yield row
    except csv.Error as error:
        problem = describe(str(error), "CSV with balanced quotes", "correct the line")
        raise RecipientsError(origin, (f"line {reader.line_num}: {problem}",)) from error
    if columns is None:
        raise RecipientsError(origin, (describe("", f"a header of {', '.join(COLUMNS)}", "add it"),))


def _header(values: list[str], origin: str, line: int) -> tuple[str, ...]:
    english = {chinese: name for name, chinese in COLUMNS.items()}
    while values and not values[-1]:
        values = values[:-1]  # spreadsheets leave empty columns at the end
    names = tuple(english.get(value, value.lower()) for value in values)
    known = ", ".join(f"{name} ({chinese})" for name, chinese in COLUMNS.items())
    problems = [
        f"line {line}: {describe(value, f'one of the columns {known}', 'correct the name')}"
        for name, value in zip(names, values, strict=True)
        if name not in COLUMNS
    ]
    problems += [
        f"line {line}: {describe(name, 'each column once', 'remove one')}"
        for name in dict.fromkeys(names)
        if name in COLUMNS and names.count(name) > 1
    ]
    problems += [
        f"line {line}: {describe(list(values), f'a column {name} ({COLUMNS[name]})', 'add it')}"
        for name in REQUIRED
        if name not in names
    ]
    if problems:
        raise RecipientsError(origin, problems)
    return names


def _take(row: _Row, table: _Table) -> None:
    person = row.recipient()
    if person is not None:
        _take_person(row, person.id, table)
        table.recipients.append(person)
        subscription = row.subscription()
        if subscription is not None:
            table.subscriptions.append(subscription)
            table.lines[f"subscriptions.{person.id}"] = row.line
    table.problems += row.problems


def _take_person(row: _Row, name: str, table: _Table) -> None:
    before = table.lines.setdefault(f"recipients.{name}", row.line)
    if before != row.line:
        row.wrong("id", f"an id of its own (line {before} has it)", "rename one of them")
    if row.flag("operator"):
        table.operators.append(name)
        table.lines[f"operators.{name}"] = row.line
    for role in ROLES:
        for unit in row.several(f"{role}_of"):
            people = table.chains.setdefault(unit, {})
            table.lines.setdefault(f"chains.{unit}", row.line)
            if role in people:
                expected = f"one {role} for {unit} (line {table.lines[f'chains.{unit}.{role}']} names one)"
                row.wrong(f"{role}_of", expected, "let one of them be the backup")
                continue
            people[role] = name
            table.lines[f"chains.{unit}.{role}"] = row.line
    for code in row.several("supervises"):
        region = next((each for each in table.supervisors if _same(each, code)), code)
        table.supervisors.setdefault(region, []).append(name)
        table.lines.setdefault(f"supervisors.{region}", row.line)


def _same(one: str, other: str) -> bool:
    """Whether two codes, of four or six digits, are of the same region."""
    return one == other or (region_token(one) is not None and region_token(one) == region_token(other))
