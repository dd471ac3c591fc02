"""The subject grammar ``<context>.v<major>.<fact>.<city>.<county>`` (ADR 0002); cases add their id."""

from dataclasses import dataclass

from shared.kernel.errors import PermanentError, describe

TOKENS = 5
FACT_TOKENS = 3


class InvalidSubjectError(PermanentError):
    """A subject that does not follow the grammar."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The five tokens of a subject, and the sixth of a case's."""

    context: str
    major: int
    fact: str
    city: str
    county: str
    key: str | None = None

    def __str__(self) -> str:
        """The subject as NATS takes it."""
        subject = f"{self.context}.v{self.major}.{self.fact}.{self.city}.{self.county}"
        return subject if self.key is None else f"{subject}.{self.key}"

    @classmethod
    def parse(cls, subject: str) -> "Subject":
        """Split a concrete subject.

        Raises:
            InvalidSubjectError: other than five or six tokens, or a version that is not ``v<number>``.
        """
        tokens = subject.split(".")
        if (
            len(tokens) not in (TOKENS, TOKENS + 1)
            or not all(tokens)
            or not tokens[1][:1] == "v"
            or not tokens[1][1:].isdigit()
        ):
            raise InvalidSubjectError(
                describe(
                    subject,
                    "<context>.v<major>.<fact>.<city>.<county>[.<case id>]",
                    "publish through EventSpec.subject_for",
                )
            )
        context, version, fact, city, county, *key = tokens
        return cls(context, int(version[1:]), fact, city, county, *key)


def metric_label(subject: str) -> str:
    """The bounded form of a subject for metric labels: places replaced by ``*``.

    Concrete subjects would make a label value for each of 110 places and, for cases, one for each case.
    """
    return ".".join(subject.split(".")[:FACT_TOKENS]) + ".*.*"
