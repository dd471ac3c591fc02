from pathlib import Path

import pytest

from services.notify.adapters.channel_file import ChannelFileError, load_channel_file
from services.notify.adapters.endpoints import ChannelSecretError, make_lines
from services.notify.application.lanes import shared_buckets
from services.notify.domain.channels import RETRY_FOR_DAYS_S
from services.notify.settings import Settings
from tests.unit.notify.support import SetClock

WHOLE = """
[outbound]
allow_networks = ["10.20.0.0/16"]

[smtp.main]
host = "mail.example.org"
sender = "pingyi@example.org"
user = "pingyi"
password_file = "smtp.password"

[sms.main]
url = "https://sms.example.org/send"
token_file = "sms.token"
code_field = "code"

[[endpoint]]
kind = "webhook"
name = "partner"
url = "https://partner.example.org/alerts"
key_file = "partner.key"

[[endpoint]]
kind = "wecom"
name = "duty"
url_file = "wecom-duty.url"
format = "markdown"

[[endpoint]]
kind = "dingtalk"
name = "duty"
url_file = "dingtalk-duty.url"
secret_file = "dingtalk-duty.secret"

[[endpoint]]
kind = "feishu"
name = "duty"
url_file = "feishu-duty.url"
language = "en"
all_alerts = false

[[endpoint]]
kind = "email"
name = "head"
to = ["head@example.org"]

[[endpoint]]
kind = "sms"
name = "head"
to = ["13800000000"]
"""
SECRETS = {
    "smtp.password": "secret",
    "sms.token": "token",
    "partner.key": "ab" * 32 + "\n" + "cd" * 32,
    "wecom-duty.url": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=SECRET",
    "dingtalk-duty.url": "https://oapi.dingtalk.com/robot/send?access_token=SECRET",
    "dingtalk-duty.secret": "SECretSECRET",
    "feishu-duty.url": "https://open.feishu.cn/open-apis/bot/v2/hook/SECRET",
}


def settings(tmp_path: Path, text: str = WHOLE) -> Settings:
    secrets = tmp_path / "secrets"
    secrets.mkdir(exist_ok=True)
    for name, content in SECRETS.items():
        (secrets / name).write_text(content)
    (tmp_path / "notify.toml").write_text(text, encoding="utf-8")
    return Settings(
        channels_file=tmp_path / "notify.toml", secrets_dir=secrets, console_alerts=False, webhook_url=None
    )


def test_every_channel_has_endpoints_and_none_shows_its_key(tmp_path: Path) -> None:
    lines = make_lines(settings(tmp_path), SetClock())
    lines.close()
    by_address = {line.endpoint.address: line.endpoint for line in lines.lines}
    assert list(by_address) == [
        "webhook.partner", "wecom.duty", "dingtalk.duty", "feishu.duty", "email.head", "sms.head",
    ]  # fmt: skip
    assert all(line.channel.name == line.endpoint.address for line in lines.lines)
    assert "SECRET" not in repr(by_address)
    assert by_address["webhook.partner"].retry_delays_s == RETRY_FOR_DAYS_S
    assert by_address["wecom.duty"].per_minute == 20
    assert not by_address["feishu.duty"].all_alerts


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "sms"', 'kind = "pager"', "pager"),
        ('name = "partner"', 'name = "Part.ner"', "a-z"),
        ('name = "partner"', f'name = "{"x" * 24}"', "23"),
        ('key_file = "partner.key"', "", "key_file or ed25519_file"),
        ('key_file = "partner.key"', 'key_file = "/etc/shadow"', "SECRETS_DIR"),
        ('key_file = "partner.key"', 'key_file = "../x"', "SECRETS_DIR"),
        ('to = ["head@example.org"]', 'to = ["a@b.c\\r\\nBcc: x@y.z"]', "one address"),
        ('to = ["13800000000"]', 'to = ["13800000000;rm"]', "digits"),
        ('user = "pingyi"', 'user = "pingyi"\ntls = "none"', "without TLS"),
        ('password_file = "smtp.password"', "", "both or none"),
        ("[smtp.main]", "[smtp.other]", "[smtp.…]"),
        ('name = "partner"', 'name = "partner"\nurl_file = "x"', "one of them"),
        ('language = "en"', 'colour = "en"', "colour"),
        ('"10.20.0.0/16"', '"10.20.0.1/16"', "host bits"),
        ("[outbound]", "[outbound", "TOML"),
    ],
)
def test_a_wrong_file_stops_the_start_and_says_where(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WHOLE
    with pytest.raises(ChannelFileError) as caught:
        make_lines(settings(tmp_path, WHOLE.replace(old, new, 1)), SetClock())
    assert said in str(caught.value)
    assert "13800000000" not in str(caught.value)


def test_two_endpoints_of_one_address_are_refused(tmp_path: Path) -> None:
    twice = WHOLE + WHOLE[WHOLE.index('[[endpoint]]\nkind = "sms"') :]
    with pytest.raises(ChannelFileError, match=r"sms\.head"):
        load_channel_file(settings(tmp_path, twice).channels_file or tmp_path)


@pytest.mark.parametrize("content", [None, "", "two words"])
def test_a_secret_that_is_no_secret_stops_the_start_without_being_repeated(
    tmp_path: Path, content: str | None
) -> None:
    chosen = settings(tmp_path)
    path = chosen.secrets_dir / "dingtalk-duty.secret"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ChannelSecretError, match=r"dingtalk-duty\.secret") as caught:
        make_lines(chosen, SetClock())
    assert not content or content not in str(caught.value)


def test_endpoints_of_one_url_in_the_file_share_what_the_robot_may_take(tmp_path: Path) -> None:
    again = '[[endpoint]]\nkind = "wecom"\nname = "night"\nurl_file = "wecom-duty.url"\n'
    lines = make_lines(settings(tmp_path, WHOLE + again), SetClock())
    lines.close()
    buckets = shared_buckets(line.endpoint for line in lines.lines)
    assert buckets["wecom.duty"] is buckets["wecom.night"]
    assert buckets["dingtalk.duty"] is not buckets["wecom.duty"]


def test_a_robots_address_is_checked_like_any_other(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    (chosen.secrets_dir / "wecom-duty.url").write_text("http://qyapi.weixin.qq.com/?key=SECRET")
    with pytest.raises(ValueError, match=r"wecom\.duty") as caught:
        make_lines(chosen, SetClock())
    assert "SECRET" not in str(caught.value)
