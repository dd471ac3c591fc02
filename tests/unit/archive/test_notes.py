"""Signed notes: byte for byte what the format's own examples have, and nothing changed goes through."""

from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from services.archive.domain import notes
from services.archive.domain.merkle import leaf_hash
from services.archive.domain.notes import (
    Algorithm,
    Checkpoint,
    Note,
    NoteError,
    Signature,
    SigningKey,
    VerifierKey,
    open_note,
)

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
# The example of C2SP signed-note, and the vectors of Go's package sumdb/note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_LINE = (
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
COSIGNATURE = (
    "ZGhGuQAAAABm/qTPeyKXD+R2rzyQsxPiP8mXum7qq/iF0u4vanlqJyocWODBt97w9uL+8qT7S5gxEHWWOworDcFiEBYJXORmnFBOBA=="
)

LOG = SigningKey("pingyi.archive/360000", Algorithm.ED25519, bytes(range(32)))
WITNESS = SigningKey("witness.example/1", Algorithm.COSIGNATURE_V1, bytes(range(1, 33)))
CHECKPOINT = Checkpoint("pingyi.archive/360000", 20_852, leaf_hash(b"leaf"))
NOTE = notes.sign(CHECKPOINT, LOG, NOW)


def test_the_example_of_the_specification_verifies() -> None:
    key = VerifierKey.parse(EXAMPLE_KEY)
    note = Note.parse(EXAMPLE_NOTE)
    assert key.text == EXAMPLE_KEY
    assert str(note) == EXAMPLE_NOTE
    assert note.signatures[0].is_from(key)
    assert key.verifies(note.body, note.signatures[0].signature)
    assert not key.verifies(note.body + " ", note.signatures[0].signature)


def test_keys_and_signatures_are_those_of_the_reference_byte_for_byte() -> None:
    key = SigningKey.parse(GO_SECRET)
    assert key.text == GO_SECRET
    assert key.verifier.text == GO_KEY
    assert key.sign(GO_TEXT, NOW).line == GO_LINE


def test_a_cosignature_says_when_the_witness_looked() -> None:
    raw = b64decode(COSIGNATURE)
    signature = Signature("witness", raw[:4], raw[4:])
    assert signature.cosigned_at() == datetime.fromtimestamp(1727964367, UTC)


def test_a_cosignature_signs_the_time_and_the_text() -> None:
    line = WITNESS.sign(NOTE.body, NOW)
    raw = b64decode(line.line.split(" ")[2])
    seconds = int(NOW.timestamp())
    assert raw[:4] == WITNESS.verifier.key_hash
    assert int.from_bytes(raw[4:12]) == seconds
    message = f"cosignature/v1\ntime {seconds}\n{CHECKPOINT.body()}".encode()
    Ed25519PublicKey.from_public_bytes(WITNESS.verifier.public).verify(raw[12:], message)
    assert WITNESS.verifier.verifies(NOTE.body, line.signature)
    assert not WITNESS.verifier.verifies(NOTE.body, bytes(8) + line.signature[8:])
    assert not WITNESS.verifier.verifies(NOTE.body, b"short")


def test_a_signed_checkpoint_reads_as_the_format_has_it() -> None:
    lines = str(NOTE).split("\n")
    root = b64encode(CHECKPOINT.root).decode()
    assert lines[:4] == ["pingyi.archive/360000", "20852", root, ""]
    assert lines[4].startswith("— pingyi.archive/360000 ")
    assert lines[5:] == [""]
    opened = open_note(str(NOTE), [LOG.verifier], CHECKPOINT.origin)
    assert opened.checkpoint == CHECKPOINT
    assert opened.signers == (LOG.verifier,)


def test_a_note_carries_the_lines_of_witnesses_and_of_strangers() -> None:
    stranger = SigningKey.generate("stranger.example/1", Algorithm.COSIGNATURE_V1)
    note = NOTE.adding(WITNESS.sign(NOTE.body, NOW)).adding(stranger.sign(NOTE.body, NOW))
    opened = open_note(str(note), [LOG.verifier, WITNESS.verifier])
    assert opened.signers == (LOG.verifier, WITNESS.verifier)
    assert opened.signed_by(WITNESS.verifier)
    assert not opened.signed_by(stranger.verifier)
    assert Note.parse(str(note)) == note


def test_a_witness_alone_does_not_make_a_checkpoint() -> None:
    note = Note(NOTE.body, (WITNESS.sign(NOTE.body, NOW),))
    with pytest.raises(NoteError, match="distrust this checkpoint"):
        open_note(str(note), [LOG.verifier, WITNESS.verifier])


def test_another_key_of_the_same_name_is_another_key() -> None:
    other = SigningKey.generate(LOG.name)
    assert other.verifier.key_hash != LOG.verifier.key_hash
    with pytest.raises(NoteError, match=r"one by pingyi\.archive/360000"):
        open_note(str(notes.sign(CHECKPOINT, other, NOW)), [LOG.verifier])


def test_the_algorithm_is_part_of_the_key() -> None:
    same = SigningKey(LOG.name, Algorithm.COSIGNATURE_V1, LOG.secret)
    assert same.verifier.public == LOG.verifier.public
    assert same.verifier.key_hash != LOG.verifier.key_hash


def test_the_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(NoteError, match=r"the log pingyi\.archive/440000"):
        open_note(str(NOTE), [LOG.verifier], "pingyi.archive/440000")


def test_an_extension_line_is_signed_and_left_alone() -> None:
    body = CHECKPOINT.body() + "an extension\n"
    note = Note(body, (LOG.sign(body, NOW),))
    assert open_note(str(note), [LOG.verifier]).checkpoint == CHECKPOINT
    with pytest.raises(NoteError, match="was changed"):
        open_note(str(note).replace("an extension", "no extension"), [LOG.verifier])


@given(st.integers(0, len(str(NOTE)) - 1), st.integers(1, 0x7F))
def test_no_changed_character_goes_through(at: int, shift: int) -> None:
    text = str(NOTE)
    changed = text[:at] + chr((ord(text[at]) + shift) % 0x80) + text[at + 1 :]
    with pytest.raises(NoteError):
        open_note(changed, [LOG.verifier])


@given(st.binary(min_size=32, max_size=32), st.sampled_from(Algorithm))
def test_keys_go_through_their_text_and_back(secret: bytes, algorithm: Algorithm) -> None:
    key = SigningKey("witness.example/1", algorithm, secret)
    assert SigningKey.parse(key.text) == key
    assert VerifierKey.parse(key.verifier.text + "\n") == key.verifier


def test_a_key_that_was_changed_or_cut_is_refused_and_never_repeated() -> None:
    for start in range(len(GO_KEY)):
        for end in range(start + 1, len(GO_KEY) + 1):
            if end - start < len(GO_KEY):
                with pytest.raises(NoteError):
                    VerifierKey.parse(GO_KEY[start:end])
    secret = LOG.text.rpartition("+")[2]
    for text in (LOG.text[:-4], LOG.text.replace("pingyi", "ping yi"), secret, LOG.text.replace("/", "")):
        with pytest.raises(NoteError) as caught:
            SigningKey.parse(text)
        assert secret[:20] not in str(caught.value)
    assert secret not in repr(LOG)
    with pytest.raises(NoteError, match="an algorithm of 1"):
        VerifierKey.parse("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\tb"])
def test_a_key_needs_a_name_that_a_line_can_carry(name: str) -> None:
    with pytest.raises(NoteError, match="without blanks and plus signs"):
        SigningKey.generate(name)


@pytest.mark.parametrize(
    "body",
    [
        "log\n07\n" + b64encode(bytes(32)).decode() + "\n",
        "log\n7\n",
        "log\n7\nAAAA\n",
        "log\n-1\n" + b64encode(bytes(32)).decode() + "\n",
        "log\n7\n" + b64encode(bytes(32)).decode(),
        "\n7\n" + b64encode(bytes(32)).decode() + "\n",
        "log\n7\n" + b64encode(bytes(32)).decode().replace("A=", "B=") + "\n",
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(body)


@pytest.mark.parametrize(
    "text",
    [
        "",
        CHECKPOINT.body(),
        CHECKPOINT.body() + "\n",
        str(NOTE).removesuffix("\n"),
        str(NOTE).replace("— ", "- "),
        str(NOTE).replace("\n", "\r\n"),
        str(NOTE) + NOTE.signatures[0].line * 100,
        CHECKPOINT.body() + "\n— name eHg=\n",
    ],
)
def test_a_text_that_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Note.parse(text)
