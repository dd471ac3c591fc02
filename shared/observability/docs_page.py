"""The page ``/docs``: Swagger UI from our own files, because the platform's networks have no internet."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

ASSETS: Final = Path(__file__).parent / "static" / "swagger-ui"
MOUNT: Final = "/docs/assets"


def install_docs(app: FastAPI) -> None:
    """Serve ``/docs`` and its assets; the app must have been made with ``docs_url=None, redoc_url=None``."""

    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title=app.title,
            swagger_js_url=f"{MOUNT}/swagger-ui-bundle.js",
            swagger_css_url=f"{MOUNT}/swagger-ui.css",
            swagger_favicon_url=f"{MOUNT}/favicon-32x32.png",
        )

    app.mount(MOUNT, StaticFiles(directory=ASSETS), name="docs-assets")
    app.add_api_route("/docs", page, include_in_schema=False)
