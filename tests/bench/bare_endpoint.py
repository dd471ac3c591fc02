"""The baseline of single requests: FastAPI validates intake's model and does nothing.

``python -m tests.bench.bare_endpoint PORT``: no middleware, no broker, one typed endpoint as in FastAPI's own
first example; served with the services' uvicorn settings in a process of its own.
"""

import sys

from fastapi import FastAPI
from pydantic import ConfigDict

from services.intake.entrypoints.bodies import FeedbackBody
from shared.observability.server import run_service


class LenientBody(FeedbackBody):
    """The same fields and limits. Not strict: FastAPI validates parsed JSON, where a date is a string."""

    model_config = ConfigDict(strict=False)


def make_app() -> FastAPI:
    """The whole app."""
    app = FastAPI()

    @app.post("/v1/feedback", status_code=202)
    async def accept(feedback: LenientBody) -> dict[str, str]:
        return {"receipt_code": feedback.unit_id, "event_id": "00000000-0000-7000-8000-000000000000"}

    return app


if __name__ == "__main__":
    sys.exit(run_service(make_app(), service="bare", host="127.0.0.1", port=int(sys.argv[1])))
