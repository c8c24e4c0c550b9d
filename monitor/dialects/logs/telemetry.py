"""OpenTelemetry exports: spans and log records with the attributes of the GenAI conventions.

Three generations of names are read: messages as parts (`gen_ai.output.messages`), events
(`gen_ai.choice`, `gen_ai.completion`), and numbered attributes (`gen_ai.completion.0.content`,
`llm.output_messages.0.message.content`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.dialects.jsontext import parse

__all__ = ["exchanges", "is_telemetry"]

_LISTS = (
    ("resourceSpans", "scopeSpans", "spans"),
    ("resource_spans", "scope_spans", "spans"),
    ("resourceLogs", "scopeLogs", "logRecords"),
    ("resource_logs", "scope_logs", "log_records"),
)
_MODEL = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name")
_OUT = ("gen_ai.output.messages", "gen_ai.completion", "gen_ai.choice", "output.value")
_IN = ("gen_ai.input.messages", "gen_ai.prompt", "input.value")


def is_telemetry(value: Mapping[str, Any]) -> bool:
    """Whether `value` is an export, a span or a log record."""
    if any(top in value for top, _, _ in _LISTS):
        return True
    return any(k.startswith(("gen_ai.", "llm.")) for k in _attributes(value.get("attributes")))


def exchanges(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every model call in it as `request`, `reply`, `model` and ids."""
    for span in _spans(value):
        known = _attributes(span.get("attributes"))
        events = [e for e in (span, *_listed(span.get("events"))) if isinstance(e, dict)]
        for event in events:
            known |= _attributes(event.get("attributes"))
        if choices := [c for event in events for c in _choice(event)]:
            known["gen_ai.choice"] = choices
        if any(key.startswith(("gen_ai.", "llm.")) for key in known):
            yield _exchange(span, known)


def _spans(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for top, scope, leaf in _LISTS:
        for resource in _listed(value.get(top)):
            for scoped in _listed(_get(resource, scope)):
                yield from (s for s in _listed(_get(scoped, leaf)) if isinstance(s, dict))
    if "attributes" in value:
        yield value


def _exchange(span: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    context = span.get("context")
    own = context if isinstance(context, dict) else span
    ids = (known.get("gen_ai.response.id"), own.get("spanId"), own.get("span_id"))
    return {
        "id": next((i for i in ids if isinstance(i, str) and i), ""),
        "model": next((known[k] for k in _MODEL if isinstance(known.get(k), str)), ""),
        "conversation_id": known.get("gen_ai.conversation.id") or known.get("session.id"),
        "request": {
            "system": _decoded(known.get("gen_ai.system_instructions")),
            "messages": _found(known, _IN, "gen_ai.prompt", "llm.input_messages"),
        },
        "reply": _found(known, _OUT, "gen_ai.completion", "llm.output_messages"),
    }


def _found(known: Mapping[str, Any], names: tuple[str, ...], *numbered: str) -> object:
    """The messages under the first of `names`, else those with numbered attributes."""
    for name in names[:-1]:
        if known.get(name):
            return _decoded(known[name])
    for prefix in numbered:
        if messages := _numbered(known, prefix):
            return messages
    return _decoded(known.get(names[-1]))


def _choice(event: Mapping[str, Any]) -> Iterator[object]:
    """The message of an event or log record that tells one choice of a reply."""
    name = event.get("name") or event.get("eventName") or event.get("event_name")
    if name == "gen_ai.choice":
        body = _value(event.get("body"))
        known = {**_attributes(event.get("attributes")), **(body if isinstance(body, dict) else {})}
        yield _decoded(known.get("message", known.get("content")))


def _numbered(known: Mapping[str, Any], prefix: str) -> list[Any]:
    """Build lists and objects from attributes such as `prefix.0.content`."""
    tree: dict[str, Any] = {}
    for key, value in known.items():
        if key.startswith(f"{prefix}."):
            *path, last = key[len(prefix) + 1 :].split(".")
            node = tree
            for token in path:
                inner = node.setdefault(token, {})
                node = inner if isinstance(inner, dict) else {}
            node[last] = value
    built = _listify(tree)
    messages = built if isinstance(built, list) else []
    return [m.get("message", m) if isinstance(m, dict) else m for m in messages]


def _listify(tree: object) -> object:
    if not isinstance(tree, dict):
        return tree
    if tree and all(k.isdigit() for k in tree):
        return [_listify(tree[k]) for k in sorted(tree, key=int)]
    return {k: _listify(v) for k, v in tree.items()}


def _attributes(value: object) -> dict[str, Any]:
    """Attributes as an object, whether they came as one or as a list of keys and values."""
    if isinstance(value, dict):
        return dict(value)
    pairs = [p for p in _listed(value) if isinstance(p, dict) and isinstance(p.get("key"), str)]
    return {p["key"]: _value(p.get("value")) for p in pairs}


def _value(value: object) -> object:
    """An OTLP value as plain JSON."""
    match value:
        case {"stringValue": inner} | {"intValue": inner} | {"boolValue": inner}:
            return inner
        case {"doubleValue": inner}:
            return inner
        case {"arrayValue": {"values": list(inner)}}:
            return [_value(v) for v in inner]
        case {"kvlistValue": {"values": list(inner)}}:
            return _attributes(inner)
    return value


def _decoded(value: object) -> object:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        return parse(value).value or value
    return value


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None
