"""Every place on the wire where text of a model can stand: the one table of the dialects.

The order of rows is the order in which places of one object are read: thinking before answers
before tool calls. What is in no row and is no structural key is judged as answer text.
"""

import re

from monitor.dialects.rows import Kind, Row
from monitor.types import Channel

__all__ = ["ANTHROPIC", "CHAT", "COMPLETIONS", "RESPONSES", "STRUCTURAL"]

T, A, C = Channel.THINKING, Channel.ANSWER, Channel.TOOL_CALL

#: Keys whose short values are the protocol's, not the model's, wherever a known object has them.
#: A value that is long or has several words is judged all the same.
STRUCTURAL = frozenset(
    re.findall(
        r"\w+",
        """
        id type role object model index status finish_reason native_finish_reason stop_reason
        stop_sequence system_fingerprint service_tier provider param format
        call_id item_id tool_call_id tool_use_id tool_index response_id file_id container_id
        container_file_id approval_request_id request_id conversation_id previous_response_id
        event_id created_by phase namespace server_label toolset_name matched_stop
        background output_format quality size expires_at fingerprint error_code
        encrypted_index file_type resolved_model citation_type obfuscation
        """,
    )
)


def _row(path: str, channel: Channel = A, kind: Kind = Kind.TEXT) -> Row:
    return Row(path=path, channel=channel, kind=kind)


def _event(path: str, channel: Channel, to: str, kind: Kind = Kind.TEXT) -> Row:
    return Row(path=path, channel=channel, kind=kind, to=to)


def _done(path: str, channel: Channel, to: str, kind: Kind = Kind.TEXT) -> Row:
    return Row(path=path, channel=channel, kind=kind, to=to, repeats=True)


def _mount(path: str, to: str, at: str, *, repeats: bool = False) -> Row:
    return Row(path=path, kind=Kind.MOUNT, to=to, at=at, repeats=repeats)


#: What any server may put beside the text of a reply.
_COMMON = (
    _row("error", A, Kind.ALL),
    _row("usage", A, Kind.LABELS),
    _row("metrics", A, Kind.LABELS),
    _row("timings", A, Kind.LABELS),
    _row("prompt_filter_results", A, Kind.LABELS),
    _row("kv_transfer_params", A, Kind.LABELS),
    _row("x_groq", A, Kind.LABELS),
)

CHAT = (
    _row("choices[].message.reasoning", T),
    _row("choices[].message.reasoning_content", T, Kind.ECHO),
    _row("choices[].message.thinking", T, Kind.ECHO),
    _row("choices[].message.reasoning_details", T, Kind.ECHO),
    _row("choices[].message.reasoning_details[].text", T),
    _row("choices[].message.reasoning_details[].summary", T),
    _row("choices[].message.reasoning_details[].data", T, Kind.OPAQUE),
    _row("choices[].message.reasoning_details[].signature", T, Kind.OPAQUE),
    _row("choices[].message.thinking_blocks", T, Kind.ECHO),
    _row("choices[].message.thinking_blocks[].thinking", T),
    _row("choices[].message.thinking_blocks[].data", T, Kind.REDACTED),
    _row("choices[].message.thinking_blocks[].signature", T, Kind.OPAQUE),
    _row("choices[].message.reasoning_items", T, Kind.ECHO),
    _row("choices[].message.reasoning_items[].summary[].text", T),
    _row("choices[].message.reasoning_items[].content[].text", T),
    _row("choices[].message.reasoning_items[].encrypted_content", T, Kind.OPAQUE),
    _row("choices[].message.content", A, Kind.INLINE),
    _row("choices[].message.content[].thinking", T),
    _row("choices[].message.content[].thinking[].text", T),
    _row("choices[].message.content[].reasoning", T),
    _row("choices[].message.content[].reasoning_text", T),
    _row("choices[].message.content[].signature", T, Kind.OPAQUE),
    _row("choices[].message.content[].text", A, Kind.INLINE),
    _row("choices[].message.content[].refusal", A),
    _row("choices[].message.refusal", A),
    _row("choices[].message.audio.transcript", A),
    _row("choices[].message.audio.data", A, Kind.OPAQUE),
    _row("choices[].message.annotations", A, Kind.ALL),
    _row("choices[].message.function_call.name", C),
    _row("choices[].message.function_call.arguments", C, Kind.JSON),
    _row("choices[].message.tool_calls[].function.name", C),
    _row("choices[].message.tool_calls[].function.arguments", C, Kind.JSON),
    _row("choices[].message.tool_calls[].custom.name", C),
    _row("choices[].message.tool_calls[].custom.input", C, Kind.JSON),
    _row("choices[].message.tool_calls[].extra_content", A, Kind.OPAQUE),
    _row("choices[].logprobs", A, Kind.TOKENS),
    _row("choices[].content_filter_results", A, Kind.LABELS),
    _row("moderation", A, Kind.LABELS),
    _row("metadata", A, Kind.REQUEST),
    *_COMMON,
)

COMPLETIONS = (
    _row("choices[].reasoning", T),
    _row("choices[].text", A, Kind.INLINE),
    _row("choices[].logprobs", A, Kind.TOKENS),
    _row("choices[].content_filter_results", A, Kind.LABELS),
    *_COMMON,
)

_TEXT_ITEM = "output.@output_index.content.@content_index"
_ITEM = "output.@output_index"

RESPONSES = (
    _row("output[reasoning].content[].text", T),
    _row("output[reasoning].summary[].text", T),
    _row("output[reasoning].encrypted_content", T, Kind.OPAQUE),
    _row("output[message].content[reasoning_text].text", T),
    _row("output[message].content[].text", A, Kind.INLINE),
    _row("output[message].content[].refusal", A),
    _row("output[message].content[].logprobs", A, Kind.TOKENS),
    _row("output[message].content[].annotations", A, Kind.ALL),
    _row("output[function_call].name", C),
    _row("output[function_call].arguments", C, Kind.JSON),
    _row("output[function_call].caller", C, Kind.LABELS),
    _row("output[custom_tool_call].name", C),
    _row("output[custom_tool_call].input", C, Kind.JSON),
    _row("output[custom_tool_call].caller", C, Kind.LABELS),
    _row("output[mcp_call].name", C),
    _row("output[mcp_call].arguments", C, Kind.JSON),
    _row("output[mcp_call].output", C),
    _row("output[mcp_call].error", C, Kind.ALL),
    _row("output[code_interpreter_call].code", C),
    _row("output[code_interpreter_call].outputs", C, Kind.ALL),
    _row("output[image_generation_call].revised_prompt", C),
    _row("output[image_generation_call].result", C, Kind.OPAQUE),
    _row("output[image_generation_call].action", C, Kind.LABELS),
    _row("output[image_generation_call].svg_usage", C, Kind.LABELS),
    _row("output[image_generation_call].error", C, Kind.ALL),
    _row("output[compaction].encrypted_content", C, Kind.OPAQUE),
    # Every other item: calls of built-in tools and what they gave.
    _row("output[]", C, Kind.ALL),
    _row("output_text", A, Kind.ECHO),
    _row("incomplete_details", A, Kind.LABELS),
    *(
        _row(key, A, Kind.REQUEST)
        for key in ("input_transformations", "instructions", "metadata", "prompt", "tools")
    ),
    _row("text.format", A, Kind.REQUEST),
    *(
        _row(key, A, Kind.LABELS)
        for key in (
            *("access_programs", "conversation", "image", "moderation", "reasoning"),
            *("safety_identifier", "text.verbosity", "tool_choice", "tool_usage", "truncation"),
            *("prompt_cache_diagnostics", "prompt_cache_key", "prompt_cache_options"),
            *("prompt_cache_retention", "user"),
        )
    ),
    *_COMMON,
)

#: Streamed events of the Responses API by `type`: where their text stands in the whole response.
RESPONSES_EVENTS = {
    "response.output_text.delta": (
        _event("delta", A, f"{_TEXT_ITEM}.text", Kind.INLINE),
        _event("logprobs", A, f"{_TEXT_ITEM}.logprobs", Kind.TOKENS),
    ),
    "response.output_text.done": (
        _done("text", A, f"{_TEXT_ITEM}.text", Kind.INLINE),
        _done("logprobs", A, f"{_TEXT_ITEM}.logprobs", Kind.TOKENS),
    ),
    "response.output_text.annotation.added": (
        _done("annotation", A, f"{_TEXT_ITEM}.annotations.@annotation_index", Kind.ALL),
    ),
    "response.refusal.delta": (_event("delta", A, f"{_TEXT_ITEM}.refusal"),),
    "response.refusal.done": (_done("refusal", A, f"{_TEXT_ITEM}.refusal"),),
    "response.reasoning_text.delta": (_event("delta", T, f"{_TEXT_ITEM}.text"),),
    "response.reasoning_text.done": (_done("text", T, f"{_TEXT_ITEM}.text"),),
    "response.reasoning_summary_text.delta": (
        _event("delta", T, f"{_ITEM}.summary.@summary_index.text"),
    ),
    "response.reasoning_summary_text.done": (
        _done("text", T, f"{_ITEM}.summary.@summary_index.text"),
    ),
    "response.function_call_arguments.delta": (
        _event("delta", C, f"{_ITEM}.arguments", Kind.JSON),
    ),
    "response.function_call_arguments.done": (
        _done("arguments", C, f"{_ITEM}.arguments", Kind.JSON),
        _done("name", C, f"{_ITEM}.name"),
    ),
    "response.mcp_call_arguments.delta": (_event("delta", C, f"{_ITEM}.arguments", Kind.JSON),),
    "response.mcp_call_arguments.done": (_done("arguments", C, f"{_ITEM}.arguments", Kind.JSON),),
    "response.custom_tool_call_input.delta": (_event("delta", C, f"{_ITEM}.input", Kind.JSON),),
    "response.custom_tool_call_input.done": (_done("input", C, f"{_ITEM}.input", Kind.JSON),),
    "response.code_interpreter_call_code.delta": (_event("delta", C, f"{_ITEM}.code"),),
    "response.code_interpreter_call_code.done": (_done("code", C, f"{_ITEM}.code"),),
    "response.shell_call_command.added": (
        _done("command", C, f"{_ITEM}.action.commands.@command_index"),
    ),
    "response.shell_call_command.delta": (
        _event("delta", C, f"{_ITEM}.action.commands.@command_index"),
    ),
    "response.shell_call_command.done": (
        _done("command", C, f"{_ITEM}.action.commands.@command_index"),
    ),
    "response.shell_call_output_content.delta": (
        _event("delta", C, f"{_ITEM}.output.@command_index", Kind.ALL),
    ),
    "response.shell_call_output_content.done": (
        _done("output", C, f"{_ITEM}.output", Kind.ALL),
    ),
    "response.audio.delta": (_event("delta", A, "audio", Kind.OPAQUE),),
    "response.audio.transcript.delta": (_event("delta", A, "audio.transcript"),),
    "response.image_generation_call.partial_image": (
        _event("partial_image_b64", C, f"{_ITEM}.result", Kind.OPAQUE),
    ),
    "response.reasoning_summary_part.added": (
        _mount("part", f"{_ITEM}.summary.@summary_index", "output[reasoning].summary",
               repeats=True),
    ),
    "response.reasoning_summary_part.done": (
        _mount("part", f"{_ITEM}.summary.@summary_index", "output[reasoning].summary",
               repeats=True),
    ),
    **{
        f"response.{part}_part.{when}": (
            _mount("part", _TEXT_ITEM, "output[message].content", repeats=True),
        )
        for part in ("content", "reasoning")
        for when in ("added", "done")
    },
    **{
        f"response.output_item.{when}": (_mount("item", _ITEM, "output", repeats=True),)
        for when in ("added", "done")
    },
    **{
        f"response.{when}": (_mount("response", "", "", repeats=True),)
        for when in ("created", "queued", "in_progress", "completed", "incomplete", "failed")
    },
    "error": (_row("message", A), _row("code", A, Kind.LABELS)),
}  # fmt: skip

ANTHROPIC = (
    _row("content[thinking].thinking", T),
    _row("content[thinking].signature", T, Kind.OPAQUE),
    _row("content[redacted_thinking].data", T, Kind.REDACTED),
    _row("content[text].text", A, Kind.INLINE),
    _row("content[text].citations", A, Kind.ALL),
    _row("content[tool_use].name", C),
    _row("content[tool_use].input", C, Kind.JSON),
    _row("content[tool_use].caller", C, Kind.LABELS),
    _row("content[server_tool_use].name", C),
    _row("content[server_tool_use].input", C, Kind.JSON),
    _row("content[server_tool_use].caller", C, Kind.LABELS),
    _row("content[mcp_tool_use].name", C),
    _row("content[mcp_tool_use].server_name", C),
    _row("content[mcp_tool_use].input", C, Kind.JSON),
    # Every other block: what built-in tools gave.
    _row("content[]", C, Kind.ALL),
    _row("stop_details", A, Kind.ALL),
    _row("container", A, Kind.LABELS),
    _row("context_management", A, Kind.LABELS),
    _row("diagnostics", A, Kind.LABELS),
    *_COMMON,
)

_BLOCK = "content.@index"

#: Streamed events of the Messages API by `type`.
ANTHROPIC_EVENTS = {
    "message_start": (_mount("message", "", ""),),
    "content_block_start": (_mount("content_block", _BLOCK, "content"),),
    "content_block_delta": (
        _event("delta.thinking", T, f"{_BLOCK}.thinking"),
        _event("delta.text", A, f"{_BLOCK}.text", Kind.INLINE),
        _event("delta.partial_json", C, f"{_BLOCK}.input", Kind.JSON),
        _event("delta.citation", A, f"{_BLOCK}.citations", Kind.ALL),
        _event("delta.signature", T, f"{_BLOCK}.signature", Kind.OPAQUE),
    ),
    "message_delta": (
        _row("delta.stop_details", A, Kind.ALL),
        _row("delta.container", A, Kind.LABELS),
        *_COMMON,
        _row("context_management", A, Kind.LABELS),
    ),
    "error": _COMMON,
}
