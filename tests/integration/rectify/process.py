"""Rectify as a process of its own, which may be killed and started again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from deploy.local.embedded import free_ports
from tests.support import warm
from tests.support.access import auth_dir

ROOT = Path(__file__).parents[3]


class RectifyProcess:
    """``python -m services.rectify`` on a free port."""

    def __init__(self, nats_url: str, secrets_dir: Path, log: Path) -> None:
        (self.port,) = free_ports(1)
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=5, trust_env=False)
        self._environment = os.environ | {
            "NATS_URL": nats_url,
            "HTTP_PORT": str(self.port),
            "SECRETS_DIR": str(secrets_dir),
            "AUTH_DIR": str(auth_dir()),
            "PYTHONPATH": str(ROOT),
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = warm.start(
                [sys.executable, "-m", "services.rectify"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it like a power cut does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None
