"""The keys of one local platform: made once, never overwritten, readable by their owner only.

=======================  =======================================================================
file                     content (lines of text)
=======================  =======================================================================
``hmac.key``             key of the pseudonyms, 32 bytes as hex; several lines while it is changed
``references.key``       keys of receipts, once the first key of the pseudonyms was changed
``vault.key``            ``<key id>:<hex>``: the key-encryption key of the vault, 32 bytes; likewise
``event-ids.key``        key of the ids of ratings with a reference, 32 bytes as hex
``token.key``            key that signs one-time tokens, 32 bytes as hex
``cases.key``            ``<key id>:<hex>``: the key-encryption key of cases' texts, 32 bytes
``receipt.key``          key of receipt codes, derived from ``hmac.key``
``webhook.key``          key that signs outgoing webhooks, 32 bytes as hex
``archive-signing.key``  Ed25519 key that signs the log's checkpoints, as C2SP signed-note has it
``issuer.key``           ``<key id>:<hex>``: Ed25519 seed of the issuer of staff's tokens on this machine
``auth/…``               what services check with: ``credentials.json`` (hashes), ``jwks.json`` (public keys)
``keys/<name>.key``      keys of the channels, of the command line (all channels), and of scoring
``nats/<user>.seed``     NKey seed of a broker user: each service, ``provisioner`` and ``cli``
``mongo/…``              passwords of the embedded mongod; made by ``embedded.mongod_secrets``
=======================  =======================================================================

Losing ``hmac.key`` unlinks all earlier pseudonyms, losing ``vault.key`` makes all sealed text unreadable,
losing ``event-ids.key`` lets repeats and used tokens count again, losing ``token.key`` voids printed codes;
without ``archive-signing.key`` the log goes on under another key, which auditors have to be told. Back the
directory up with, but apart from, the data.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import nkeys

from deploy.local.layout import AUTH, CLI_KEY, KEYS, SCORING_KEY, SERVICES, SIGNING_KEY
from services.archive.domain.entries import LOG_ORIGIN
from services.archive.domain.notes import SigningKey
from shared.auth.credential_file import CREDENTIALS_FILE, CredentialFile, Order
from shared.auth.credentials import key_text, new_id, new_secret, split_key
from shared.auth.key_files import EVENT_IDS_FILE, TOKEN_FILE, UNKEYED, former_file, load_keys
from shared.auth.principals import Duty, Scope
from shared.auth.secrets import CASES_FILE, HMAC_FILE, ISSUER_FILE, JWKS_FILE, RECEIPT_FILE, load_key
from shared.kernel.grades import Channel
from shared.kernel.receipts import receipt_key

KEY_BYTES = 32
PROVINCE = "360000"
REFERENCES_FILE = "references.key"
BROKER_USERS = (*SERVICES, "provisioner", "cli")


def ensure_secrets(directory: Path, broker_users: Iterable[str] = BROKER_USERS) -> None:
    """Make every key that is missing in ``directory``; existing ones are left untouched, byte for byte.

    Safe against a crash or a second caller at any moment: a key file appears complete or not at all.
    """
    makers: dict[str, Callable[[], str]] = {
        "hmac.key": new_hex_key,
        "vault.key": new_vault_key,
        EVENT_IDS_FILE: new_hex_key,
        TOKEN_FILE: new_hex_key,
        CASES_FILE: new_vault_key,
        RECEIPT_FILE: lambda: new_receipt_key(directory),
        "webhook.key": new_hex_key,
        SIGNING_KEY: new_signing_key,
        ISSUER_FILE: new_issuer_key,
    }
    makers |= {f"nats/{user}.seed": new_user_seed for user in broker_users}
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "nats").mkdir(mode=0o700, exist_ok=True)
    if (directory / "hmac.key").exists() and not (directory / EVENT_IDS_FILE).exists():
        # A platform of before ids had a key: repeats of what it accepted are still recognised.
        _create(directory / former_file(EVENT_IDS_FILE), UNKEYED)
    for name, make in makers.items():
        if not (directory / name).exists():
            _create(directory / name, make())
    _ensure_access(directory)


def _ensure_access(directory: Path) -> None:
    """Make the local issuer known, and one key each for the channels, the command line and scoring."""
    for folder in (AUTH, KEYS):
        (directory / folder).mkdir(mode=0o700, exist_ok=True)
    if not (directory / AUTH / JWKS_FILE).exists():
        _create(directory / AUTH / JWKS_FILE, _jwks(directory / ISSUER_FILE))
    file = CredentialFile(directory / AUTH / CREDENTIALS_FILE)
    known = {each.credential_id for each in file.read()}
    province = Scope.parse(PROVINCE)
    orders = [Order(name, Duty.CHANNEL, channels, province) for name, channels in _channel_keys()]
    for order in (*orders, Order(SCORING_KEY, Duty.SERVICE, frozenset(), province)):
        path = directory / KEYS / f"{order.name}.key"
        if not path.exists():
            _create(path, key_text(new_id(), new_secret()))
        key = path.read_text(encoding="ascii").strip()
        if split_key(key)[0] not in known:  # a crash, or a restored backup, may have left the key alone
            file.issue(order, datetime.now(UTC), key)


def _channel_keys() -> Iterator[tuple[str, frozenset[Channel]]]:
    yield CLI_KEY, frozenset(Channel)
    for channel in Channel:
        yield channel.value, frozenset({channel})


def new_issuer_key() -> str:
    """A fresh Ed25519 seed with a random id."""
    return f"local-{secrets.token_hex(4)}:{new_hex_key()}"


def new_hex_key() -> str:
    """A fresh random key of 32 bytes as 64 hexadecimal digits."""
    return secrets.token_hex(KEY_BYTES)


def new_receipt_key(directory: Path) -> str:
    """The key of receipts as intake has it: in its file of references, else derived from its first key."""
    if (directory / REFERENCES_FILE).exists():
        kept = load_keys(directory / REFERENCES_FILE)
        return next(key.secret for key in kept if key.key_id.endswith("-receipt")).hex()
    return receipt_key(load_keys(directory / HMAC_FILE).oldest.secret).hex()


def new_vault_key() -> str:
    """A fresh key-encryption key with a random id, ``<key id>:<hex>``; the id lets keys be rotated."""
    return f"kek-{secrets.token_hex(4)}:{new_hex_key()}"


def new_signing_key() -> str:
    """A fresh Ed25519 key of the log, ``PRIVATE+KEY+<log>+<key hash>+<base64>``."""
    return SigningKey.generate(LOG_ORIGIN).text


def new_user_seed() -> str:
    """A fresh NKey seed of a broker user (Ed25519, starts with ``SU``)."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(KEY_BYTES), nkeys.PREFIX_BYTE_USER)
    return seed.decode("ascii")


def user_public_key(seed: str) -> str:
    """The public key (starts with ``U``) of a broker user's seed, as the server's configuration names it."""
    public: bytes = nkeys.from_seed(bytearray(seed.strip(), "ascii")).public_key
    return public.decode("ascii")


def broker_public_keys(directory: Path) -> dict[str, str]:
    """The public key of each broker user that has a seed file in ``directory``, by user name."""
    seeds = sorted((directory / "nats").glob("*.seed"))
    return {path.stem: user_public_key(path.read_text(encoding="ascii")) for path in seeds}


def _create(path: Path, content: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(content + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, refuses to replace a file that appeared meanwhile
    except FileExistsError:
        return
    finally:
        Path(temporary).unlink()


def _jwks(issuer: Path) -> str:
    """The public half of the local issuer's key."""
    from shared.auth.issuer import LocalIssuer  # noqa: PLC0415 - once in a directory's life, and it loads much

    return LocalIssuer(load_key(issuer)).jwks().strip()
