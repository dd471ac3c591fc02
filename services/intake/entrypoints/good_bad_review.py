"""The province's 好差评 interface over HTTP: evaluations in; ratings and what became of them out.

Answers are in that interface's own style: ``code`` 0 or not, ``message`` in Chinese, one result for each
record, in order. An evaluation is the same if ``projNo`` and ``transactionTime`` are, or if it was handed on
from here (``evaluationId``). A record that tells what became of a rating (``evaluationState``) is not taken
in: it is no other rating, and what becomes of one is decided on each platform.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from services.intake.application.errors import RejectedError
from services.intake.application.handlers import LineResult, submit_batch
from services.intake.domain.acceptance import Issue
from services.intake.domain.accepted import Verdict
from services.intake.domain.lines import Line
from services.intake.domain.receipts import receipt_code
from services.intake.domain.submission import Submission
from services.intake.entrypoints.bodies import parse_line
from services.intake.entrypoints.channels import own_lines
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.staff_routes import Asked, Post, add_post
from services.intake.entrypoints.writing import problems
from shared.auth.access import principal_of, requires
from shared.auth.grants import Permission
from shared.kernel.errors import InvalidValueError
from shared.kernel.units import Unit, UnitRegistry

PATH: Final = "/v1/adapters/good-bad-review"
MOST_RECORDS: Final = 1_000

REQUIRED: Final = ("projNo", "satisfaction", "evaluateChannel", "transactionTime", "serviceDepartmentCode")

ToSubmission = Callable[[Mapping[str, str], Callable[[Mapping[str, str]], Unit]], dict[str, Any]]
Page = Callable[[int, int], Awaitable[tuple[list[dict[str, str]], int]]]


class Interface(NamedTuple):
    """What the interface's fields mean, and what is known of ratings.

    Attributes:
        to_submission: the rating that a record stands for.
        name_of: the interface's field for a place of a rating.
        page: records to hand on, after a position.
        accepted: those of some event ids that are in here; raises `TransientError` while nobody can tell.
        submitted: the ``evaluationState`` of a rating as it was submitted; no other one is taken in.
    """

    to_submission: ToSubmission
    name_of: Mapping[str, str]
    page: Page
    accepted: Callable[[Iterable[str]], frozenset[str]]
    submitted: str


_MESSAGES: Final = {0: "成功", 1: "重复上报，已受理过", 2: "与已受理的内容不一致", 3: "数据有误"}


class RecordBody(BaseModel):
    """One evaluation, in the interface's fields; others that it knows may come too. Null: absent."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | None]

    projNo: Annotated[str | None, Field(max_length=64, repr=False, description="办件编号")] = ""  # noqa: N815 - the interface's name
    satisfaction: Annotated[str | None, Field(description="1 to 5")] = ""
    regionCode: Annotated[  # noqa: N815 - the interface's name
        str | None, Field(description="行政区划代码, 12 digits: of the unit's place.")
    ] = ""
    userProp: Annotated[str | None, Field(description="用户属性代码: whose card number it is.")] = ""  # noqa: N815 - the interface's name
    handleStateCode: Annotated[str | None, Field(description="办理状态代码; checked, not kept.")] = ""  # noqa: N815 - the interface's name
    evaluateChannel: Annotated[str | None, Field(description="渠道代码")] = ""  # noqa: N815 - the interface's name
    transactionTime: Annotated[str | None, Field(description="办理时间")] = ""  # noqa: N815 - the interface's name
    serviceDepartmentCode: Annotated[str | None, Field(max_length=64, description="Id of the unit.")] = ""  # noqa: N815 - as above
    evaluationId: Annotated[  # noqa: N815 - as above
        str | None,
        Field(
            max_length=64, description="Of a record that was handed on: what is in here is not taken again."
        ),
    ] = ""
    evaluationState: Annotated[  # noqa: N815 - as above
        str | None,
        Field(
            description="Of a record that was handed on: `submitted`, or absent. One that tells what became "
            "of a rating is not taken in (code 3)."
        ),
    ] = ""
    revision: Annotated[str | None, Field(description="Of a record that was handed on; not used.")] = ""

    @property
    def record(self) -> dict[str, str]:
        """The fields that it has."""
        return {name: value or "" for name, value in self.model_dump(mode="json").items()}


class RecordsBody(BaseModel):
    """Many evaluations."""

    model_config = ConfigDict(extra="forbid")
    records: Annotated[list[RecordBody], Field(min_length=1, max_length=MOST_RECORDS)]


class RecordAnswer(BaseModel):
    """What became of one evaluation."""

    index: Annotated[int, Field(description="Place in the request, from 0.")]
    code: Annotated[int, Field(description="0 accepted, 1 was in already, 2 other content is in, 3 wrong.")]
    message: str
    evaluationId: Annotated[str | None, Field(description="Event id.")] = None  # noqa: N815 - as the interface spells
    receiptCode: str | None = None  # noqa: N815 - as the interface spells
    field: Annotated[str | None, Field(description="What is wrong, if anything.")] = None
    expected: str | None = None
    remedy: Annotated[str | None, Field(description="What to do about it.")] = None


class ReviewAnswer(BaseModel):
    """What became of all of them."""

    code: Annotated[int, Field(description="0 if each was accepted or was in already.")]
    message: str
    results: list[RecordAnswer]


class ExportAnswer(BaseModel):
    """Ratings in the interface's fields."""

    code: int
    message: str
    records: list[dict[str, str]]
    next: Annotated[int, Field(description="`after` of the next page.")]


def add_good_bad_review_routes(app: FastAPI, parts: HttpParts, interface: Interface) -> None:
    """Add the interface to `app`."""
    desk = _Desk(parts, interface)
    posts: tuple[Post[Any], ...] = (
        Post(
            PATH,
            _evaluate,
            RecordBody,
            ReviewAnswer,
            desk.one,
            "adapters",
            takes=Permission.FEEDBACK_SUBMIT,
            status=200,
            knows_repeats=True,
        ),
        Post(
            f"{PATH}/batch",
            _evaluate_many,
            RecordsBody,
            ReviewAnswer,
            desk.many,
            "adapters",
            takes=Permission.FEEDBACK_SUBMIT,
            status=200,
            large=True,
            knows_repeats=True,
        ),
    )
    for post in posts:
        add_post(app, parts, post)
    router = APIRouter(tags=["adapters"])

    @router.get(
        PATH,
        summary="Ratings, and what became of them, in the fields of the interface",
        dependencies=[requires(Permission.RECORDS_REPLAY)],
        responses=problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def ratings(
        after: Annotated[int, Query(ge=0, description="Position to go on from; 0: the beginning.")] = 0,
        limit: Annotated[
            int,
            Query(ge=1, le=MOST_RECORDS, description="Messages on a page; some of them may have no record."),
        ] = 500,
    ) -> ExportAnswer:
        """Hand ratings on, and what became of them.

        The transaction as a pseudonym; no names, numbers or texts, no reasons and nobody who decided.
        """
        records, position = await interface.page(after, limit)
        return ExportAnswer(code=0, message=_MESSAGES[0], records=records, next=position)

    app.include_router(router)


class _Desk:
    def __init__(self, parts: HttpParts, interface: Interface) -> None:
        self._parts = parts
        self._interface = interface
        self._unit_of = _unit_of(parts.units)

    async def one(self, asked: Asked[RecordBody]) -> ReviewAnswer:
        """Take one evaluation."""
        return await self._take([asked.body], asked)

    async def many(self, asked: Asked[RecordsBody]) -> ReviewAnswer:
        """Take many evaluations."""
        return await self._take(asked.body.records, asked)

    async def _take(self, records: list[RecordBody], asked: Asked[Any]) -> ReviewAnswer:
        given = [record.record for record in records]
        ids = [each["evaluationId"].strip().lower() if self._as_submitted(each) else "" for each in given]
        standing = self._interface.accepted(each for each in ids if each)
        lines = [
            Line(number, number, json.dumps(each).encode())
            for number, each in enumerate(given)
            if ids[number] not in standing
        ]
        parse = own_lines(asked.scope, self._parse, self._parts.units)
        facts = asked.facts._replace(credential=principal_of(asked.scope).credential_id)
        found = {each.number: each for each in await submit_batch(lines, facts, self._parts.desk, parse)}
        results = [
            self._answer(found[number]) if number in found else _handed_on(number, event_id)
            for number, event_id in enumerate(ids)
        ]
        worst = max(each.code for each in results)
        code = worst if worst > 1 else 0
        return ReviewAnswer(code=code, message=_MESSAGES[code], results=results)

    def _as_submitted(self, record: Mapping[str, str]) -> bool:
        return record["evaluationState"].strip().lower() in {"", self._interface.submitted}

    def _parse(self, data: bytes) -> Submission:
        record: dict[str, str] = json.loads(data)
        if not self._as_submitted(record):
            expected = f"{self._interface.submitted}, or nothing: what became of a rating is not taken in"
            remedy = "leave the record out; what becomes of a rating is decided on each platform"
            raise RejectedError((Issue("evaluationState", "that value", expected, remedy),))
        for name in REQUIRED:
            if not record[name].strip():
                raise RejectedError((Issue(name, "nothing", f"{name} in each record", "send it"),))
        try:
            body = self._interface.to_submission(record, self._unit_of)
        except InvalidValueError as error:
            field = error.field or "record"
            raise RejectedError((Issue(field, "that value", error.expected, error.remedy),)) from error
        body["client_ref"] = f"gbr:{record['projNo'].strip()}:{record['transactionTime'].strip()}"
        return parse_line(json.dumps(body).encode())

    def _answer(self, result: LineResult) -> RecordAnswer:
        outcome = result.outcome
        if outcome is None or outcome.verdict is Verdict.CONFLICT:
            code = 3 if outcome is None else 2
            issue = result.issues[0]
            field = self._interface.name_of.get(issue.field, issue.field)
            return RecordAnswer(
                index=result.number,
                code=code,
                message=f"{_MESSAGES[code]}：{field}",
                evaluationId=None if outcome is None else outcome.accepted.event_id,
                field=field,
                expected=issue.expected,
                remedy=issue.remedy,
            )
        code = 0 if outcome.verdict is Verdict.ACCEPTED else 1
        return RecordAnswer(
            index=result.number,
            code=code,
            message=_MESSAGES[code],
            evaluationId=outcome.accepted.event_id,
            receiptCode=receipt_code(outcome.accepted.receipt),
        )


def _unit_of(units: UnitRegistry) -> Callable[[Mapping[str, str]], Unit]:
    def find(record: Mapping[str, str]) -> Unit:
        code = record.get("serviceDepartmentCode", "")
        if code not in units:
            raise InvalidValueError(
                code, "the id of a registered unit", "look it up with GET /v1/units",
                field="serviceDepartmentCode",
            )  # fmt: skip
        return units.get(code)

    return find


def _handed_on(number: int, event_id: str) -> RecordAnswer:
    """Without its receipt's code: whoever has that could take the rating back."""
    return RecordAnswer(index=number, code=1, message=_MESSAGES[1], evaluationId=event_id)


async def _evaluate(body: RecordBody) -> None:
    """Take one evaluation of the province's platform. The same again is recognised.

    Records that tell what became of one are not taken in.
    """


async def _evaluate_many(body: RecordsBody) -> None:
    """Take up to 1,000 evaluations of the province's platform. Each is answered by itself.

    Records that tell what became of one are not taken in, the others are.
    """
