from tests.architecture.tree import ROOT
from tests.conftest import SLOW_FIRST


def test_what_runs_first_is_there_and_stays_in_its_order() -> None:
    assert [path for path in SLOW_FIRST if not (ROOT / path).exists()] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--dist loadfile --no-loadscope-reorder" in makefile
