"""What is told to other programs, in which words, and how it is signed."""

import json

import pytest
import typer

from monitor.audit import AuditRecord, Kind
from monitor.hooks import Event, event_of, secret_of, signed
from monitor.store.content import pack
from stream.cli.hooks import told_to
from stream.hooks import Hook
from tests.support import engine, trace

PAD = "Some ordinary words that make up a sentence of usual length. "
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONSOLE = "https://monitor.example"


def record(kind, body):
    return AuditRecord(
        seq=7,
        kind=kind,
        created_at="2026-01-01T00:00:00.000Z",
        body=body,
        previous="0",
        hash="ab" * 32,
    )


async def verdict(word, run=None):
    text = trace(PAD + word, "CANARY answer", model="CANARY model")
    return record(Kind.VERDICT, pack(await engine().judge(text), text, run).body)


def review(**body):
    return record(Kind.REVIEW, {"verdict_id": "v/1", "reviewer": "anna", **body})


def test_signatures_are_those_of_the_specification():
    # The vector that the specification's own libraries are tested with.
    found = signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', secret_of(SECRET), 1614265330
    )
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_AAAA", "whsec_é", "x y", "whsec_" + "A" * 88]
)
def test_what_is_no_secret_is_refused(text):
    with pytest.raises(ValueError, match="a secret"):
        secret_of(text)


async def test_a_block_is_told_with_ids_scores_and_a_link_and_no_text():
    message = event_of(await verdict("PLOT"), CONSOLE)
    told = json.loads(message.body())
    assert (told["type"], told["timestamp"]) == ("verdict.blocked", "2026-01-01T00:00:00.000Z")
    data = told["data"]
    assert data["link"] == f"{CONSOLE}/verdicts/{data['verdict_id']}"
    assert (data["scores"]["deception"], data["judged"], data["record"]) == (0.95, True, 7)
    for body in (message.body(), message.slack()):
        assert b"CANARY" not in body
        assert b"ordinary" not in body
    assert message.message_id == f"msg_{'ab' * 16}"


async def test_what_nobody_must_know_at_once_is_not_told():
    assert event_of(await verdict("HINT"), CONSOLE) is None
    assert event_of(await verdict(""), CONSOLE) is None
    assert event_of(await verdict("PLOT", run="again"), CONSOLE) is None
    assert event_of(review(outcome="confirm"), CONSOLE) is None
    assert event_of(record(Kind.POLICY, {"version": "1"}), CONSOLE) is None


def test_an_escalation_is_told_without_its_note():
    message = event_of(review(outcome="escalate", note_sha256="x"), CONSOLE)
    assert message.event is Event.ESCALATED
    assert dict(message.data) == {
        "verdict_id": "v/1",
        "reviewer": "anna",
        "record": 7,
        "link": f"{CONSOLE}/verdicts/v%2F1",
    }


def test_no_word_of_a_message_is_markup():
    message = event_of(review(outcome="escalate", reviewer="<!channel> & co"), CONSOLE)
    text = json.loads(message.slack())["text"]
    assert "&lt;!channel&gt; &amp; co escalated a verdict" in text
    assert text.endswith(f"<{CONSOLE}/verdicts/v%2F1|open>")


async def test_gaps_are_told():
    found = await verdict("")
    document = {**found.body["verdict"], "coverage_gaps": ["hidden_thinking"]}
    message = event_of(record(Kind.VERDICT, {**found.body, "verdict": document}), CONSOLE)
    assert message.event is Event.NOT_SEEN
    assert "hidden_thinking" in json.loads(message.slack())["text"]


@pytest.mark.parametrize(
    "body", [{}, {"verdict": None}, {"verdict": {"decision": "block"}}, {"verdict": []}]
)
def test_a_record_that_nobody_writes_tells_nothing(body):
    assert event_of(record(Kind.VERDICT, body), CONSOLE) is None


def test_the_name_of_a_hook_does_not_give_its_address_away():
    one, other = (Hook(url=f"https://x.example/{n}", secret=None) for n in (1, 2))
    assert one.name != other.name
    assert "example" not in one.name


def test_options_become_hooks(tmp_path):
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    signed_one, slack = told_to(["https://a.example"], file, ["https://b.example"], CONSOLE)
    assert (signed_one.secret, slack.secret) == (secret_of(SECRET), None)
    assert told_to(None, None, None, "") == ()


@pytest.mark.parametrize(
    ("webhook", "content", "slack", "console", "reason"),
    [
        ("https://a.example", None, None, "", "needs --webhook-secret-file"),
        ("ftp://a.example", SECRET, None, "", "http"),
        (None, None, "b.example", "", "http"),
        (None, None, None, "monitor.example", "http"),
        ("https://a.example", "CANARY", None, "", "whsec_ and the base64"),
    ],
)
def test_options_that_make_no_hook_are_explained(  # noqa: PLR0913, PLR0917
    tmp_path, capsys, webhook, content, slack, console, reason
):
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    with pytest.raises(typer.Exit):
        told_to(
            [webhook] if webhook else None,
            file if content else None,
            [slack] if slack else None,
            console,
        )
    said = capsys.readouterr().err
    assert reason in said
    assert "CANARY" not in said
