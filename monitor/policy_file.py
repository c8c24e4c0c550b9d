"""Reads policy files (TOML). Whatever is unknown, misspelt, out of range or idle is an error."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from classifiers.port import Check, Thresholds
from monitor.errors import PolicyError
from monitor.policy import Policy
from monitor.rulebook import Rule, Rulebook, When, spelt
from monitor.types import Decision, Mode

LONGEST_NAME: Final = 64
_ATTRIBUTES: Final = ("route", "model", "tenant")


def parse(text: str, defaults: Mapping[Check, Thresholds]) -> Rulebook:
    """Read a policy file; thresholds that it does not name come from calibration (`defaults`).

    Raises PolicyError with what is wrong and where.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"The policy is not valid TOML: {error}.") from error
    _refuse_unknown(table, [*_KEYS, "rules"], "the policy")
    top = _changed(Policy(thresholds=defaults), table)
    rules = table.get("rules", [])
    if not isinstance(rules, list):
        raise PolicyError("`rules` must be a list of tables: [[rules]], once for each.")
    return Rulebook(top=top, rules=_rules(rules, top))


def _rules(tables: Iterable[object], top: Policy) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for number, table in enumerate(tables, 1):
        rule = _rule(number, table, top)
        _refuse_idle(rule, rules)
        rules.append(rule)
    return tuple(rules)


def _rule(number: int, table: object, top: Policy) -> Rule:
    if not isinstance(table, dict):
        raise PolicyError("`rules` must be a list of tables: [[rules]], once for each.")
    name = _name(number, table.get("name"))
    where = f"rule {name!r}"
    _refuse_unknown(table, ["name", "when", *_KEYS], where)
    try:
        policy = _changed(top, table)
        when = _when(table.get("when"))
    except PolicyError as error:
        raise PolicyError(f"In {where}: {error}") from error
    return Rule(name=name, when=when, says=_said(spelt(policy), table), policy=policy)


def _refuse_idle(rule: Rule, before: Iterable[Rule]) -> None:
    """Refuse a rule that can never decide."""
    for other in before:
        if other.name == rule.name:
            raise PolicyError(f"Two rules are named {rule.name!r}.")
        if other.when.covers(rule.when):
            raise PolicyError(
                f"Rule {rule.name!r} would never decide: rule {other.name!r} stands before it and "
                "matches everything that it matches. The first that matches decides."
            )


def _changed(policy: Policy, table: Mapping[str, Any]) -> Policy:
    """`policy` with what a table of the file says instead."""
    changes = {key: read(table[key]) for key, read in _READERS.items() if key in table}
    limits = _thresholds(table.get("thresholds", {}), policy.thresholds)
    return replace(policy, thresholds=limits, **changes)


def _said(values: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that a table of the file names, and of tables in it likewise."""
    said: dict[str, Any] = {}
    for key in [key for key in values if key in table]:
        value = values[key]
        inner = _said(value, table[key]) if isinstance(value, dict) else value
        if inner != {}:
            said[key] = inner
    return said


def _name(number: int, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PolicyError(f'Rule {number} must have a name: name = "…".')
    if len(value) > LONGEST_NAME or not value.isprintable():
        raise PolicyError(
            f"The name of rule {number} must be printable, at most {LONGEST_NAME} characters."
        )
    return value


def _when(value: object) -> When:
    example = 'when = { route = "/v1/messages", model = "gpt-oss-*", tenant = "acme" }'
    if not isinstance(value, dict) or not value:
        raise PolicyError(
            f"`when` must say which responses the rule is for: {example}. "
            "What holds for all of them belongs to the top of the file."
        )
    _refuse_unknown(value, _ATTRIBUTES, "`when`")
    return When(**{name: _patterns(name, value[name]) for name in _ATTRIBUTES if name in value})


def _patterns(name: str, value: object) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    if not given:
        raise PolicyError(f"`when.{name}` is an empty list, which nothing matches.")
    return tuple(sorted({_pattern(name, pattern) for pattern in given}))


def _pattern(name: str, pattern: object) -> str:
    if not isinstance(pattern, str) or not pattern or pattern != pattern.strip():
        raise PolicyError(
            f"`when.{name}` must be a text, or a list of texts, without spaces around it, "
            f"not {pattern!r}."
        )
    if set(pattern) & set("[]\\") or not pattern.isprintable():
        raise PolicyError(
            f"`when.{name}` is {pattern!r}: patterns know only * (any characters) and ? (one)."
        )
    if name == "route" and (pattern[0] not in "/*?" or pattern.endswith("/")):
        raise PolicyError(f"`when.route` is {pattern!r}: a path begins with / and ends without.")
    return pattern


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise PolicyError(
            f"Unknown key {unknown[0]!r} in {where}; known keys: {', '.join(sorted(known))}."
        )


def _thresholds(table: object, defaults: Mapping[Check, Thresholds]) -> Mapping[Check, Thresholds]:
    if not isinstance(table, dict):
        raise PolicyError("`thresholds` must be a table: [thresholds.deception] and so on.")
    _refuse_unknown(table, [c.value for c in Check], "[thresholds]")
    return {check: _limits(check, table.get(check.value, {}), defaults) for check in Check}


def _limits(check: Check, table: object, defaults: Mapping[Check, Thresholds]) -> Thresholds:
    where = f"[thresholds.{check.value}]"
    if not isinstance(table, dict):
        raise PolicyError(f"{where} must be a table with `flag` and `block`.")
    _refuse_unknown(table, ("flag", "block"), where)
    standard = defaults[check]
    flag = _probability(where, table.get("flag", standard.flag))
    block = _probability(where, table.get("block", max(standard.block, flag)))
    if flag > block:
        raise PolicyError(f"In {where}, flag ({flag}) must not be above block ({block}).")
    return Thresholds(flag=flag, block=block)


def _probability(where: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise PolicyError(f"In {where}, a threshold must be above 0 and at most 1, not {value!r}.")


def _mode(value: object) -> Mode:
    if isinstance(value, str) and value in {m.value for m in Mode}:
        return Mode(value)
    raise PolicyError(f"`mode` must be one of observe, hold, buffer, not {value!r}.")


def _decision(key: str) -> Callable[[object], Decision]:
    def read(value: object) -> Decision:
        if isinstance(value, str) and value in {d.name.lower() for d in Decision}:
            return Decision[value.upper()]
        raise PolicyError(f"`{key}` must be one of allow, flag, block, not {value!r}.")

    return read


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 3600:
        return float(value)
    raise PolicyError(f"`deadline_seconds` must be above 0 and at most 3600, not {value!r}.")


def _refusal(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise PolicyError("`refusal` must be a text that is not empty.")


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "mode": _mode,
    "deadline_seconds": _seconds,
    "unscored": _decision("unscored"),
    "absent": _decision("absent"),
    "refusal": _refusal,
}
_KEYS: Final = (*_READERS, "thresholds")
