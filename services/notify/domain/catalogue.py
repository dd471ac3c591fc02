"""Every rule by name: what it watches, when it fires, whom it concerns. The one place to register a rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from shared.rules.pack import RulePack


class Audience(StrEnum):
    """Whom a rule's alerts concern first."""

    UNIT = "unit"
    SUPERVISORS = "supervisors"
    OPERATORS = "operators"


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """A rule as people know it.

    Attributes:
        name: as in `Alert.rule` and the rule pack.
        label: Chinese.
        watches: events that it looks at, by class name.
        audience: whom it concerns first.
        public: whether people outside may subscribe to it: only what is published anyway.
        condition: says in Chinese when it fires, with the pack's numbers.
    """

    name: str
    label: str
    watches: tuple[str, ...]
    audience: Audience
    public: bool
    condition: Callable[[RulePack], str]


def _bad_review(pack: RulePack) -> str:
    grades = "、".join(f"“{grade.label}”" for grade in sorted(pack.alerts.bad_review.grades, reverse=True))
    return f"收到{grades}评价"


def _surge(pack: RulePack) -> str:
    rule = pack.alerts.surge
    return (
        f"同一县区同类窗口,或各类窗口的同一分项(五比),{rule.hours}小时内差评"
        f"(等级不高于{rule.worst_grade})不少于{rule.min_ratings}条,"
        f"达到此前{rule.baseline_days}天同时长均值的{rule.min_ratio:g}倍,且在无特殊原因时出现的概率不超过"
        f"{rule.probability:g}(负二项分布,无过度离散时为泊松分布)"
    )


def _quarantine(pack: RulePack) -> str:
    rule = pack.alerts.quarantine_share
    return f"{rule.hours}小时内被暂扣的评价不少于{rule.min_held}条且占比不低于{rule.share:.0%}"


def _stale(pack: RulePack) -> str:
    rule = pack.alerts.ranking_stale
    return f"不少于{rule.min_ratings}条评价超过{rule.minutes}分钟未计入已发布的排名"


def _case_clock(pack: RulePack) -> str:
    rule = pack.alerts.cases.clock
    percents = "、".join(f"{percent}%" for percent in rule.percents)
    return f"整改件的时限已用{percents}({rule.urgent_from}%起更为紧急)"


CHANNEL_DISABLED: Final = "接收端答复410(不再接收),停用至地址更正或重新启用"
"""No number of the pack: what a receiver answers is no matter of policy."""

RULES: Final[Mapping[str, RuleInfo]] = MappingProxyType(
    {
        info.name: info
        for info in (
            RuleInfo(
                "bad_review", "差评", ("FeedbackSubmitted",), Audience.UNIT, public=False,
                condition=_bad_review,
            ),
            RuleInfo(
                "rank_drop", "排名下降", ("UnitScoreChanged",), Audience.UNIT, public=True,
                condition=lambda pack: f"当日排名累计下降不少于{pack.alerts.rank_drop.places}位(及其倍数)",
            ),
            RuleInfo(
                "band_change", "等次变化", ("UnitScoreChanged",), Audience.UNIT, public=True,
                condition=lambda pack: (
                    f"等次变化:优秀线{pack.bands.excellent_line:g},判定概率{pack.bands.probability:g}"
                ),
            ),
            RuleInfo(
                "surge", "群体性事件预警",
                ("FeedbackSubmitted", "FeedbackQuarantined", "FeedbackExcluded", "FeedbackWithdrawn",
                 "FeedbackReleased", "FeedbackReinstated", "FeedbackCorrected"),
                Audience.SUPERVISORS, public=False, condition=_surge,
            ),
            RuleInfo(
                "too_good", "评价数据存疑", ("UnitFlagged",), Audience.SUPERVISORS, public=False,
                condition=lambda _pack: "评分服务标记该单位评价存疑(阈值见规则包[integrity])",
            ),
            RuleInfo(
                "quarantine_share", "暂扣比例过高",
                ("FeedbackSubmitted", "FeedbackQuarantined", "FeedbackReleased"),
                Audience.SUPERVISORS, public=False, condition=_quarantine,
            ),
            RuleInfo(
                "ranking_stale", "排名停滞", ("FeedbackSubmitted", "RankingRevised"), Audience.OPERATORS,
                public=False, condition=_stale,
            ),
            RuleInfo(
                "dead_letters", "死信", ("MessageDeadLettered",), Audience.OPERATORS, public=False,
                condition=lambda pack: (
                    f"消费者放弃消息,同一消费者{pack.alerts.dead_letters.period_minutes}分钟一次"
                ),
            ),
            RuleInfo(
                "stream_diverged", "存证核对", ("StreamDiverged",), Audience.OPERATORS, public=False,
                condition=lambda _pack: "事件流与存证不一致,或重新一致",
            ),
            RuleInfo(
                "channel_disabled", "接收端停用", ("EndpointDisabled",), Audience.OPERATORS, public=False,
                condition=lambda _pack: CHANNEL_DISABLED,
            ),
            RuleInfo(
                "case_opened", "整改立案", ("CaseOpened",), Audience.UNIT, public=False,
                condition=lambda _pack: "因抽查发现、事件或人工立案(差评立案见差评提醒)",
            ),
            RuleInfo(
                "case_assigned", "整改件交办",
                ("CaseAssigned", "CaseTransferProposed", "CaseTransferRefused", "CaseInquired"),
                Audience.UNIT, public=False,
                condition=lambda _pack: "整改件交办、申请转办、转办被否决,或上级质询",
            ),
            RuleInfo(
                "case_clock", "整改时限", ("CaseClockReached",), Audience.UNIT, public=False,
                condition=_case_clock,
            ),
            RuleInfo(
                "case_overdue", "整改逾期", ("CaseClockReached",), Audience.SUPERVISORS, public=False,
                condition=lambda _pack: (
                    "首次联系、分类、办结或答复质询的时限用完,群众反馈期或等待期满,或需上级核验、复核:告知上一级"
                ),
            ),
            RuleInfo(
                "case_reopened", "整改重办", ("CaseAnswerRefused", "CaseSpotChecked"), Audience.UNIT,
                public=False, condition=lambda _pack: "群众不认可答复,或回头看未通过",
            ),
            RuleInfo(
                "case_refused_again", "多次不认可", ("CaseAnswerRefused", "CaseSpotChecked"),
                Audience.SUPERVISORS, public=False,
                condition=lambda pack: (
                    f"同一整改件第{pack.alerts.cases.refused_again.times}次及以上不认可或回头看未通过:告知上一级"
                ),
            ),
            RuleInfo(
                "strike", "问责计次", ("StrikeCounted", "StrikeWithdrawn"), Audience.UNIT, public=False,
                condition=lambda _pack: "整改不力或投诉查实记一次,或计次撤销",
            ),
            RuleInfo(
                "sanction_to_decide", "问责待决", ("SanctionProposed", "SanctionAppealed"),
                Audience.SUPERVISORS, public=False,
                condition=lambda _pack: "提出问责建议,或单位提出申诉:告知上一级签署或裁定",
            ),
            RuleInfo(
                "sanction_step", "问责进展",
                ("SanctionSigned", "AppealDecided", "SanctionWithdrawn", "VetoImposed", "VetoLifted"),
                Audience.UNIT, public=False,
                condition=lambda _pack: "问责决定签署生效、申诉裁定或撤销",
            ),
            RuleInfo(
                "nomination_step", "推荐进展",
                ("UnitNominated", "NominationConfirmed", "NominationWithdrawn"), Audience.UNIT, public=False,
                condition=lambda pack: (
                    f"季度或年度榜单前{pack.lists.top}名列入推荐,获各级确认,或因一票否决撤销"
                ),
            ),
            RuleInfo(
                "nomination_to_confirm", "推荐待确认", ("UnitNominated", "NominationConfirmed"),
                Audience.SUPERVISORS, public=False,
                condition=lambda _pack: "推荐待某一级确认:告知该级",
            ),
            RuleInfo(
                "talk_candidate", "约谈候选", ("TalkCandidateNamed",), Audience.SUPERVISORS, public=False,
                condition=lambda pack: f"季度或年度榜单后{pack.lists.bottom}名:告知上一级,是否约谈由人决定",
            ),
            RuleInfo(
                "quarterly_check", "季度检查", ("PeriodClosed",), Audience.SUPERVISORS, public=False,
                condition=lambda _pack: "季度评议结果已定(季度终了30天后),各级检查所辖单位",
            ),
        )
    }
)  # fmt: skip
"""Rules by name, in the order of the documentation."""

_KNOWN_TO_THE_UNIT: Final = frozenset(
    {"surge", "case_overdue", "case_refused_again", "nomination_to_confirm", "quarterly_check"}
)
"""Told one level up, and no secret to those below: of their own cases they know."""
CONFIDENTIAL: Final = frozenset(
    name
    for name, info in RULES.items()
    if info.audience is Audience.SUPERVISORS and name not in _KNOWN_TO_THE_UNIT
)
"""Rules whose alerts, and what follows them up, are not for the unit that they are about."""

ESCALATION: Final = "escalation"
DIGEST: Final = "digest"
FOLLOW_UPS: Final[Mapping[str, str]] = MappingProxyType({ESCALATION: "升级提醒", DIGEST: "汇总"})
"""Alerts about alerts: the next person is told, or one person is told of many. Label by name."""


def audience_of(rule: str) -> Audience:
    """Whom alerts of `rule` concern first; of a rule that is not registered (any more): the operators."""
    return RULES[rule].audience if rule in RULES else Audience.OPERATORS
