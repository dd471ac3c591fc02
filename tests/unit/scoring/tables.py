"""Statistics for tests of the ranking: a small province, and random tables as a fold could give them."""

from collections.abc import Sequence
from random import Random

import numpy as np

from services.scoring.domain.buckets import WIDTH, Column, IntTable
from shared.kernel.grades import Dimension, Level
from shared.kernel.units import Unit, UnitRegistry, load_units

ALL_UNITS = load_units()
WHOLE_MILLI = 1000


def small_province() -> UnitRegistry:
    """The province, two cities, their counties, and windows of three kinds: one of them is a small group."""
    cities = [unit for unit in ALL_UNITS.by_level(Level.CITY) if unit.city in {"3601", "3607"}]
    kept = {unit.unit_id for city in cities for unit in ALL_UNITS.subtree(city.unit_id)}
    few = {unit.unit_id for unit in ALL_UNITS.by_level(Level.WINDOW, "charity")[3:]}
    return UnitRegistry(
        unit
        for unit in ALL_UNITS
        if unit.level is Level.PROVINCE
        or (unit.unit_id in kept - few and unit.kind in {"bureau", "marriage", "lottery", "charity"})
    )


def add_ratings(
    table: IntTable, place: int, grades: Sequence[int], weight_milli: int, dimensions: Sequence[int] = ()
) -> None:
    """Add ratings of one unit, each with these sub-grades; proven are those that weigh a whole one."""
    for grade in grades:
        table[place, Column.RATINGS] += 1
        table[place, grade] += 1
        proven = weight_milli == WHOLE_MILLI
        table[place, Column.PROVEN if proven else Column.UNPROVEN] += weight_milli
        table[place, Column.PROVEN_GOOD if proven else Column.UNPROVEN_GOOD] += weight_milli * (grade >= 3)
        for number, sub_grade in enumerate(dimensions):
            table[place, Column.DIMENSIONS + 2 * number] += 1
            table[place, Column.DIMENSIONS + 2 * number + 1] += sub_grade


def random_statistics(units: Sequence[Unit], random: Random, *, most: int = 80) -> IntTable:
    """Ratings of every unit: none, a few or many, some with sub-grades."""
    table = np.zeros((len(units), WIDTH), dtype=np.int64)
    for place in range(len(units)):
        add_random(table, place, random, random.choice((0, 4, 9, 10, 15, 29, 30, 50, most)))
    return table


def add_random(table: IntTable, place: int, random: Random, count: int) -> None:
    """Add so many random ratings of one unit."""
    quality = random.choice((0.5, 0.8, 0.9, 0.99, 1.0))
    for _ in range(count):
        grade = random.choice((3, 4, 5)) if random.random() < quality else random.choice((1, 2))
        sub_grades = [random.randint(1, 5) for _ in Dimension][: random.choice((0, 0, 2, 5))]
        add_ratings(table, place, [grade], random.choice((1000, 800, 400, 200)), sub_grades)
