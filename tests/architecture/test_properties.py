import re

from tests.architecture.tree import ROOT
from tests.support.properties import (
    DEFAULT,
    EXPLORE,
    QUICK,
    RETRIED_LEAST,
    RETRIED_PERCENT,
    THOROUGH,
    number_of,
)


def test_the_build_server_tries_every_property_with_all_of_its_examples() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = [line for line in makefile.splitlines() if "-m hypothesis" in line]
    assert [recipe.split()[0] for recipe in recipes] == [
        f"@HYPOTHESIS_PROFILE={profile}" for profile in (THOROUGH, EXPLORE)
    ]
    assert "make properties" in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert DEFAULT[THOROUGH] >= 1000
    assert [number_of(asked, THOROUGH) for asked in (25, 1000, 5000)] == [25, 1000, 5000]


def test_a_quick_run_tries_a_share_and_never_more_than_is_asked_for() -> None:
    assert [number_of(asked, QUICK) for asked in (5, 25, 100, 300, 1000)] == [5, 20, 20, 45, 150]


def test_only_what_the_build_server_tries_with_all_examples_has_fewer_than_that_share() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    _, thorough, _ = makefile.split("$(or $(TESTS),", 2)
    folder = ROOT / thorough.partition(")")[0]
    assert folder == ROOT / "tests/unit/scoring"
    users = {
        path
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"\bretried\(\w", path.read_text(encoding="utf-8"))
    }
    assert users
    assert {path.parent for path in users} == {folder}
    few = {"percent": RETRIED_PERCENT, "least": RETRIED_LEAST}
    assert [number_of(each, QUICK, **few) for each in (5, 25, 100, 300, 1000)] == [5, 10, 10, 15, 50]
    assert [number_of(each, THOROUGH, **few) for each in (5, 25, 1000)] == [5, 25, 1000]
