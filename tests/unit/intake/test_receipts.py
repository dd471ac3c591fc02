import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.pseudonyms import RECEIPT_BYTES, Pseudonyms
from services.intake.domain.receipts import parse_receipt_code, receipt_code
from shared.kernel.errors import InvalidValueError

receipts = st.binary(min_size=RECEIPT_BYTES, max_size=RECEIPT_BYTES)


@given(receipts)
def test_a_code_reads_back_as_the_receipt(receipt: bytes) -> None:
    code = receipt_code(receipt)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}", code)
    assert parse_receipt_code(code) == receipt


@given(receipts)
def test_case_hyphens_blanks_and_lookalikes_do_not_matter(receipt: bytes) -> None:
    code = receipt_code(receipt)
    for spelling in (
        code.lower(),
        code.replace("-", ""),
        code.replace("-", " "),
        code.replace("0", "O").replace("1", "l"),
        code.replace("1", "I"),
    ):
        assert parse_receipt_code(spelling) == receipt


@pytest.mark.parametrize("wrong", ["", "ABCD", "UUUU-UUUU-UUUU-UUUU", "0" * 17, "ＡBCD-ABCD-ABCD-ABCD"])
def test_something_else_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidValueError, match="receipt code"):
        parse_receipt_code(wrong)


def test_receipts_are_80_bits_and_depend_on_id_and_key() -> None:
    one, other = Pseudonyms("a", bytes(32)), Pseudonyms("a", b"x" * 32)
    assert len({one.receipt("1"), one.receipt("2"), other.receipt("1")}) == 3
    assert len(one.receipt("1")) * 8 == 80


@given(st.binary(min_size=32, max_size=100), st.text())
def test_a_receipt_is_the_head_of_an_hmac_under_a_key_of_its_own(master: bytes, event_id: str) -> None:
    key = hmac.digest(master, b"pingyi/receipt/v1", "sha256")
    raw = event_id.encode("utf-8", "replace")
    assert Pseudonyms("k1", master).receipt(raw.decode()) == hmac.digest(key, raw, "sha256")[:RECEIPT_BYTES]
