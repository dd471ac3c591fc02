import stat
import threading
import timeit
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.auth.credential_file import CredentialFile, Order
from shared.auth.credentials import KeyRing, Signing, parse_credentials, render_credentials, split_key
from shared.auth.principals import Duty, Scope
from shared.kernel.errors import ConflictError, InvalidValueError, NotFoundError
from shared.kernel.grades import Channel

NOW = datetime(2026, 11, 26, 4, tzinfo=UTC)
ORDER = Order("hotline-3607", Duty.CHANNEL, frozenset({Channel.HOTLINE}), Scope.parse("360700"))


@pytest.fixture
def file(tmp_path: Path) -> CredentialFile:
    return CredentialFile(tmp_path / "auth" / "credentials.json")


def holder(file: CredentialFile, key: str, at: datetime = NOW) -> str | None:
    """Who comes in with `key` at that time."""
    known = KeyRing(file.read()).find(key.encode(), at.timestamp())
    return None if known is None else known.principal.subject


def test_a_key_opens_and_the_file_holds_neither_it_nor_a_part_of_its_secret(
    file: CredentialFile, tmp_path: Path
) -> None:
    _, key = file.issue(ORDER, NOW)
    assert holder(file, key) == "hotline-3607"
    assert len(split_key(key)[1]) >= 43, "256 bits"
    path = tmp_path / "auth" / "credentials.json"
    assert split_key(key)[1] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_wrong_secret_a_cut_key_and_an_unknown_id_open_nothing(file: CredentialFile) -> None:
    _, key = file.issue(ORDER, NOW)
    _, other = file.issue(replace(ORDER, name="other"), NOW)
    swapped = key.split(".")[0] + "." + other.split(".")[1]
    for wrong in (swapped, key[:-1], key + "A", key.split(".")[0], "pk_aaaaaaaaaaaa.x", "pk_.", "", key[3:]):
        assert holder(file, wrong) is None, wrong


def test_two_keys_are_good_while_a_rotation_overlaps_and_one_afterwards(file: CredentialFile) -> None:
    made, first = file.issue(ORDER, NOW)
    _, second = file.rotate(made.credential_id, timedelta(hours=72), NOW)
    soon, later = NOW + timedelta(hours=71), NOW + timedelta(hours=73)
    assert (holder(file, first, soon), holder(file, second, soon)) == ("hotline-3607", "hotline-3607")
    assert (holder(file, first, later), holder(file, second, later)) == (None, "hotline-3607")


def test_a_third_key_ends_the_first_at_once(file: CredentialFile) -> None:
    made, first = file.issue(ORDER, NOW)
    _, second = file.rotate(made.credential_id, timedelta(hours=72), NOW)
    _, third = file.rotate(made.credential_id, timedelta(hours=72), NOW)
    assert [holder(file, each) for each in (first, second, third)] == [None, "hotline-3607", "hotline-3607"]


def test_a_revoked_credential_opens_nothing_and_can_not_be_rotated(file: CredentialFile) -> None:
    made, key = file.issue(ORDER, NOW)
    file.revoke(made.credential_id, NOW)
    assert holder(file, key) is None
    with pytest.raises(ConflictError, match="revoked"):
        file.rotate(made.credential_id, timedelta(0), NOW)
    with pytest.raises(NotFoundError):
        file.revoke("nobody", NOW)


def test_a_credential_is_good_from_its_first_moment_up_to_its_last(file: CredentialFile) -> None:
    _, key = file.issue(replace(ORDER, valid_to=NOW + timedelta(days=1)), NOW)
    moments = (-1, 0, 86_399, 86_400)
    found = [holder(file, key, NOW + timedelta(seconds=each)) for each in moments]
    assert found == [None, "hotline-3607", "hotline-3607", None]


def test_only_a_credential_that_signs_has_a_signing_key_in_the_file(file: CredentialFile) -> None:
    plain, _ = file.issue(ORDER, NOW)
    signing, _ = file.issue(replace(ORDER, name="terminal", signing=Signing.REQUIRED), NOW)
    assert plain.secrets[0].signing_key is None
    assert signing.secrets[0].signing_key not in {None, signing.secrets[0].digest}


def test_what_is_written_is_what_is_read(file: CredentialFile) -> None:
    file.issue(replace(ORDER, signing=Signing.OPTIONAL, valid_to=NOW), NOW)
    held = file.read()
    assert parse_credentials(render_credentials(held)) == held


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 2, "credentials": []}', '{"version": 1, "credentials": [{}]}', "null"],
)
def test_a_file_that_is_none_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(InvalidValueError, match="a credentials file of version 1"):
        parse_credentials(text)


@pytest.mark.parametrize(
    "name", ["张三", "Hotline", "", "a" * 65, "hot line", "13912345678", "11010519491231002x"]
)
def test_a_name_that_no_service_would_read_or_that_is_a_persons_is_refused_before_it_is_written(
    file: CredentialFile, name: str
) -> None:
    _, key = file.issue(ORDER, NOW)
    with pytest.raises(InvalidValueError, match="small letters, digits") as refused:
        file.issue(replace(ORDER, name=name), NOW)
    assert name == "" or name not in str(refused.value)
    assert holder(file, key) == "hotline-3607", "the file is as it was"


def test_nothing_is_written_that_could_not_be_read_again(file: CredentialFile) -> None:
    _, key = file.issue(ORDER, NOW)
    with pytest.raises(InvalidValueError):
        file.issue(replace(ORDER, name="no-channels", channels=frozenset()), NOW)
    assert holder(file, key) == "hotline-3607"


def test_writers_that_meet_lose_nothing(file: CredentialFile) -> None:
    orders = [replace(ORDER, name=f"system-{number}") for number in range(12)]
    threads = [threading.Thread(target=file.issue, args=(order, NOW)) for order in orders]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(each.name for each in file.read()) == sorted(order.name for order in orders)


def test_finding_a_key_takes_microseconds(file: CredentialFile) -> None:
    for number in range(50):
        _, key = file.issue(replace(ORDER, name=f"system-{number}"), NOW)
    ring, raw, now = KeyRing(file.read()), key.encode(), NOW.timestamp()
    best = min(timeit.repeat(lambda: ring.find(raw, now), number=2000, repeat=5)) / 2000
    assert best < 50e-6, "measured 2 µs; the bound only finds what is wrong by an order"
