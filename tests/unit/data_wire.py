"""Builds replies as the servers write them: the same words, streamed and whole, in each dialect."""

import json
from itertools import pairwise

from hypothesis import strategies as st

#: What a model may say, with everything that makes reading hard.
WORDS = st.one_of(
    st.text(min_size=1, max_size=12),
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "<th",
            "ink>",
            "<|channel|>analysis<|message|>",
            "<|end|>",
            "\r\n",
            "\u2028",
            "😀",
            "data: ",
            "\n\n",
            "\x00",
            '"}',
            "[DONE]",
        ]
    ),
)
#: Text of a field and how the server cuts it.
CUT_TEXT = st.lists(WORDS, min_size=1, max_size=5)
ARGUMENTS = st.dictionaries(st.text(max_size=5), st.text(max_size=8), min_size=1, max_size=3)


def event(payload, *, name="", end="\n"):
    data = payload if isinstance(payload, str) else json.dumps(payload)
    head = f"event: {name}{end}" if name else ""
    return f"{head}data: {data}{end}{end}".encode()


def anthropic_events(payloads):
    return b"".join(event(p, name=p["type"]) for p in payloads)


def _chunk(delta, index=0, **more):
    choice = {"index": index, "delta": delta, "finish_reason": None, **more}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "m",
        "choices": [choice],
    }


def chat(thinking, answer, calls, *, key="reasoning"):
    """Return (stream, whole); `thinking` and `answer` are cut texts, `calls` arguments."""
    payloads = [_chunk({"role": "assistant", "content": ""})]
    payloads += [_chunk({key: t}) for t in thinking]
    payloads += [_chunk({"content": t}) for t in answer]
    message = {"role": "assistant", "content": "".join(answer), "refusal": None}
    message["tool_calls"] = []
    for n, arguments in enumerate(calls):
        text = json.dumps(arguments)
        start = {
            "index": n,
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": f"tool_{n}", "arguments": ""},
        }
        payloads.append(_chunk({"tool_calls": [start]}))
        payloads += [
            _chunk({"tool_calls": [{"index": n, "function": {"arguments": c}}]}) for c in text
        ]
        message["tool_calls"].append(
            {
                "id": f"call_{n}",
                "type": "function",
                "function": {"name": f"tool_{n}", "arguments": text},
            }
        )
    message[key] = "".join(thinking)
    payloads.append(_chunk({}, finish_reason="stop"))
    whole = {
        "id": "c1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"total_tokens": 3},
    }
    return b"".join(map(event, payloads)) + event("[DONE]"), json.dumps(whole).encode()


def completions(thinking, answer, calls):
    payloads = [
        {
            "id": "t1",
            "object": "text_completion",
            "created": 7,
            "model": "m",
            "choices": [{"index": 0, "text": t, "finish_reason": None}],
        }
        for t in answer
    ]
    whole = {
        **payloads[0],
        "choices": [{"index": 0, "text": "".join(answer), "finish_reason": "stop"}],
    }
    return b"".join(map(event, payloads)) + event("[DONE]"), json.dumps(whole).encode()


def messages(thinking, answer, calls):
    blocks = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": t} for t in thinking],
            "thinking",
            "".join(thinking),
        )
    ]
    blocks.append(
        (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": t} for t in answer],
            "text",
            "".join(answer),
        )
    )
    for n, arguments in enumerate(calls):
        start = {"type": "tool_use", "id": f"t{n}", "name": f"tool_{n}", "input": {}}
        text = json.dumps(arguments, ensure_ascii=False)
        blocks.append(
            (
                start,
                [{"type": "input_json_delta", "partial_json": c} for c in text],
                "input",
                arguments,
            )
        )
    message = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    payloads, content = [{"type": "message_start", "message": message}, {"type": "ping"}], []
    for n, (start, deltas, key, value) in enumerate(blocks):
        payloads.append({"type": "content_block_start", "index": n, "content_block": start})
        payloads += [{"type": "content_block_delta", "index": n, "delta": d} for d in deltas]
        payloads.append({"type": "content_block_stop", "index": n})
        content.append({**start, key: value})
    payloads.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 9},
        }
    )
    payloads.append({"type": "message_stop"})
    return anthropic_events(payloads), json.dumps(
        {**message, "content": content, "stop_reason": "end_turn"}
    ).encode()


def _response(output, status):
    return {
        "id": "r1",
        "object": "response",
        "created_at": 7,
        "status": status,
        "model": "m",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [
            {"type": "function", "name": "tool_0", "description": "A tool for this and that"}
        ],
        "instructions": "You are helpful",
        "error": None,
        "incomplete_details": None,
        "metadata": {},
    }


def responses(thinking, answer, calls):
    """Return a stream with all the repeats that the real server sends, and the whole response."""
    payloads, output = [{"type": "response.created", "response": _response([], "in_progress")}], []
    texts = [
        ("reasoning", "reasoning_text", "response.reasoning_text", thinking),
        ("message", "output_text", "response.output_text", answer),
    ]
    for n, (kind, part, name, cuts) in enumerate(texts):
        at = {"item_id": f"i{n}", "output_index": n, "content_index": 0}
        whole = "".join(cuts)
        empty = {"id": f"i{n}", "type": kind, "status": "in_progress", "content": []}
        item = {**empty, "content": [{"type": part, "text": whole}], "status": "completed"}
        payloads.append({"type": "response.output_item.added", "output_index": n, "item": empty})
        payloads.append(
            {"type": "response.content_part.added", **at, "part": {"type": part, "text": ""}}
        )
        payloads += [{"type": f"{name}.delta", **at, "delta": c} for c in cuts]
        payloads.append({"type": f"{name}.done", **at, "text": whole})
        payloads.append(
            {"type": "response.content_part.done", **at, "part": {"type": part, "text": whole}}
        )
        payloads.append({"type": "response.output_item.done", "output_index": n, "item": item})
        output.append(item)
    for n, arguments in enumerate(calls, 2):
        text = json.dumps(arguments)
        at = {"item_id": f"i{n}", "output_index": n}
        empty = {
            "id": f"i{n}",
            "type": "function_call",
            "call_id": "c",
            "name": f"tool_{n}",
            "arguments": "",
            "status": "in_progress",
        }
        payloads.append({"type": "response.output_item.added", "output_index": n, "item": empty})
        payloads += [
            {"type": "response.function_call_arguments.delta", **at, "delta": c} for c in text
        ]
        payloads.append({"type": "response.function_call_arguments.done", **at, "arguments": text})
        output.append({**empty, "arguments": text})
        payloads.append(
            {"type": "response.output_item.done", "output_index": n, "item": output[-1]}
        )
    done = _response(output, "completed")
    payloads.append({"type": "response.completed", "response": done})
    numbered = [{**p, "sequence_number": n} for n, p in enumerate(payloads)]
    return anthropic_events(numbered), json.dumps(done).encode()


def old_chat(thinking, answer, calls):
    return chat(thinking, answer, calls, key="reasoning_content")


BUILDERS = {
    "chat": chat,
    "old_chat": old_chat,
    "completions": completions,
    "messages": messages,
    "responses": responses,
}
PATHS = {
    "chat": "/v1/chat/completions",
    "old_chat": "/chat/completions",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
REPLY = st.tuples(
    st.sampled_from(sorted(BUILDERS)), CUT_TEXT, CUT_TEXT, st.lists(ARGUMENTS, max_size=2)
)


def pieces(data, cuts):
    """Cut `data` at the given places."""
    edges = [0, *sorted({c % (len(data) + 1) for c in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]
