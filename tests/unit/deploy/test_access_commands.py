"""``pingyi token``, ``pingyi credential`` and ``pingyi registry validate``, on a directory of secrets."""

import json
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from deploy.local.cli import make_app
from deploy.local.layout import Layout
from deploy.local.secrets import ensure_secrets
from deploy.local.wallet import Wallet
from deploy.registry.materialise import write_divisions, write_table
from shared.auth.credential_file import CredentialFile
from shared.auth.credentials import KeyRing
from shared.auth.settings import AccessSettings
from shared.auth.sources import Sources
from shared.kernel.grades import Level
from shared.kernel.ids import UnitId
from shared.kernel.regions import Division, load_divisions
from shared.kernel.registry_book import Change, RegistryBook
from shared.kernel.unit_tables import units_text
from shared.kernel.units import load_units


@pytest.fixture
def data(tmp_path: Path) -> Path:
    ensure_secrets(tmp_path / "secrets", ())
    return tmp_path


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(make_app(arguments[0]), [*arguments, "--data", str(data)])


def sources(data: Path) -> Sources:
    return Sources(AccessSettings(auth_dir=data / "secrets" / "auth"))


def test_a_token_from_the_command_line_is_believed_by_every_service(data: Path) -> None:
    made = run(data, "token", "--role", "county.handler", "--region", "360721", "--minutes", "5")
    assert made.exit_code == 0, made.output
    principal = sources(data).tokens.principal(made.output.strip().encode(), time.time())
    assert (principal.subject, str(principal.roles[0])) == ("county-handler-360721", "county.handler")


def test_a_role_in_another_tiers_region_is_refused_with_what_fits(data: Path) -> None:
    refused = run(data, "token", "--role", "county.handler", "--region", "360700")
    assert refused.exit_code != 0
    assert "a role of the city" in str(refused.exception)


def test_a_key_is_issued_rotated_and_revoked_and_shown_only_then(data: Path) -> None:
    options = ("--name", "hotline-3607", "--channel", "hotline", "--region", "360700", "--json")
    first = json.loads(run(data, "credential", "issue", *options).output)
    second = json.loads(run(data, "credential", "rotate", first["id"], "--json").output)
    keys, now = sources(data).keys, time.time()
    for key in (first["key"], second["key"]):
        known = keys.find(key.encode(), now)
        assert known is not None
        assert (known.principal.subject, known.principal.scope.code) == ("hotline-3607", "360700")
    listed = run(data, "credential", "list").output
    assert first["id"] in listed
    assert all(key.split(".")[1] not in listed for key in (first["key"], second["key"]))
    assert run(data, "credential", "revoke", first["id"]).exit_code == 0
    file = CredentialFile(data / "secrets" / "auth" / "credentials.json")
    # In force from its own moment on, which is later than `now`.
    assert KeyRing(file.read()).find(second["key"].encode(), time.time()) is None
    rows = json.loads(run(data, "credential", "list", "--json").output)
    (row,) = [row for row in rows if row["id"] == first["id"]]
    assert row["state"] == f"revoked on {datetime.now(UTC):%Y-%m-%d}"


def test_a_key_for_a_place_that_does_not_exist_is_not_issued(data: Path) -> None:
    before = len(sources(data).keys.credentials)
    for region in ("360999", "U999999", "3607"):
        refused = run(data, "credential", "issue", "--name", "x", "--channel", "qr", "--region", region)
        assert refused.exit_code != 0, region
    assert len(sources(data).keys.credentials) == before


def test_a_key_is_for_a_place_that_the_registry_as_it_was_loaded_last_has_units_in(data: Path) -> None:
    def issue(region: str) -> Result:
        options = ("--name", f"x-{region.lower()}", "--channel", "qr", "--region", region)
        return run(data, "credential", "issue", *options)

    for region in ("360482", "360112", "U009002"):
        assert "the committed registry" in str(issue(region).exception) or region == "U009002"
    book = RegistryBook(load_units(), load_divisions())
    bureau, window = book.units[20], load_units().get("U000532")
    new: list[Change] = [
        Division("360799", "蓉江区", Level.COUNTY, "360700", date(2026, 1, 1), None),
        replace(bureau, unit_id=UnitId("U009001"), division="360799", city="3607", county="360799"),
        replace(bureau, unit_id=UnitId("U009002"), division="360482", city="3604", county="360482"),
        replace(window, valid_to=date(2026, 1, 1), successor=UnitId("U000533")),
    ]
    for each in new:
        book.part("load", each)
    assert book.loaded("load", 1, len(new))
    layout = Layout(data)
    write_table(book, layout.units_file)
    write_divisions(book, layout.divisions_file)
    for region in ("360482", "360799", "U009001", "U009002", "360000"):
        assert issue(region).exit_code == 0, region
    empty = str(issue("360112").exception)
    assert "360112 (新建区)" in empty
    assert f"as it was loaded last ({layout.units_file})" in empty, "it says what it asked"
    ended = str(issue("U000532").exception)
    assert "ended on 2026-01-01" in ended
    assert "successor U000533" in ended


def test_tables_are_validated_together(data: Path, tmp_path: Path) -> None:
    def validated(**tables: str) -> tuple[int, list[tuple[str, int, str]]]:
        options: list[str] = []
        for name, text in tables.items():
            path = tmp_path / f"{name}.csv"
            path.write_text(text, "utf-8")
            options += [str(path)] if name == "units" else [f"--{name}", str(path)]
        done = run(data, "registry", "validate", *options, "--json")
        said = json.loads(done.stdout)
        return done.exit_code, [(each["table"], each["line"], each["column"]) for each in said["faults"]]

    row = "U009001,蓉江区民政局,county,bureau,360799,3607,360799,U000008,2026-01-01,\n"
    units = units_text(load_units()) + row
    last = units.count("\n")
    divisions = "code,name,level,parent,valid_from,valid_to\n360799,蓉江区,county,360700,2026-01-01,\n"
    merges = "unit_id,into,on\nU000532,U000048,2026-12-01\n"
    people = "unit_id,role,person,valid_from\nU009001,head,person-1,2026-01-01\nU9,head,person-1,2026-01-01\n"
    assert validated(units=units) == (1, [("units", last, "division")])
    assert validated(units=units, divisions=divisions) == (0, [])
    assert validated(units=units, divisions=divisions, merges=merges, responsibilities=people) == (
        1, [("merges", 2, "into"), ("responsibilities", 3, "unit_id")],
    )  # fmt: skip


def test_proofs_go_to_the_platforms_own_addresses_and_nowhere_else(data: Path) -> None:
    seen: dict[str, str | None] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[str(request.url)] = request.headers.get("authorization")
        return httpx.Response(200)

    wallet = Wallet(data / "secrets", ["http://127.0.0.1:8001", "http://127.0.0.1:8004"])
    with httpx.Client(transport=httpx.MockTransport(answer), auth=wallet) as http:
        http.post("http://127.0.0.1:8001/v1/feedback")
        http.get("http://127.0.0.1:8004/v1/events", extensions={"subject": "city-auditor"})
        for elsewhere in ("http://127.0.0.1:80010/v1/events", "https://example.org/v1/feedback"):
            http.get(elsewhere)
    known = sources(data)
    key, token, *others = seen.values()
    assert key is not None
    assert token is not None
    found = known.keys.find(key.removeprefix("Bearer ").encode(), time.time())
    assert found is not None
    assert found.principal.subject == "cli"
    principal = known.tokens.principal(token.removeprefix("Bearer ").encode(), time.time())
    assert principal.subject == "city-auditor"
    assert others == [None, None]


def test_a_platform_elsewhere_is_shown_what_the_environment_holds(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path, ["http://a"], {"PINGYI_TOKEN": "token", "PINGYI_KEY": "key"})
    assert (wallet.token(), wallet.key()) == ("token", "key")
    assert (Wallet(tmp_path).token(), Wallet(tmp_path).key()) == (None, None)


def test_a_key_whose_hash_was_lost_is_made_known_again_at_the_next_start(data: Path) -> None:
    (data / "secrets" / "auth" / "credentials.json").unlink()
    ensure_secrets(data / "secrets", ())
    key = (data / "secrets" / "keys" / "qr.key").read_text().strip()
    assert sources(data).keys.find(key.encode(), time.time()) is not None
