"""``python -m deploy.secrets DIRECTORY``: keys and passwords for containers, one folder for each container.

Makes what is missing, keeps what is there, and writes each container's folder anew from ``master/``, which no
container mounts. So a container sees its own credentials and nobody else's:

==================  ============================================================================
folder              files
==================  ============================================================================
``master``          every secret once (see ``deploy.local.secrets``), the passwords of MongoDB, and
                    ``archive-witness.keys``, to which the keys of witnesses are added by hand
``nats``            ``authorization.conf``: users' public keys and their permissions
``mongo``           ``root-password``, ``archive-password``, ``bootstrap-password``
a broker user       ``nats.seed``, and what ``SECRETS_OF`` lists for it; a service: ``auth/``, what it
                    checks credentials with; scoring: ``archive.key``, which the archive knows it by
==================  ============================================================================
"""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.layout import AUTH, KEYS, SCORING_KEY, SERVICES, SIGNING_KEY, WITNESS_KEYS
from deploy.local.platform import broker_authorization
from deploy.local.secrets import BROKER_USERS, broker_public_keys, ensure_secrets
from services.intake.adapters.live_keys import REFERENCES_FILE
from shared.auth.credential_file import CREDENTIALS_FILE
from shared.auth.key_files import EVENT_IDS_FILE, TOKEN_FILE, former_file
from shared.auth.secrets import CASES_FILE, JWKS_FILE, RECEIPT_FILE

PASSWORD_BYTES = 24
MONGO_PASSWORDS = ("root-password", "archive-password", "bootstrap-password")
SECRETS_OF: Mapping[str, tuple[str, ...]] = {
    "intake": ("hmac.key", "vault.key", EVENT_IDS_FILE, TOKEN_FILE, REFERENCES_FILE),
    "notify": ("webhook.key",),
    "rectify": (CASES_FILE, RECEIPT_FILE),
    "archive": ("archive-password", SIGNING_KEY, WITNESS_KEYS),
    "provisioner": ("bootstrap-password",),
}


def write_secrets(directory: Path) -> None:
    """Complete ``master/`` in ``directory`` and derive each container's folder from it; idempotent.

    Raises:
        OSError: the directory can't be written.
    """
    master = directory / "master"
    ensure_secrets(master)
    for name in MONGO_PASSWORDS:
        if not (master / name).exists():
            _write(master / name, secrets.token_urlsafe(PASSWORD_BYTES) + "\n")
    if not (master / WITNESS_KEYS).exists():
        _write(master / WITNESS_KEYS, "")  # no secret, but the archive's: who runs it adds witnesses by hand
    _write(directory / "nats" / "authorization.conf", broker_authorization(broker_public_keys(master)))
    for name in MONGO_PASSWORDS:
        _write(directory / "mongo" / name, (master / name).read_text(encoding="ascii"))
    _write_access(master, directory)
    for user in BROKER_USERS:
        seed = (master / "nats" / f"{user}.seed").read_text(encoding="ascii")
        _write(directory / user / "nats.seed", seed)
        for name in SECRETS_OF.get(user, ()):
            if name == REFERENCES_FILE and not (master / name).exists():
                continue  # made when the first key of pseudonyms is replaced
            _write(directory / user / name, (master / name).read_text(encoding="ascii"))
            former = former_file(name)
            if (master / former).exists():
                _write(directory / user / former, (master / former).read_text(encoding="ascii"))
            else:
                (directory / user / former).unlink(missing_ok=True)


def _write_access(master: Path, directory: Path) -> None:
    """What services check credentials with, and the key that the archive knows scoring by."""
    for user in SERVICES:
        for name in (CREDENTIALS_FILE, JWKS_FILE):
            _write(directory / user / AUTH / name, (master / AUTH / name).read_text(encoding="utf-8"))
    _write(directory / "scoring" / "archive.key", (master / KEYS / f"{SCORING_KEY}.key").read_text("ascii"))


def _write(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner only: a crash leaves the old one or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def main(arguments: list[str]) -> int:
    """Write into the directory that is the only argument; say the usage if it is not given."""
    if len(arguments) != 1:
        sys.stderr.write(f"{len(arguments)} arguments, expected one: python -m deploy.secrets DIRECTORY\n")
        return os.EX_USAGE
    write_secrets(Path(arguments[0]))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
