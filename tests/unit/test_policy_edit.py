"""An edit from the console changes thresholds of one check, and nothing else in the file."""

import pytest

from classifiers.port import Check, Thresholds
from monitor.errors import PolicyError
from monitor.policy_edit import with_thresholds
from monitor.policy_file import parse
from tests.support import THRESHOLDS

WANTED = Thresholds(flag=0.61, block=0.95)
RULES = """
[[rules]]
name = "tutor"
when = { tenant = "tutor" } # children
[rules.thresholds.deception]
flag = 0.2
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        '# ours\nmode = "observe" # for now\n',
        "[thresholds.deception]\nflag = 0.3 # low\nblock = 0.7\n",
        "[thresholds.deception]\r\nflag = 0.3\r\n",
        "[thresholds]\nmismatch = { flag = 0.1 }\n",
        "thresholds = { deception = { flag = 0.3 } }\n",
        'thresholds.deception.flag = 0.3\nmode = "hold"\n',
        RULES,
        "[thresholds.mismatch]\nflag = 0.4\n" + RULES,
    ],
)  # fmt: skip
def test_only_the_thresholds_change_however_the_file_is_written(text):
    changed = with_thresholds(text, Check.DECEPTION, WANTED, THRESHOLDS)
    before, after = (parse(t, THRESHOLDS) for t in (text, changed))
    assert after.top.thresholds == {**before.top.thresholds, Check.DECEPTION: WANTED}
    assert [(r.name, r.says) for r in after.rules] == [(r.name, r.says) for r in before.rules]
    assert (after.top.mode, after.top.refusal) == (before.top.mode, before.top.refusal)
    for comment in ("# ours", "# for now", "# low", "# children"):
        assert (comment in changed) == (comment in text)


def test_what_could_not_be_obeyed_is_refused():
    for text, limits in (
        ("mode = 'hodl'", WANTED),
        ("", Thresholds(flag=0.9, block=0.5)),
        ("", Thresholds(flag=0.0, block=0.5)),
    ):
        with pytest.raises(PolicyError):
            with_thresholds(text, Check.DECEPTION, limits, THRESHOLDS)
