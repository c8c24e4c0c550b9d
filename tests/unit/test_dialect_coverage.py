"""Every string that the published response types can hold is in the table or named structural."""

import typing
from types import UnionType

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from monitor.dialects.formats import DIALECTS
from monitor.dialects.rows import Kind
from monitor.dialects.table import STRUCTURAL

DEEPEST = 9


def flat(annotation):
    """The types that an annotation allows, without unions, lists apart."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, UnionType):
        return [t for member in inner for t in flat(member)]
    if origin is typing.Annotated:
        return flat(inner[0])
    return [annotation]


def type_of(model):
    kinds = (
        typing.get_args(model.model_fields["type"].annotation)
        if "type" in model.model_fields
        else ()
    )
    return kinds[0] if kinds and isinstance(kinds[0], str) else ""


def strings(annotation, path, depth=0):
    """The paths of every string below a type, as tokens of the table."""
    for kind in flat(annotation) if depth < DEEPEST else ():
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if kind in (str, object, typing.Any):
            yield path
        elif origin is list:
            for member in flat(inner[0]):
                token = (
                    f"[{type_of(member)}]"
                    if isinstance(member, type) and issubclass(member, BaseModel)
                    else "[]"
                )
                yield from strings(member, (*path, token), depth + 1)
        elif origin is dict:
            yield from strings(inner[1], (*path, "*"), depth + 1)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            here = (*path, "{" + type_of(kind) + "}") if depth == 1 else path
            for name, field in kind.model_fields.items():
                yield from strings(field.annotation, (*here, field.alias or name), depth + 1)


READ_WHOLE = {Kind.ALL, Kind.JSON, Kind.TOKENS, Kind.OPAQUE, Kind.LABELS, Kind.REQUEST}


def explained(node, path, root):
    """Whether the table or the list of structural keys says what stands at a path."""
    for depth, token in enumerate(path):
        if token.startswith("{"):
            continue
        name = "message" if token == "delta" and "message" in node.children else token
        if token.startswith("[") and token not in node.children:
            name = "[]"
        if name not in node.children:
            return name in STRUCTURAL
        node = node.children[name]
        if node.row and node.row.kind in READ_WHOLE:
            return True
        if node.row and node.row.kind is Kind.MOUNT:
            return mounted(root, node.row.at, path[depth + 1 :])
    return node.row is not None


def mounted(root, at, path):
    """Whether a part of the whole response, in an event, is explained for its type."""
    element = root.at(at).element({"type": path[0][1:-1]}) if at else root
    read = element.row is not None and element.row.kind in READ_WHOLE
    return read or explained(element, path, root)


CASES = [
    ("chat", ChatCompletion),
    ("chat", ChatCompletionChunk),
    ("completions", Completion),
    ("responses", Response),
    ("messages", Message),
]


@pytest.mark.parametrize(("name", "model"), CASES)
def test_every_string_of_a_published_reply_is_explained(name, model):
    root = DIALECTS[name].root
    found = list(strings(model, ()))
    assert len(found) >= 5
    assert [p for p in found if not explained(root, p, root)] == []


@pytest.mark.parametrize(
    ("name", "union"), [("responses", ResponseStreamEvent), ("messages", RawMessageStreamEvent)]
)
def test_every_string_of_a_published_event_is_explained(name, union):
    dialect = DIALECTS[name]
    found = [(type_of(model), path) for model in flat(union) for path in strings(model, ())]
    assert len(found) > 100
    nodes = {kind: dialect.events.get(kind, dialect.root) for kind, _ in found}
    assert [(k, p) for k, p in found if not explained(nodes[k], p, dialect.root)] == []


def test_a_field_that_the_table_lacks_is_noticed():
    root = DIALECTS["chat"].root
    assert not explained(root, ("choices", "[]", "message", "soul"), root)
    assert not explained(root, ("choices", "[]", "soul", "text"), root)
