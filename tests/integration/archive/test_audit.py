"""Checks from outside: what somebody changes in the database, both verifiers find, and witnesses refuse."""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from deploy.audit.archive_log import ArchiveLog
from deploy.audit.export import export
from deploy.audit.keys import Trusted
from deploy.audit.proof import UnprovedError, prove
from deploy.audit.verify_export import Key, Verifier
from deploy.audit.verifying import compare
from deploy.audit.witness import ContradictedError, Witness, make_key
from deploy.local import api
from deploy.local.cli import make_app
from deploy.local.embedded import MongoServer, NatsServer
from deploy.local.errors import LocalError, ServiceRefusedError
from services.archive.adapters.schema import ENTRIES
from services.archive.domain import merkle, notes
from services.archive.domain.entries import LOG_ORIGIN
from services.archive.domain.notes import Algorithm, SigningKey
from shared.kernel.clock import SystemClock
from tests.integration.archive.prepared import PreparedLog, prepared_log
from tests.integration.archive.tampers import FIELDS, TAMPERS, put_fields
from tests.support.access import proofs

pytestmark = pytest.mark.integration

MOST_FINDINGS = 60


@pytest.fixture(scope="module")
def made(
    shared_nats_server: NatsServer,
    shared_mongo_server: MongoServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PreparedLog]:
    """One log for this module; none of its tests may use ``nats_server``, which empties the broker."""
    with prepared_log(shared_nats_server, shared_mongo_server, tmp_path_factory.mktemp("audit")) as log:
        yield log


@pytest.fixture
def log(made: PreparedLog, monkeypatch: pytest.MonkeyPatch) -> PreparedLog:
    made.restore()
    wallet = proofs(made.url)
    monkeypatch.setattr(api, "_wallets", [wallet])
    monkeypatch.setenv("PINGYI_TOKEN", wallet.token() or "")
    return made


@pytest.fixture
def saved(log: PreparedLog, tmp_path: Path) -> Path:
    path = tmp_path / "saved.txt"
    path.write_text(log.saved, encoding="utf-8")
    return path


def findings(log: PreparedLog) -> list[str]:
    """What the archive finds by itself, one line each."""
    answer = httpx.get(
        f"{log.url}/v1/verify",
        params={"against": "stream"},
        timeout=60,
        trust_env=False,
        auth=proofs(log.url),
    )
    assert answer.is_success, answer.text
    return [f"{one['where']}: {one['what']}; {one['expected']}" for one in answer.json()["findings"]]


def online(log: PreparedLog, saved: Path) -> list[str]:
    """What ``pingyi audit verify --checkpoint saved.txt`` finds, one line each."""
    with ArchiveLog(log.url) as archive:
        outcome = compare(archive, log.trusted, [saved])
    compared = (f"{Path(one.where).name}: {one.what}; {one.expected}" for one in outcome.findings)
    return [*findings(log), *compared]


def offline(log: PreparedLog, saved: Path, directory: Path) -> list[str]:
    """What ``verify_export.py`` prints of an export, with the same key and checkpoint."""
    with ArchiveLog(log.url) as archive:
        export(archive, directory, lambda _: None)
    verifier = Verifier(directory, [Key(log.key.verifier.text)], [saved])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        verifier.run()
    assert bool(verifier.wrong) == bool(printed.getvalue())
    return printed.getvalue().replace(f"{saved.parent}/", "").splitlines()


def test_an_untouched_log_has_no_finding(log: PreparedLog, saved: Path, tmp_path: Path) -> None:
    assert online(log, saved) == []
    assert offline(log, saved, tmp_path / "export") == []


class InterruptedLog(ArchiveLog):
    """Breaks off at one tile, as a closed terminal does."""

    def tile(self, level: int, index: int) -> bytes:
        if (level, index) == (0, 1):
            raise KeyboardInterrupt
        return super().tile(level, index)


def test_an_interrupted_export_goes_on_where_it_was_and_never_mixes_two_logs(
    log: PreparedLog, saved: Path, tmp_path: Path
) -> None:
    directory, said = tmp_path / "export", list[str]()
    with InterruptedLog(log.url) as archive, pytest.raises(KeyboardInterrupt):
        export(archive, directory, said.append)
    assert said, "entries were fetched"
    assert not (directory / "checkpoint").exists(), "nobody takes it for a whole one"
    said.clear()
    assert offline(log, saved, directory) == []
    with ArchiveLog(log.url) as archive, pytest.raises(LocalError, match="new or empty"):
        export(archive, directory, said.append)
    (directory / "checkpoint").rename(directory / "unfinished")
    log.rewrite([log.entry(index) for index in range(len(log.originals[ENTRIES]) - 1, -1, -1)])
    log.sign_again(log.key)
    with ArchiveLog(log.url) as archive, pytest.raises(LocalError, match="contradict each other"):
        export(archive, directory, said.append)
    assert said == []


@pytest.mark.parametrize("name", TAMPERS)
def test_tampering_with_the_database_is_found_by_both_verifiers_at_its_place(
    log: PreparedLog, saved: Path, tmp_path: Path, name: str
) -> None:
    tamper = TAMPERS[name]
    tamper.plant(log)
    for found, expected in (
        (online(log, saved), tamper.online(log)),
        (offline(log, saved, tmp_path / "export"), tamper.offline(log)),
    ):
        missed = [part for part in expected if not any(part in line for line in found)]
        assert missed == [], "\n".join(found)
        assert len(found) <= MOST_FINDINGS, "one change is not told all over the log"


@pytest.mark.parametrize("name", FIELDS)
def test_a_careless_change_is_found_at_its_place_and_not_told_all_over_the_log(
    log: PreparedLog, name: str
) -> None:
    plant, expected = FIELDS[name]
    plant(log)
    found = findings(log)
    assert any(expected(log) in line for line in found), "\n".join(found)
    assert len(found) <= 8, "\n".join(found)


def test_an_export_holds_every_signed_entry_and_its_own_verifier(log: PreparedLog, tmp_path: Path) -> None:
    with ArchiveLog(log.url) as archive:
        done = export(archive, tmp_path / "export", lambda _: None)
        with pytest.raises(LocalError, match="new or empty"):
            export(archive, tmp_path / "export", lambda _: None)
    assert (done.size, done.key, done.missing) == (log.sizes[-1], log.key.verifier.text, ())
    names = {path.name for path in (tmp_path / "export/checkpoints").iterdir()}
    assert names == {str(size) for size in log.sizes}
    program = [sys.executable, "verify_export.py", ".", "--key", done.key]
    ran = subprocess.run(program, cwd=tmp_path / "export", capture_output=True, text=True, check=True)
    printed = ran.stdout
    assert printed.startswith(
        f"OK: {done.size} entries of 4 streams, {len(log.sizes)} checkpoints; signed by"
    )


def test_an_entry_that_can_not_be_read_is_named_in_the_export(
    log: PreparedLog, saved: Path, tmp_path: Path
) -> None:
    put_fields(log, log.at, time=None)
    with ArchiveLog(log.url) as archive:
        archive.write_entries(log.at, log.at + 2, tmp_path / "entries")
        with pytest.raises(ServiceRefusedError, match="ask for a part"):
            archive.write_entries(0, log.sizes[-1] + 1, tmp_path / "more")
    first, second = (json.loads(line) for line in (tmp_path / "entries").read_bytes().splitlines())
    assert first == {"index": log.at, "problem": "an unreadable document (KeyError: 'time')"}
    assert second["index"] == log.at + 1
    assert not (tmp_path / "more").exists()
    said = f"what the database has at index {log.at} is {first['problem']}"
    assert any(said in line for line in offline(log, saved, tmp_path / "export"))


def test_a_proof_of_any_event_is_checked_against_the_signature(log: PreparedLog) -> None:
    event_id = log.entry(log.at)["event_id"]
    with ArchiveLog(log.url) as archive:
        proof = prove(archive, event_id, log.trusted)
    assert proof.lines()[0] == f"PROVED: event {event_id} is entry {log.at} of the log {LOG_ORIGIN}."
    bundle = proof.as_json()
    checkpoint = notes.open_note(bundle["checkpoint"], log.trusted.keys).checkpoint
    path = [bytes.fromhex(piece) for piece in bundle["path"]]
    hashed = merkle.leaf_hash(bundle["leaf"].encode())
    assert merkle.verify_inclusion(hashed, bundle["index"], checkpoint.size, path, checkpoint.root)


def test_no_proof_is_given_of_what_was_changed_or_never_was(log: PreparedLog) -> None:
    event_id = log.entry(log.at)["event_id"]
    put_fields(log, log.at, channel="app")
    stranger = Trusted((SigningKey.generate(LOG_ORIGIN).verifier,))
    with ArchiveLog(log.url) as archive:
        with pytest.raises(UnprovedError, match="leads elsewhere"):
            prove(archive, event_id, log.trusted)
        with pytest.raises(ServiceRefusedError, match="the id of an archived event"):
            prove(archive, "01890000-0000-7000-8000-000000000000", log.trusted)
        with pytest.raises(notes.NoteError, match="distrust this checkpoint"):
            prove(archive, event_id, stranger)


def witness(log: PreparedLog, directory: Path, archive: ArchiveLog) -> Witness:
    """A witness that the archive knows, and that saw the log when the saved checkpoint was new."""
    key = make_key(directory, "witness.example/1")
    log.witness_keys.write_text(f"{key.verifier.text}\n", encoding="utf-8")
    (directory / "checkpoint").write_text(log.saved, encoding="utf-8")
    return Witness.open(directory, archive, SystemClock(), log.key.verifier.text)


def test_a_witness_cosigns_a_log_that_grew_and_the_archive_shows_it(log: PreparedLog, tmp_path: Path) -> None:
    saved_size, size = notes.Checkpoint.parse(notes.Note.parse(log.saved).body).size, log.sizes[-1]
    with ArchiveLog(log.url) as archive:
        watching = witness(log, tmp_path, archive)
        said = watching.look(archive)
        assert said.startswith(
            f"cosigned {size} entries, which begin with the {saved_size} seen before: root "
        )
        opened = notes.open_note(archive.checkpoint(), (log.key.verifier, watching.key.verifier))
        assert opened.signed_by(watching.key.verifier)
        assert watching.look(archive) == f"still {size} entries, cosigned before"
        assert archive.claimed_keys() == [log.key.verifier.text, watching.key.verifier.text]
        assert dict(archive.checkpoints())[size] == archive.checkpoint()
    assert (tmp_path / "witness.key").stat().st_mode & 0o777 == 0o600
    kept = watching.kept()
    assert kept is not None
    assert kept.checkpoint.size == size


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("fork", "FORKED"),
        ("roll back", "ROLLED BACK"),
        ("re-sign with another key", "not signed as it should be"),
    ],
)
def test_a_witness_refuses_loudly_what_contradicts_the_log_that_it_saw(
    log: PreparedLog, tmp_path: Path, name: str, refusal: str
) -> None:
    with ArchiveLog(log.url) as archive:
        watching = witness(log, tmp_path, archive)
        TAMPERS[name].plant(log)
        with pytest.raises(ContradictedError, match=refusal):
            watching.look(archive)
        assert "witness.example" not in archive.checkpoint()
    assert (tmp_path / "checkpoint").read_text(encoding="utf-8") == log.saved, "the evidence stays"


def test_the_command_of_a_witness_ends_with_a_code_of_its_own_when_the_log_contradicts_itself(
    log: PreparedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_URL", log.url)
    monkeypatch.chdir(tmp_path)
    command = ["witness", "--dir", str(tmp_path), "--log-key", log.key.verifier.text, "--once"]
    with ArchiveLog(log.url) as archive:
        witness(log, tmp_path, archive)
    TAMPERS["fork"].plant(log)
    answer = CliRunner().invoke(make_app("witness"), command)
    assert answer.exit_code == 3
    assert "FORKED: the log of" in answer.stderr
    log.restore()
    answer = CliRunner().invoke(make_app("witness"), command)
    assert (answer.exit_code, "cosigned" in answer.stdout) == (0, True), answer.stderr


def test_the_command_verifies_with_a_saved_checkpoint_and_keeps_the_newest_only_if_all_is_well(
    log: PreparedLog, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_URL", log.url)
    monkeypatch.chdir(tmp_path)
    newest = tmp_path / "newest.txt"
    command = ["audit", "verify", "--checkpoint", str(saved), "--save", str(newest)]
    TAMPERS["roll back"].plant(log)
    answer = CliRunner().invoke(make_app("audit"), [*command, "--key", log.key.verifier.text])
    assert answer.exit_code == 1
    assert "NOT OK: " in answer.stdout
    assert "ROLLED BACK" in answer.stdout
    assert not newest.exists()
    log.restore()
    answer = CliRunner().invoke(make_app("audit"), command)
    assert answer.exit_code == 0, answer.stdout
    assert "The key came from the archive itself" in answer.stdout
    assert notes.Checkpoint.parse(notes.Note.parse(newest.read_text()).body).size == log.sizes[-1]


def test_a_witness_pins_the_key_of_its_log(log: PreparedLog, tmp_path: Path) -> None:
    with ArchiveLog(log.url) as archive:
        make_key(tmp_path, "witness.example/1")
        pinned = Witness.open(tmp_path, archive, SystemClock(), None)
        assert pinned.log_key == log.key.verifier
        with pytest.raises(ContradictedError, match="ask why it changed"):
            Witness.open(tmp_path, archive, SystemClock(), SigningKey.generate(LOG_ORIGIN).verifier.text)


def test_the_archive_takes_cosignatures_of_known_witnesses_and_of_its_own_checkpoints_only(
    log: PreparedLog, tmp_path: Path
) -> None:
    with ArchiveLog(log.url) as archive:
        key, size = witness(log, tmp_path, archive).key, log.sizes[-1]
        body, now = notes.Note.parse(archive.checkpoint()).body, datetime.now(UTC)
        stranger = SigningKey.generate("witness.example/1", Algorithm.COSIGNATURE_V1)
        other = notes.Checkpoint(LOG_ORIGIN, size, bytes(32)).body()
        for at, line, refusal in (
            (size, stranger.sign(body, now), "a witness whose key is in the archive's"),
            (size, key.sign(other, now), "the log was forked"),
            (size, key.sign(body, now + timedelta(hours=1)), "set the witness's clock"),
            (size + 1, key.sign(body, now), "the size of a signed checkpoint"),
        ):
            with pytest.raises(ServiceRefusedError, match=refusal):
                archive.cosign(at, line.line)
        with pytest.raises(ServiceRefusedError, match="<base64>"):
            archive.cosign(size, "no line")
        first = archive.cosign(size, key.sign(body, now - timedelta(minutes=2)).line)
        assert archive.cosign(size, key.sign(body, now).line) == first, "the first one stays"
