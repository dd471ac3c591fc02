"""Finding the unit that a row is about: by id, name, what the office calls it, or by region and kind."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from deploy.local.errors import LocalError
from deploy.local.importing.cells import key
from deploy.local.importing.faults import Fault
from shared.kernel.errors import describe

_PROPOSALS: Final = 3
_NEAR: Final = 0.6
_REGION_DIGITS: Final = 6
_REMEMBERED: Final = 65_536
_LONGEST: Final = 300
"""Characters of what is remembered of one row; names of units are shorter."""
_LOOKED_UP: Final = 100
"""Unknown names that similar ones are looked for: each takes 20 ms, and a wrong file has a million."""


class NoUnit(NamedTuple):
    """What did not name a unit, and why."""

    value: str | None
    fault: Fault


@dataclass(frozen=True, slots=True)
class NamedUnit:
    """One unit of the registry, as far as names go."""

    unit_id: str
    name: str
    kind: str
    division: str
    valid_from: str = ""
    valid_to: str | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "NamedUnit":
        """From an item of intake's ``GET /v1/units``."""
        return cls(
            answer["unit_id"],
            answer["name"],
            answer["kind"],
            answer["division"],
            answer["valid_from"],
            answer["valid_to"],
        )

    def exists(self, on: str) -> bool:
        """Whether it exists on a day, written as YYYY-MM-DD."""
        return self.valid_from <= on and (self.valid_to is None or on < self.valid_to)


class UnitNames:
    """All names of all units; remembers what it found, since a column repeats the same few names."""

    def __init__(
        self,
        units: Iterable[NamedUnit],
        kinds: Mapping[str, str],
        own_names: Mapping[str, str] | None = None,
    ) -> None:
        """Index `units`.

        Args:
            units: the registry.
            kinds: labels of the kinds of window, by key.
            own_names: what the office calls units (also codes of departments), with their ids.

        Raises:
            LocalError: one of the office's names stands for no unit.
        """
        known = list(units)
        self._ids = {unit.unit_id for unit in known}
        self._names: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._shared: dict[str, list[NamedUnit]] = {}
        """Names that several units have or had, such as one that was recoded and its successor."""
        self._places: dict[tuple[str, str], list[NamedUnit]] = {}
        first: dict[str, NamedUnit] = {}
        for unit in known:
            name = key(unit.name)
            if self._names.setdefault(name, unit.unit_id) != unit.unit_id:
                self._shared.setdefault(name, [first[name]]).append(unit)
            first.setdefault(name, unit)
            self._shown[name] = unit.name
            self._places.setdefault((unit.division, unit.kind), []).append(unit)
        for name, unit_id in (own_names or {}).items():
            if unit_id not in self._ids:
                expected = f"the id of a registered unit for {name}"
                raise LocalError(describe(unit_id, expected, "correct the table of names"))
        self._names |= {key(name): unit_id for name, unit_id in (own_names or {}).items()}
        for name in own_names or {}:
            self._shared.pop(key(name), None)
        self._kinds = {key(word): kind for kind, label in kinds.items() for word in (kind, label)}
        self._found: dict[tuple[str | None, ...], str | NoUnit | list[NamedUnit]] = {}
        self._looked_up = 0

    def find(
        self,
        unit_id: str | None,
        name: str | None,
        region: str | None,
        kind: str | None,
        on: Callable[[], str] = lambda: "9999-12-31",
    ) -> str | NoUnit:
        """The unit's id; the first of id, name, region and kind that is given decides.

        Where they say several units, it is the one that exists on the day `on`, if only one does.
        """
        asked = (unit_id, name, region, kind)
        found = self._found.get(asked)
        if found is None:
            found = self._find(*asked)
            if len(self._found) < _REMEMBERED and sum(len(each or "") for each in asked) < _LONGEST:
                self._found[asked] = found
        if not isinstance(found, list):
            return found
        day = on()
        there = [each.unit_id for each in found if each.exists(day)]
        return there[0] if len(there) == 1 else NoUnit(name or f"{region} {kind}", _AMBIGUOUS)

    def _find(
        self, unit_id: str | None, name: str | None, region: str | None, kind: str | None
    ) -> str | NoUnit | list[NamedUnit]:
        if unit_id is not None:
            word = key(unit_id)
            return word if word in self._ids else NoUnit(unit_id, _UNKNOWN_ID)
        if name is not None:
            word = key(name)
            if word in self._ids:
                return word
            found = self._shared.get(word) or self._names.get(word)
            if found is not None:
                return found
        if region is not None and kind is not None:
            division = key(region)[:_REGION_DIGITS]
            there = self._places.get((division, self._kinds.get(key(kind), "")), [])
            if not there:
                return NoUnit(f"{region} {kind}", _UNKNOWN_PLACE)
            return there[0].unit_id if len(there) == 1 else there
        return NoUnit(None, _NO_UNIT) if name is None else NoUnit(name, self._unknown(key(name)))

    def _unknown(self, word: str) -> Fault:
        self._looked_up += 1
        if self._looked_up > _LOOKED_UP:
            return _UNKNOWN_NAME
        near = difflib.get_close_matches(word[:64], self._names, _PROPOSALS, _NEAR)
        names = [self._shown[each] for each in near if each in self._shown]
        if not names:
            return _UNKNOWN_NAME
        return Fault(
            _UNKNOWN_NAME.expected_zh,
            f"是否为{'、'.join(names)}？改正名称，或用 --unit-names 给出对照表",
            _UNKNOWN_NAME.expected_en,
            f"did you mean {', '.join(names)}? correct the name, or give a table of names with --unit-names",
        )


_UNKNOWN_ID: Final = Fault(
    "已登记单位的编号，如 U000112", "在 GET /v1/units 中查对编号",
    "the id of a registered unit such as U000112", "look it up in GET /v1/units",
)  # fmt: skip
_UNKNOWN_NAME: Final = Fault(
    "已登记单位的全称", "改为全称，或用 --unit-names 给出对照表",
    "the full name of a registered unit", "write the full name, or give a table of names with --unit-names",
)  # fmt: skip
_AMBIGUOUS: Final = Fault(
    "当日只有一个单位的名称或区划与类别", "改用单位编号",
    "what only one unit has on that day", "use the unit's id instead",
)  # fmt: skip
_UNKNOWN_PLACE: Final = Fault(
    "有该类窗口的县（市、区）代码和窗口类别", "查对行政区划代码和窗口类别，或填写单位名称",
    "the code of a county and a kind of window that it has", "check both, or fill in the unit's name",
)  # fmt: skip
_NO_UNIT: Final = Fault(
    "单位名称或编号", "填写被评价的单位",
    "the name or id of a unit", "fill in the unit that was rated",
)  # fmt: skip
