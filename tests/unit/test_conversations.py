"""Turns that only name the response before them are grouped all the same."""

from stream import conversations
from stream.conversations import Conversations


def test_a_chain_of_responses_is_one_conversation():
    talks = Conversations()
    talks.remember("", "r1", "")
    second = talks.continued("", "r1")
    talks.remember("", "r2", second)
    assert talks.continued("", "r2") == second == "r1"


def test_an_unknown_response_names_its_own_conversation():
    assert Conversations().continued("", "r9") == "r9"


def test_tenants_cannot_join_each_others_conversations():
    talks = Conversations()
    talks.remember("acme", "r1", "secret talk")
    assert talks.continued("zeta", "r1") == "r1"
    assert talks.continued("acme", "r1") == "secret talk"


def test_memory_is_bounded_and_keeps_the_newest(monkeypatch):
    monkeypatch.setattr(conversations, "MAX_REMEMBERED", 3)
    talks = Conversations()
    for number in range(10):
        talks.remember("", f"r{number}", "talk")
    assert [talks.continued("", f"r{n}") for n in (6, 7, 9)] == ["r6", "talk", "talk"]
    assert len(talks._known) == 3


def test_a_response_without_a_name_is_not_remembered():
    talks = Conversations()
    talks.remember("", "", "talk")
    assert not talks._known
