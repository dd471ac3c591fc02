"""Files with several live keys, and changing keys in them."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.key_rotation import add_pseudonym_key, add_vault_key, remove_pseudonym_key, remove_vault_key
from services.intake.adapters.live_keys import REFERENCES_FILE, load_pseudonyms
from services.intake.domain.submission import Contact
from shared.auth.key_files import load_keys, parse_keys
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel

ONE, TWO = "ab" * 32, "cd" * 32
TODAY = date(2026, 11, 26)
SOMEBODY = Contact(phone="13812345678")


def test_the_newest_key_is_the_last_line_and_comments_do_not_count() -> None:
    ring = parse_keys(f"# two keys\nkek-1:{ONE}\n\nkek-2:{TWO} 2026-11-26\n", "vault.key")
    assert (ring.newest.key_id, ring.oldest.key_id, len(ring)) == ("kek-2", "kek-1", 2)
    assert [key.key_id for key in ring.earlier] == ["kek-1"]
    assert [each.since for each in ring.dated] == [None, TODAY]


@pytest.mark.parametrize(
    "text", ["", "# none", f"a:{ONE}\na:{TWO}", f"a:{ONE} tomorrow", f"a:{ONE} 2026-11-26 x", f"{ONE} {TWO}"]
)
def test_a_malformed_file_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_keys(text, "vault.key")
    assert ONE not in str(caught.value)


def test_a_new_key_of_the_vault_goes_last_and_only_earlier_ones_can_go(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    path.write_text(f"kek-1:{ONE}\n")
    newest = add_vault_key(tmp_path, TODAY).newest.key_id
    assert [key.key_id for key in load_keys(path)] == ["kek-1", newest]
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidValueError, match="kek-1"):
        remove_vault_key(tmp_path, newest)
    assert len(remove_vault_key(tmp_path, "kek-1")) == 1


def test_pseudonyms_change_and_receipts_stay_when_the_first_key_is_destroyed(tmp_path: Path) -> None:
    (tmp_path / "hmac.key").write_text(ONE + "\n")
    first = load_pseudonyms(tmp_path)
    add_pseudonym_key(tmp_path, TODAY)
    both = load_pseudonyms(tmp_path)
    assert both.citizen(SOMEBODY, Channel.WEB) != first.citizen(SOMEBODY, Channel.WEB)
    assert [each.citizen(SOMEBODY, Channel.WEB) for each in both.earlier] == [
        first.citizen(SOMEBODY, Channel.WEB)
    ]
    with pytest.raises(LocalError, match="2026-12-31"):
        remove_pseudonym_key(tmp_path, first.key_id, TODAY + timedelta(days=34), 35)
    remove_pseudonym_key(tmp_path, first.key_id, TODAY + timedelta(days=35), 35)
    alone = load_pseudonyms(tmp_path)
    assert alone.earlier == ()
    assert first.receipt("e") == both.receipt("e") == alone.receipt("e")
    assert first.decision("e", b"d") == both.decision("e", b"d") == alone.decision("e", b"d")
    assert first.request("e", "k") == both.request("e", "k") == alone.request("e", "k")
    left = "".join(path.read_text() for path in tmp_path.iterdir())
    assert ONE not in left, "what remains can't be turned back into the key"
    (tmp_path / REFERENCES_FILE).write_text(f"x-receipt:{ONE}\n")
    with pytest.raises(InvalidValueError, match="receipt"):
        load_pseudonyms(tmp_path)


def test_a_key_whose_successor_has_no_day_is_not_destroyed_by_guess(tmp_path: Path) -> None:
    (tmp_path / "hmac.key").write_text(f"old:{ONE}\nnew:{TWO}\n")
    with pytest.raises(LocalError, match="does not tell"):
        remove_pseudonym_key(tmp_path, "old", TODAY, 35)
