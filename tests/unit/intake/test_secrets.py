from pathlib import Path

import pytest

from shared.auth.key_files import TOKEN_FILE, load_recognised
from shared.auth.secrets import SecretMissingError, load_key, parse_key
from shared.kernel.errors import InvalidValueError

DIGITS = "ab" * 32


def test_a_key_with_and_without_an_id_is_read(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(f"kek-1:{DIGITS}\n")
    assert load_key(tmp_path / "k").key_id == "kek-1"
    plain = parse_key(DIGITS, "k")
    assert plain.secret == bytes.fromhex(DIGITS)
    assert plain.key_id == parse_key(DIGITS.upper(), "k").key_id
    assert plain.key_id != parse_key("cd" * 32, "k").key_id


@pytest.mark.parametrize("text", ["", "ab", DIGITS + "a", f":{DIGITS}", f"K?:{DIGITS}", f"x:{DIGITS[:-2]}zz"])
def test_a_malformed_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidValueError, match="32 bytes") as caught:
        parse_key(text, "hmac.key")
    assert DIGITS not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretMissingError, match=r"hmac\.key"):
        load_key(tmp_path / "hmac.key")


def test_former_keys_are_read_beside_the_one_in_force(tmp_path: Path) -> None:
    (tmp_path / "token.key").write_text(f"k2:{DIGITS}\n")
    assert load_recognised(tmp_path, TOKEN_FILE).former == ()
    former = tmp_path / "token.former.keys"
    former.write_text(f"k1:{'cd' * 32}\n\nunkeyed\n")
    assert load_recognised(tmp_path, TOKEN_FILE, unkeyed=True).former == (
        parse_key(f"k1:{'cd' * 32}", "k"),
        None,
    )
    with pytest.raises(InvalidValueError, match=r"token\.former\.keys"):
        load_recognised(tmp_path, TOKEN_FILE)


def test_former_keys_may_stand_in_the_file_itself_as_in_every_other_key_file(tmp_path: Path) -> None:
    old, older = "cd" * 32, "ef" * 32
    (tmp_path / "token.key").write_text(f"unkeyed\nk1:{old} 2026-01-01\n# in force\nk2:{DIGITS} 2026-11-26\n")
    (tmp_path / "token.former.keys").write_text(f"k0:{older}\nk2:{DIGITS}\n")
    keys = load_recognised(tmp_path, TOKEN_FILE, unkeyed=True)
    assert keys.current.key_id == "k2"
    assert [None if key is None else key.key_id for key in keys.former] == ["k1", "k0", None]


def test_a_key_never_shows_in_its_representation() -> None:
    assert DIGITS not in repr(parse_key(DIGITS, "k"))
    assert str(bytes.fromhex(DIGITS)) not in repr(parse_key(DIGITS, "k"))
