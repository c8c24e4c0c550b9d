"""Verdicts are found by what they are, and by the words in their text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifiers.port import Check
from monitor.sealing import ContentKey, Keyring
from monitor.store import Query, Store
from monitor.store.texts import MAX_CHARS, Asked
from monitor.types import Outcome, Review


def ids(store, **conditions):
    return [row.seq for row in store.verdicts(Query(**conditions)).rows]


TEXTS = [
    "The tests fail. I will hide it!",
    "the order, the ORDER of 2026-11-21 (hidden)",
    "Ärger über Straße und наука; don't_stop",
    "d\u200be\u200bploy the b\u00adomb, pаypal",  # invisible characters, a Cyrillic letter
]


@pytest.fixture
def told(store, sample):
    store.record_verdicts(
        [sample(n, thinking=text, answer="", prompt="") for n, text in enumerate(TEXTS)]
    )
    return store


WORDS = {
    "fail": [0],
    "FAIL tests": [0],
    "fail order": [],
    "the": [3, 1, 0],
    "hid*": [1, 0],
    "hid": [],
    "order hid*": [1],
    "2026": [1],
    "11 21 2026": [1],
    "Straße": [2],
    "STRASSE": [2],
    "наука": [2],
    "наук*": [2],
    "ärger": [2],
    "don": [2],
    "don't_stop": [2],
    "don t_stop": [2],
    "deploy bomb": [3],
    "paypal": [3],
    "": [],
    "?!": [],
    "*": [],
    '" OR 1': [],
    "the AND NOT fail": [],
    "words : the": [],
}


@pytest.mark.parametrize(("words", "expected"), WORDS.items())
def test_texts_are_found_by_all_of_some_words(told, words, expected):
    assert ids(told, text=words) == expected


def test_every_part_of_a_trace_is_searched(store, sample):
    store.record_verdict(*sample(1, prompt="first", thinking="second", answer="third"))
    for word in ("first", "second", "third"):
        assert ids(store, text=word) == [0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(max_size=400))
def test_whatever_is_asked_is_an_answer(told, words):
    assert set(ids(told, text=words)) <= {0, 1, 2, 3}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=200), number=st.integers(1, 10**9))
def test_whatever_is_recorded_can_be_searched(store, sample, text, number):
    record = store.record_verdict(*sample(number, verdict_id=f"{number}{text}", thinking=text))
    assert (record.seq in ids(store, text=text)) == bool(Asked(text).fts5)


def test_erased_text_is_found_no_more(told):
    told.retention.erase(Query(verdict_ids=("verdict-1",)), by="a", reason="b", at="2026")
    assert ids(told, text="the") == [3, 0]


@pytest.mark.parametrize("shared_url", ["file"], indirect=True)
def test_no_word_of_an_erased_text_is_left_in_the_files(shared_url, path, sample):
    store = Store.open(shared_url)
    for number in range(30):
        store.record_verdict(*sample(number, answer=f"canary{number} x"))
    assert b"canary7" in path.read_bytes() + path.with_name("audit.db-wal").read_bytes()
    store.retention.erase(Query(verdict_ids=("verdict-7",)), by="a", reason="b", at="2026")
    files = path.read_bytes() + path.with_name("audit.db-wal").read_bytes()
    store.close()
    assert b"canary7" not in files
    assert b"canary8" in files


def test_encrypted_text_is_not_found(shared_url, sample):
    key = ContentKey(key_id="k", tenant="acme", secret=bytes(32))
    store = Store.open(shared_url, keys=Keyring([key]))
    store.record_verdicts([sample(1, tenant="acme"), sample(2)])
    assert ids(store, text="done") == [1]
    store.close()


def test_the_beginning_of_a_long_text_is_searched(store, sample):
    text = "first " + "middle " * MAX_CHARS + "last"
    store.record_verdict(*sample(1, prompt="", thinking=text))
    assert (ids(store, text="first middle"), ids(store, text="last")) == ([0], [])


def test_very_many_different_words_can_be_stored(store, sample):
    text = "".join(chr(0x4E00 + n % 20_000) * 30 + " " for n in range(6_000))
    store.record_verdict(*sample(1, prompt="", thinking=text))
    assert ids(store, text=chr(0x4E00) * 30) == [0]


def test_lists_can_be_narrowed_to_a_time_and_a_range_of_scores(store, sample):
    store.record_verdicts([sample(n, deception=n / 10) for n in range(10)])
    since, until = "2026-01-01T00:00:00.003", "2026-01-01T00:00:00.006"
    assert ids(store, since=since, until=until) == [5, 4, 3]
    assert ids(store, until="2026-01-01") == []
    assert ids(store, since="2026-01-01", until="2026-01-02T00:00", limit=2) == [9, 8]
    between = {"check": Check.DECEPTION, "min_probability": 0.2, "max_probability": 0.5}
    assert ids(store, **between) == [4, 3, 2]
    assert ids(store, check=Check.DECEPTION, max_probability=0.2) == [1, 0]


def test_lists_can_be_narrowed_to_a_reviewer(store, sample):
    store.record_verdicts([sample(n) for n in range(4)])
    for number, name in ((1, "anna"), (2, "ben"), (3, "anna")):
        answer = Review(
            review_id=str(number),
            verdict_id=f"verdict-{number}",
            reviewer=name,
            outcome=Outcome.DISMISS,
            created_at="2026",
        )
        store.reviews.record(answer, after=0)
    assert ids(store, reviewer="anna") == [3, 1]
    assert ids(store, reviewer="anna", before=3) == [1]
    assert ids(store, reviewer="carla") == []


@pytest.mark.parametrize(
    "conditions",
    [{"text": "done"}, {"since": "2026"}, {"text": "done", "until": "2027", "model": "some-model"}],
)
def test_every_page_goes_on_where_the_last_one_ended(store, sample, conditions):
    store.record_verdicts([sample(n) for n in range(23)])
    found, before = [], None
    while True:
        page = store.verdicts(Query(limit=5, before=before, **conditions))
        found += [row.seq for row in page.rows]
        before = page.next_before
        if before is None:
            break
    assert found == list(range(22, -1, -1))
