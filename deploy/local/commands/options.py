"""Options that commands share, and how a command finds the platform that it works beside."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.errors import NoPlatformError
from deploy.local.layout import DEFAULT_DATA, DEFAULT_PORT_BASE, SERVICES, Layout
from deploy.local.platform_file import read_running

DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Data directory of the platform.", file_okay=False)
]
"""Give it the default ``DEFAULT_DATA``."""

PortBaseOption = Annotated[
    int | None,
    typer.Option(
        "--port-base", metavar="N", help=f"First port less one; {DEFAULT_PORT_BASE} unless the platform runs."
    ),
]
"""Give it the default None, which means: as the running platform, else ``DEFAULT_PORT_BASE``."""

JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]
"""Give it the default False."""

ADDRESS_VARIABLES = ("NATS_URL", "MONGODB_URL", *(f"{name.upper()}_URL" for name in SERVICES))


def find_platform(
    data: Path = DEFAULT_DATA, port_base: int | None = None, environ: Mapping[str, str] | None = None
) -> Layout:
    """Where the running platform is, for commands that talk to it.

    An explicit ``port_base`` is taken at its word, else ``platform.json`` in ``data`` tells. Each address in
    the environment (NATS_URL, MONGODB_URL, and INTAKE_URL and the like) overrides its own. From then on
    requests to its services prove who we are, see `Wallet`.

    Raises:
        NoPlatformError: there is neither of the three.
    """
    # Here: whoever starts a platform imports this module too, and would wait for the HTTP client.
    from deploy.local import api  # noqa: PLC0415 - as said
    from deploy.local.wallet import Wallet  # noqa: PLC0415 - as said

    variables = os.environ if environ is None else environ
    layout = _find(data, port_base, variables)
    # Not at the top: `pingyi up` has no use for them, and its children wait while they are loaded.

    api.use(Wallet.of(layout, variables))
    return layout


def _find(data: Path, port_base: int | None, variables: Mapping[str, str]) -> Layout:
    if port_base is None:
        record = read_running(data / "platform.json")
        if record is not None:
            return record.layout().overridden_by(variables)
        if not any(variables.get(name) for name in ADDRESS_VARIABLES):
            raise NoPlatformError(
                f"no platform runs on the data directory {data.resolve()}; expected a live platform.json: "
                "start one with `pingyi up`, name its directory with --data or its ports with --port-base, "
                "or set NATS_URL, MONGODB_URL and the services' addresses"
            )
    return Layout.from_environment(data, port_base or DEFAULT_PORT_BASE, variables)
