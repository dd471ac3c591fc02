import re
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, committed_files, python_modules

MAX_LINES = 500
# Single characters in brackets, so that this file does not find itself.
REGISTRY_HOSTS = re.compile(
    r"pypi[.]org|python[h]osted|registry[.]npm[j]s|npm[m]irror|deb[.]debian|index[-]url|find[-]links"
)
MACHINE_PATHS = re.compile(r"(?<![\w.*])/(home|root|Users|work)[/]\w")
# Text that others wrote and that is kept word for word.
VERBATIM = {ROOT / "LICENSE"}


def _findings(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in committed_files():
        if path in VERBATIM:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_package_registry() -> None:
    assert _findings(REGISTRY_HOSTS) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert _findings(MACHINE_PATHS) == []


def test_modules_stay_within_one_idea() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_modules()
    }
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_every_ruff_ignore_states_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)["tool"]["ruff"]["lint"]
    ignored = [
        *settings["ignore"],
        *(code for codes in settings["per-file-ignores"].values() for code in codes),
    ]
    explained = re.findall(r'^\s+"([A-Z]+\d+)",\s+# \S.{8,}$', text, flags=re.MULTILINE)
    assert sorted(explained) == sorted(ignored)


SUPPRESSION = re.compile(r"#\s*(?P<what>noqa|type:\s*ignore)(?P<rest>.*)$")
NOQA = re.compile(r"^: [A-Z]+\d+(, ?[A-Z]+\d+)*\s*(-|#|—|–)\s*\S.+")
TYPE_IGNORE = re.compile(r"^\[[\w-]+(, ?[\w-]+)*\]\s*#\s*\S.+")


@pytest.mark.parametrize("path", python_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_suppression_names_its_code_and_its_reason(path: Path) -> None:
    if path == Path(__file__):
        return
    bare = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = SUPPRESSION.search(line)
        if match is None:
            continue
        form = NOQA if match["what"] == "noqa" else TYPE_IGNORE
        if not form.match(match["rest"]):
            bare.append(f"{number}: {line.strip()}")
    assert bare == []


def test_every_declared_dependency_is_locked_for_development() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {_normal(re.split(r"[\[<>=;! ]", requirement)[0]) for requirement in declared} - {"pingyi"}
    locked = {
        _normal(line.split("==")[0])
        for line in (ROOT / "requirements/dev.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert names - locked == set()


@pytest.mark.parametrize("name", ["runtime", "dev", "local", "real", "bench"])
def test_every_locked_package_has_a_hash(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    packages = [block for block in blocks if "==" in block.split("\n")[0]]
    assert packages
    assert [block.split("==")[0] for block in packages if "--hash=sha256:" not in block] == []


def test_the_locks_agree_on_every_version() -> None:
    versions: dict[str, set[str]] = {}
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"([A-Za-z0-9_.-]+)==(\S+)( ; (?P<marker>.*?))? \\$", line):
                versions.setdefault(f"{_normal(match[1])} ; {match['marker']}", set()).add(match[2])
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
