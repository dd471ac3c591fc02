from tests.architecture.tree import ROOT
from tests.support.properties import DEFAULT, EXPLORE, QUICK, THOROUGH, number_of


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
