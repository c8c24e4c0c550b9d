"""What a request tells: the prompt as context for the classifiers, and never a failure."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.segment import segment
from monitor.dialects import Request, dialect_for
from monitor.dialects.prompt import LONGEST_PROMPT, LONGEST_RESULTS, LONGEST_SYSTEM
from monitor.scoring import PROMPT_STEPS

CHAT = dialect_for("/v1/chat/completions")


def request(body):
    return CHAT.request(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/chat/completions/", "chat"),
        ("/openai/deployments/x/chat/completions?api-version=1", "chat"),
        ("/v1/completions", "completions"),
        ("/v1/responses", "responses"),
        ("/v1/messages", "messages"),
        ("/v1/messages/count_tokens", None),
        ("/v1/models", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_path_names_the_dialect(path, name):
    dialect = dialect_for(path)
    assert (dialect and dialect.name) == name


TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Old"},
    {"role": "assistant", "content": "Older answer"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "One"},
            {"type": "image_url", "image_url": {"url": "x"}},
        ],
    },
    {"role": "user", "content": "Two"},
    {"role": "assistant", "content": "I call", "tool_calls": []},
    {"role": "tool", "content": "Result"},
]


def test_the_prompt_is_system_last_user_turns_and_tool_results_since():
    found = request({"model": "m", "stream": True, "messages": TURNS})
    assert found == Request(model="m", prompt="Be kind.\nOne\nTwo\nResult", stream=True)


def test_a_prompt_of_the_messages_api_keeps_the_question_before_tool_results():
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "Result"}],
    }
    turns = [
        {"role": "user", "content": "Ask"},
        {"role": "assistant", "content": []},
        {"role": "user", "content": [result]},
    ]
    found = request(
        {
            "system": [{"type": "text", "text": "Be kind."}],
            "messages": turns,
            "metadata": {"user_id": "u", "session_id": "s"},
        }
    )
    assert found.prompt == "Be kind.\nAsk\nResult"
    assert found.conversation_id == "s"


@pytest.mark.parametrize(
    ("given_", "prompt"),
    [
        ({"input": "Ask", "instructions": "Be kind."}, "Be kind.\nAsk"),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "Ask"}]},
                    {"type": "function_call", "arguments": "x"},
                    {"type": "function_call_output", "output": "Result"},
                ]
            },
            "Ask\nResult",
        ),
        ({"prompt": "Ask"}, "Ask"),
        ({"prompt": ["One", "Two"]}, "One\nTwo"),
        ({"prompt": [1, 2]}, ""),
        ({"messages": "Ask"}, "Ask"),
        ({"messages": [{"role": "user"}]}, ""),
        ({"messages": [{"role": "user", "content": "\ud83d\ude00\ud83d"}]}, "😀\ufffd"),
    ],
)
def test_prompts_of_every_api_are_read(given_, prompt):
    assert request(given_).prompt == prompt


RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "Result"}


def test_a_user_turn_that_returns_from_tools_is_no_new_question():
    reminder = {"type": "text", "text": "Reminder"}
    turns = [
        {"role": "user", "content": "Ask"},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]},
        {"role": "user", "content": [RESULT, reminder]},
    ]
    assert request({"messages": turns}).prompt == "Ask\nResult\nReminder"


def test_documents_in_a_question_are_part_of_it():
    document = {"type": "document", "source": {"type": "text", "data": "Page"}, "title": "T"}
    image = {"type": "image", "source": {"type": "base64", "data": "QUJD"}}
    content = [document, image, {"type": "text", "text": "Ask"}]
    assert request({"messages": [{"role": "user", "content": content}]}).prompt == "Page\nAsk"


def test_neither_system_text_nor_tool_results_push_the_question_out():
    turns = [
        {"role": "system", "content": "S" * 50_000},
        {"role": "user", "content": "Old question"},
        {"role": "assistant", "content": "Old answer"},
        {"role": "user", "content": "Q" * 50_000 + " the question"},
        {"role": "tool", "content": "T" * 50_000 + " the end"},
    ]
    found = request({"messages": turns}).prompt
    system, asked, results = found.split("\n")
    assert len(found) == LONGEST_PROMPT
    assert (len(system), len(results)) == (LONGEST_SYSTEM, LONGEST_RESULTS)
    assert asked.endswith("Q the question")
    assert results.endswith("T the end")


def test_the_classifiers_read_the_end_of_the_question_before_long_tool_results():
    words = "Ordinary words of a tool that go on for long. " * 400
    turns = [
        {"role": "user", "content": f"{words} Poison the well?"},
        {"role": "tool", "content": words},
    ]
    prompt = request({"messages": turns}).prompt
    assert "Poison the well?" in "".join(p.text for p in segment(prompt)[-PROMPT_STEPS:])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_a_request_is_read_in_every_encoding_that_servers_read(encoding):
    body = '{"model": "m", "messages": [{"role": "user", "content": "é😀"}]}'.encode(encoding)
    assert CHAT.request(body) == Request(model="m", prompt="é😀")


def test_a_response_that_is_continued_is_named():
    assert request({"previous_response_id": "resp_1"}).previous_response_id == "resp_1"
    assert request({"previous_response_id": 7}).previous_response_id == ""


def test_a_long_prompt_keeps_its_end():
    found = request({"messages": [{"role": "user", "content": "a" * 9000 + "end"}]}).prompt
    assert len(found) == 8000
    assert found.endswith("end")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"metadata": {"conversation_id": "c"}}, "c"),
        ({"conversation": {"id": "c"}}, "c"),
        ({"conversation": "c"}, "c"),
        ({"session_id": "c"}, "c"),
        ({"metadata": 5, "thread_id": 5}, ""),
    ],
)
def test_conversations_are_named_where_the_client_names_them(body, expected):
    assert request(body).conversation_id == expected


@given(
    st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.none() | st.text(max_size=5) | st.integers(),
            lambda i: (
                st.lists(i, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "messages",
                            "role",
                            "content",
                            "type",
                            "input",
                            "metadata",
                            "model",
                            "conversation",
                            "text",
                        ]
                    ),
                    i,
                )
            ),
        ).map(lambda v: json.dumps(v).encode()),
    )
)
def test_no_body_makes_it_raise(body):
    assert isinstance(CHAT.request(body), Request)


def test_a_deep_body_is_blank():
    assert CHAT.request(b'{"messages":' + b"[" * 100_000) == Request()


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({}, None),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 100, "max_tokens": 50}, 100),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_tokens": None, "n": 3}, None),
        ({"max_tokens": "100"}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 10**30}, None),
        ({"max_tokens": 100, "n": -2}, 100),
    ],
)
def test_the_most_tokens_that_a_request_allows(body, limit):
    assert request(body).max_tokens == limit
