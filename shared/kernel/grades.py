"""The closed lists of an appraisal: grade, source, dimension, channel, verification, level.

Values are the words on the wire; `label` is the Chinese term. What may change by policy (window kinds,
weights, thresholds) is rule-pack data and lives in `shared.rules`.
"""

from enum import IntEnum, StrEnum


class Grade(IntEnum):
    """The five grades of the national good/bad review (好差评); never imputed."""

    VERY_DISSATISFIED = 1
    DISSATISFIED = 2
    FAIR = 3
    SATISFIED = 4
    VERY_SATISFIED = 5

    @property
    def label(self) -> str:
        """The Chinese term printed on the terminal's button."""
        return _GRADE_LABELS[self - 1]

    @property
    def is_good(self) -> bool:
        """Whether this counts as 好评: the top three grades."""
        return self >= Grade.FAIR

    @property
    def is_bad(self) -> bool:
        """Whether this counts as 差评: the bottom two grades, which call for rectification."""
        return self <= Grade.DISSATISFIED


_GRADE_LABELS = ("非常不满意", "不满意", "基本满意", "满意", "非常满意")


class LabelledEnum(StrEnum):
    """A string enum whose members have a Chinese term: presentation only, never on the wire."""

    @property
    def label(self) -> str:
        """The Chinese term."""
        return _LABELS[type(self)][self.value]


class Source(LabelledEnum):
    """Who appraises: the five sources (五评), never mixed without stated weights."""

    SELF = "self"
    MUTUAL = "mutual"
    SPOT_CHECK = "spot_check"
    SOCIAL = "social"
    PUBLIC = "public"


class Dimension(LabelledEnum):
    """What is compared beside the overall grade: the five dimensions (五比)."""

    SERVICE = "service"
    EFFICIENCY = "efficiency"
    QUALITY = "quality"
    CONDUCT = "conduct"
    IMAGE = "image"


class Channel(LabelledEnum):
    """The way a rating came in."""

    TERMINAL = "terminal"
    QR = "qr"
    WEB = "web"
    APP = "app"
    SMS = "sms"
    HOTLINE = "hotline"
    OPINION_BOX = "opinion_box"
    PAPER = "paper"
    FORUM = "forum"
    VISIT = "visit"
    ASSESSOR = "assessor"
    COMPLAINT_DESK = "complaint_desk"
    UNDERCOVER = "undercover"
    IMPORT = "import"


class Verification(LabelledEnum):
    """How surely a rating stands for a real service; decides its weight in the rule pack."""

    TRANSACTION = "transaction"
    REAL_NAME = "real_name"
    ONSITE = "onsite"
    ANONYMOUS = "anonymous"


class Level(LabelledEnum):
    """Where a unit stands; each level manages its direct children only (下管一级)."""

    PROVINCE = "province"
    CITY = "city"
    COUNTY = "county"
    WINDOW = "window"


_LABELS: dict[type[LabelledEnum], dict[str, str]] = {
    Source: {
        "self": "自评",
        "mutual": "互评",
        "spot_check": "抽查评议",
        "social": "社会评议",
        "public": "群众测评",
    },
    Dimension: {
        "service": "服务",
        "efficiency": "效率",
        "quality": "质量",
        "conduct": "作风",
        "image": "形象",
    },
    Channel: {
        "terminal": "窗口评价器",
        "qr": "扫码评价",
        "web": "网页",
        "app": "移动应用",
        "sms": "短信",
        "hotline": "热线电话",
        "opinion_box": "意见箱",
        "paper": "纸质问卷",
        "forum": "座谈会",
        "visit": "走访",
        "assessor": "评议员",
        "complaint_desk": "投诉台",
        "undercover": "明察暗访",
        "import": "批量导入",
    },
    Verification: {"transaction": "办件核验", "real_name": "实名", "onsite": "现场", "anonymous": "匿名"},
    Level: {"province": "省级", "city": "市级", "county": "县级", "window": "窗口"},
}
