"""``/docs`` must work on a network without internet."""

import re

import httpx
import pytest
from fastapi import FastAPI

from shared.observability.docs_page import MOUNT, install_docs


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI(title="Pingyi", docs_url=None, redoc_url=None)
    install_docs(made)
    return made


async def test_the_page_loads_nothing_from_elsewhere_and_all_that_it_names_is_there(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://docs") as client:
        page = (await client.get("/docs")).text
        named = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(named) == 3
        for path in named:
            assert path.startswith(f"{MOUNT}/")
            assert (await client.get(path)).status_code == httpx.codes.OK
        assert (await client.get("/openapi.json")).json()["info"]["title"] == "Pingyi"
