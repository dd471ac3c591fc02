"""A stand-in for a service, run as a script: answers /readyz, and misbehaves as its arguments say.

``python toy_service.py PORT [--crash-after SECONDS] [--ignore-sigterm]``
"""

import argparse
import http.server
import os
import signal
import threading


class Ready(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 200 and the process id."""

    def do_GET(self) -> None:
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until a signal or the planned crash."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--crash-after", type=float)
    parser.add_argument("--ignore-sigterm", action="store_true")
    arguments = parser.parse_args()
    if arguments.ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if arguments.crash_after is not None:
        print("about to crash", flush=True)  # noqa: T201 - the log line that the test looks for
        threading.Timer(arguments.crash_after, os._exit, args=(3,)).start()
    http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Ready).serve_forever()


if __name__ == "__main__":
    main()
