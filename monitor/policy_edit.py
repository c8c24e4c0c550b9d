"""Changes a policy file and nothing else in it: comments, order and layout stay. Pure."""

from collections.abc import Mapping
from dataclasses import replace

import tomlkit
from tomlkit.exceptions import TOMLKitError

from classifiers.port import Check, Thresholds
from monitor.errors import PolicyError
from monitor.policy_file import parse
from monitor.rulebook import Rulebook


def with_thresholds(
    text: str, check: Check, limits: Thresholds, defaults: Mapping[Check, Thresholds]
) -> str:
    """Return the file with other thresholds of a check at its top.

    Rules that name thresholds of their own keep them. PolicyError when the result could not be
    obeyed, or would say anything else than that.
    """
    before = parse(text, defaults)
    try:
        document = tomlkit.parse(text)
        table = document.setdefault("thresholds", tomlkit.table(is_super_table=True))
        entry = table.setdefault(check.value, tomlkit.table())
        entry["flag"], entry["block"] = limits.flag, limits.block
        changed = tomlkit.dumps(document)
    except (TOMLKitError, TypeError, ValueError, AttributeError) as error:
        raise PolicyError("The policy file is written in a way that cannot be edited.") from error
    _demand(parse(changed, defaults), before, check, limits)
    return changed


def _demand(after: Rulebook, before: Rulebook, check: Check, limits: Thresholds) -> None:
    wanted = {**before.top.thresholds, check: limits}
    top = replace(before.top, thresholds=wanted)
    rules = [(rule.name, rule.when, rule.says) for rule in before.rules]
    if after.top != top or [(r.name, r.when, r.says) for r in after.rules] != rules:
        raise PolicyError("The policy file is written in a way that cannot be edited.")
