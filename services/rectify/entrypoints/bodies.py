"""Bodies of requests, one for each move, and what they ask for."""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from services.rectify.application.handlers import Asked
from services.rectify.domain import commands as c
from services.rectify.domain.case import AnnulmentReason, CaseClass, ConfirmedBy, Origin, Outcome, Party
from shared.kernel.errors import InvalidValueError
from shared.kernel.scrubbing import scrub

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def one_line(text: str) -> str:
    """`text`, if it is one line that everybody sees, without numbers of people.

    Raises:
        InvalidValueError: it isn't.
    """
    for character in text:
        if unicodedata.category(character) in _UNSEEN:
            raise InvalidValueError(
                f"U+{ord(character):04X}",
                "one line without control characters",
                "remove invisible characters",
            )
    if scrub(text, mistyped=True) != text:
        raise InvalidValueError(
            "a number of a person", "a post or an account", "name the post, not the person"
        )
    return text


Post = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(one_line)]
Role = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Whoever asks, and nobody else; may be left out."
    ),
]
Text = Annotated[str, Field(max_length=4000)]
UnitField = Annotated[str, Field(min_length=1, max_length=64)]


class Body(BaseModel):
    """Base of all: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class MoveBody(Body):
    """What all moves have in common."""

    by: Role | None = None

    def asked(self) -> Asked:
        """What the body asks for."""
        raise NotImplementedError

    @property
    def canonical(self) -> str:
        """What decides "same or different" of a repeat."""
        return self.model_dump_json(exclude={"by"})


class ContactIn(MoveBody):
    """首次联系: the citizen was spoken to."""

    move: Literal["contact"]

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda _: c.Contact(), self.canonical)


class ClassifyIn(MoveBody):
    """分类: give the case its class; another one needs a reason, and is for whoever may judge it."""

    move: Literal["classify"]
    case_class: CaseClass
    reason: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.Classify(self.case_class, texts["reason"]),
            self.canonical,
            {"reason": self.reason},
            "reason",
        )


class PartyIn(Body):
    """A unit and a post or account in it."""

    unit_id: UnitField
    handler: Post

    @property
    def party(self) -> Party:
        """As the domain has it."""
        return Party(self.unit_id, self.handler)


class AssignIn(MoveBody):
    """交办: hand the case to who answers for it."""

    move: Literal["assign"]
    to: PartyIn

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda _: c.Assign(self.to.party), self.canonical)


class ProposeTransferIn(MoveBody):
    """申请转办: ask another party to take it over."""

    move: Literal["propose_transfer"]
    to: PartyIn
    reason: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.ProposeTransfer(self.to.party, texts["reason"], self.by),
            self.canonical,
            {"reason": self.reason},
            "reason",
        )


class AcceptTransferIn(MoveBody):
    """接受转办: take the case over."""

    move: Literal["accept_transfer"]

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda _: c.AcceptTransfer(), self.canonical)


class RefuseTransferIn(MoveBody):
    """否决报备: don't take it over, and file why."""

    move: Literal["refuse_transfer"]
    reason: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.RefuseTransfer(texts["reason"]), self.canonical, {"reason": self.reason}, "reason"
        )


class PlanIn(MoveBody):
    """制定方案: the six elements; what is missing is named in the answer."""

    move: Literal["plan"]
    goal: Text | None = None
    measures: Text | None = None
    deadline: AwareDatetime | None = None
    responsible_unit: UnitField | None = None
    responsible_leader: Post | None = None
    responsible_person: Post | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.MakePlan(
                texts["goal"],
                texts["measures"],
                self.deadline,
                self.responsible_unit,
                self.responsible_leader,
                self.responsible_person,
            ),
            self.canonical,
            {"goal": self.goal, "measures": self.measures},
        )


class ReportIn(MoveBody):
    """报告进展: how the work goes."""

    move: Literal["report"]
    text: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda texts: c.Report(texts["text"]), self.canonical, {"text": self.text}, "text")


class ExtendIn(MoveBody):
    """延期: more time, once."""

    move: Literal["extend"]
    working_days: Annotated[int, Field(ge=1, le=250)]
    reason: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.Extend(self.working_days, texts["reason"]),
            self.canonical,
            {"reason": self.reason},
            "reason",
        )


class PauseIn(MoveBody):
    """等待群众: clocks stand still."""

    move: Literal["pause"]
    reason: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.Pause(texts["reason"]), self.canonical, {"reason": self.reason}, "reason"
        )


class ResumeIn(MoveBody):
    """恢复办理: the citizen has replied."""

    move: Literal["resume"]

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda _: c.Resume(), self.canonical)


class AnswerIn(MoveBody):
    """答复: what the citizen is told."""

    move: Literal["answer"]
    outcome: Outcome | None = None
    text: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.GiveAnswer(self.outcome, texts["text"]), self.canonical, {"text": self.text}
        )


class ConfirmIn(MoveBody):
    """确认: after the citizen's silence, or by a supervisor where there is no citizen."""

    move: Literal["confirm"]
    confirmed_by: Literal[ConfirmedBy.SILENCE, ConfirmedBy.SUPERVISOR]

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda _: c.Confirm(self.confirmed_by), self.canonical)


class CloseIn(MoveBody):
    """办结: file it."""

    move: Literal["close"]

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda _: c.Close(), self.canonical)


class ReviewIn(MoveBody):
    """复核: look again at a class C case."""

    move: Literal["review"]
    now_class: CaseClass
    finding: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.Review(self.now_class, texts["finding"]),
            self.canonical,
            {"finding": self.finding},
            "finding",
        )


class SpotCheckIn(MoveBody):
    """回头看: look back at a settled case."""

    move: Literal["spot_check"]
    passed: bool
    finding: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.SpotCheck(self.passed, texts["finding"]),
            self.canonical,
            {"finding": self.finding},
            "finding",
        )


class InquireIn(MoveBody):
    """质询: the level above asks a question."""

    move: Literal["inquire"]
    question: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(
            lambda texts: c.Inquire(texts["question"]),
            self.canonical,
            {"question": self.question},
            "question",
        )


class RespondIn(MoveBody):
    """答复质询: the unit replies to it."""

    move: Literal["respond"]
    text: Text | None = None

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda texts: c.Respond(texts["text"]), self.canonical, {"text": self.text}, "text")


class AnnulIn(MoveBody):
    """撤销: the case is none."""

    move: Literal["annul"]
    reason: Literal[AnnulmentReason.MISTAKEN, AnnulmentReason.REPEATED]

    def asked(self) -> Asked:
        """See `MoveBody.asked`."""
        return Asked(lambda _: c.Annul(self.reason), self.canonical)


MoveIn = Annotated[
    ContactIn
    | ClassifyIn
    | AssignIn
    | ProposeTransferIn
    | AcceptTransferIn
    | RefuseTransferIn
    | PlanIn
    | ReportIn
    | ExtendIn
    | PauseIn
    | ResumeIn
    | AnswerIn
    | ConfirmIn
    | CloseIn
    | ReviewIn
    | SpotCheckIn
    | InquireIn
    | RespondIn
    | AnnulIn,
    Field(discriminator="move"),
]


class OpenIn(Body):
    """A case by hand, or for a finding of a spot check."""

    by: Role | None = None
    unit_id: UnitField
    origin: Literal[Origin.MANUAL, Origin.INSPECTION] = Origin.MANUAL
    ref: Annotated[str | None, Field(max_length=64, description="Id of the inspection.")] = None
    reason: Annotated[str, Field(min_length=1, max_length=4000, description="What it is about.")]


class RefuseIn(Body):
    """Why the citizen does not accept the answer; may be left out."""

    reason: Text | None = None
