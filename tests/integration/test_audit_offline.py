"""Who holds a public key and a folder of checkpoints finds every change, without the server."""

import json
import os
import re
from dataclasses import replace

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from monitor import audit, export
from monitor.audit import GENESIS, seal
from monitor.checkpoint import Checkpoint, origin_of
from monitor.coverage import Coverage, Held
from monitor.merkle import Frontier, leaf_of
from monitor.notary import Notary
from monitor.signing import SigningKey
from monitor.store import Store
from monitor.vault import Vault
from stream import proxy
from stream.cli import app
from stream.server import Addresses, Server
from tests.support import fake, rulebook

KEY = SigningKey(private=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
ATTACKER = SigningKey(private=Ed25519PrivateKey.from_private_bytes(bytes(32)))
#: Records; a checkpoint after every EVERY of them; the newest that somebody else holds.
SIZE, EVERY, HELD = 230, 20, 200
PLACES = [0, 1, 19, 20, 21, 77, 120, 198, 199]


def log(size, mark=""):
    return rechained([], [{"n": n, "mark": mark} for n in range(size)])


def rechained(kept, bodies):
    """Continue a log so that all its hashes fit."""
    records = list(kept)
    for body in bodies:
        previous = records[-1].hash if records else GENESIS
        fields = {"kind": "verdict", "created_at": f"2026-{len(records)}", "body": body}
        records.append(seal(seq=len(records), previous=previous, **fields))
    return records


def signed(records, key=KEY, sizes=range(EVERY, SIZE + 1, EVERY)):
    origin = origin_of(records[0].hash)
    roots = {n: Frontier().grown(leaf_of(r.hash) for r in records[:n]).root for n in sizes}
    return [key.sign(Checkpoint(origin=origin, size=n, root=root)) for n, root in roots.items()]


def problems(records, notes, keys=(KEY,)):
    held = [Held(source=f"checkpoint {n}", note=note) for n, note in enumerate(notes)]
    coverage = Coverage(held, [key.verifier for key in keys])
    report = audit.verify(coverage.watch(records))
    return [*report.problems, *coverage.problems()], coverage.covered


LOG = log(SIZE)
NOTES = signed(LOG)
#: What somebody else holds.
COPIES = [note for note in NOTES if int(note.split("\n")[1]) <= HELD]


def flipped(records, at, name):
    text = getattr(records[at], name)
    changed = chr(ord(text[0]) ^ 1) + text[1:]
    return [*records[:at], replace(records[at], **{name: changed}), *records[at + 1 :]]


def edited(records, at):
    return [*records[:at], replace(records[at], body={"n": -1}), *records[at + 1 :]]


def swapped(records, at):
    return [*records[:at], records[at + 1], records[at], *records[at + 2 :]]


def anew(records, at):
    """The forgery that the bare chain cannot see."""
    bodies = [{"n": -1}, *(record.body for record in records[at + 1 :])]
    return rechained(records[:at], bodies)


def fork(records, at):
    return rechained(records[:at], [{"n": n, "mark": "fork"} for n in range(at, SIZE + 50)])


CHANGES = {
    **{
        f"flip {name}": (lambda r, a, n=name: flipped(r, a, n))
        for name in ("kind", "created_at", "previous", "hash")
    },
    "edit": edited,
    "delete": lambda r, a: r[:a] + r[a + 1 :],
    "delete and chain anew": lambda r, a: rechained(r[:a], [x.body for x in r[a + 1 :]]),
    "insert": lambda r, a: [*r[:a], r[a], *r[a:]],
    "insert and chain anew": lambda r, a: rechained(r[:a], [{"n": -1}, *(x.body for x in r[a:])]),
    "swap": swapped,
    "swap and chain anew": lambda r, a: rechained([], [x.body for x in swapped(r, a)]),
    "truncate": lambda r, a: r[:a],
    "edit and chain anew": anew,
    "fork": fork,
    "other log": lambda r, a: log(SIZE, mark="other"),
}


def test_the_untouched_log_is_proved_up_to_its_newest_checkpoint():
    found, covered = problems(LOG, NOTES)
    assert found == []
    assert (covered.size, covered.until, covered.key) == (220, "2026-219", KEY.verifier)


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_found_up_to_the_newest_copy(change, at):
    forged = change(LOG, at)
    assert problems(forged, COPIES)[0]
    if forged and audit.verify(forged).ok:  # a thorough attacker signs anew with a key of his own
        own = signed(forged, key=ATTACKER, sizes=[len(forged)])
        found, covered = problems(forged, [*COPIES, *own])
        assert found
        assert covered is None or covered.size <= at


@pytest.mark.parametrize("at", PLACES[1:])
def test_chaining_anew_is_found_with_the_checkpoints_of_the_log_itself(at):
    forged = anew(LOG, at)
    assert audit.verify(forged).ok
    found, covered = problems(forged, NOTES)
    first = at // EVERY * EVERY
    assert found[0].startswith(f"records {first} to {first + EVERY - 1} are not the ones")
    assert (covered.size if covered else 0) == first


def test_chaining_anew_from_the_start_makes_another_log():
    assert "is about another log" in problems(anew(LOG, 0), NOTES)[0][0]


@pytest.mark.parametrize("at", range(0, len(COPIES), 3))
def test_a_forged_checkpoint_is_found(at):
    note = NOTES[at]
    root = note.split("\n")[2]
    for forged in (
        note.replace(root, root[::-1][1:] + "="),
        signed(LOG, key=ATTACKER)[at],
        signed(LOG, key=ATTACKER)[at].replace(ATTACKER.verifier.name, KEY.verifier.name),
        signed(anew(LOG, 3))[at],
        note[:-9],
        "",
    ):
        assert problems(LOG, [*NOTES[:at], forged, *NOTES[at + 1 :]])[0]


def test_a_checkpoint_of_another_log_is_found_even_with_the_same_root():
    root = Frontier().grown(leaf_of(record.hash) for record in LOG).root
    note = KEY.sign(Checkpoint(origin="subtext-log/other", size=SIZE, root=root))
    assert problems(LOG, [*NOTES, note])[0] == [
        "checkpoint 11 is about another log, subtext-log/other"
    ]


def test_of_the_same_checkpoint_twice_the_first_given_is_named():
    held = [Held(source=source, note=NOTES[0]) for source in ("outside", "database")]
    coverage = Coverage(held, [KEY.verifier])
    list(coverage.watch(LOG))
    assert (coverage.covered.source, coverage.agreeing) == ("outside", 1)


def test_a_stolen_key_cannot_rewrite_what_copies_cover():
    forged = anew(LOG, 50)
    assert problems(forged, signed(forged))[0] == []
    assert problems(forged, [*signed(forged), *COPIES])[0]


def test_what_is_newer_than_the_newest_copy_can_be_changed_unseen():
    """The limit that the documentation states."""
    assert problems(anew(LOG, HELD), COPIES)[0] == []
    assert problems(LOG[:HELD], COPIES)[0] == []
    assert problems(LOG[: HELD - 1], COPIES)[0]


def test_a_key_without_any_checkpoint_proves_nothing():
    assert "nothing is proved" in problems(LOG, [])[0][0]
    assert "nothing is proved" in problems([], [])[0][0]


def test_an_export_reads_back():
    data = list(export.lines(NOTES, LOG))
    read = export.read(data)
    assert [held.note for held in read.checkpoints] == NOTES
    assert list(read.records) == LOG
    assert list(export.read(data[: 1 + len(NOTES)]).records) == []


def test_every_changed_line_of_an_export_is_found():
    data = list(export.lines(COPIES, LOG))
    for at in range(1, len(data), 9):
        for line in (
            data[at][: len(data[at]) // 2],
            data[at].replace(b"1", b"2") if b"1" in data[at] else b"x",
            data[at].replace(b":", b": "),
            b"\n",
            b"[" * 100_000,
            b'{"record":{"seq":true}}\n',
            data[at].replace(b'"seq":1}', b'"seq":true}').replace(b'"seq":', b'"seq":0,"seq":'),
            data[at] + data[at],
        ):
            read = export.read([*data[:at], line, *data[at + 1 :]])
            held = [*read.checkpoints, *(Held(source="copy", note=note) for note in COPIES)]
            coverage = Coverage(held, [KEY.verifier])
            report = audit.verify(coverage.watch(read.records))
            assert line == data[at] or report.problems or list(coverage.problems()), line


def test_a_number_that_only_equals_the_number_is_found():
    data = list(export.lines([], LOG[:2]))
    for other in (b"true", b"1.0"):
        line = data[2].replace(b'"seq":1}', b'"seq":%b}' % other)
        assert line != data[2]
        assert not audit.verify(export.read([*data[:2], line]).records).ok


async def test_a_server_leaves_a_checkpoint_of_everything_when_it_ends(tmp_path):
    store, vault = Store.open(f"sqlite:///{tmp_path}/audit.db"), Vault.open(tmp_path / "copies")
    server = Server(
        classifier=fake(),
        store=store,
        policy=rulebook(),
        settings=proxy.Settings(upstream=""),
        addresses=Addresses(host="127.0.0.1", port=0, dashboard_host="127.0.0.1", dashboard_port=0),
        notary=Notary(store, KEY, vault),
        demo=True,
    )
    async with server.started() as (sidecar, _), aiohttp.ClientSession() as client:
        body = {"model": "replay", "messages": [{"role": "user", "content": "Hello?"}]}
        async with client.post(f"{sidecar}/v1/chat/completions", json=body) as reply:
            await reply.read()
    reopened = Store.open(f"sqlite:///{tmp_path}/audit.db", must_exist=True)
    coverage = Coverage(vault.all(), [KEY.verifier])
    assert reopened.audit(watch=coverage.watch).ok
    assert list(coverage.problems()) == []
    assert coverage.covered.size == reopened.newest_seq() + 1 >= 2
    reopened.close()


# The command line, on a real database.


def run(*words):
    return CliRunner().invoke(app, ["audit", *map(str, words)], catch_exceptions=False)


@pytest.fixture
def kept(tmp_path):
    """A database of 30 records with copies of its checkpoints, as a server leaves them."""
    url = f"sqlite:///{tmp_path}/audit.db"
    store, vault = Store.open(url), Vault.open(tmp_path / "copies")
    key = SigningKey.load_or_create(tmp_path / "log.key")
    notary = Notary(store, key, vault)
    for number in range(30):
        moment = f"2026-01-01T00:00:{number:02}Z"
        store.record_policy(policy=f"\x1b[31m{number}", version="1", created_at=moment)
        if number % 10 == 4:
            notary.attest()
    store.close()
    file = tmp_path / "export.jsonl"
    assert run("export", file, "--database", url).exit_code == 0
    return {"url": url, "copies": vault.folder, "key": str(key.verifier), "export": file}


def arguments(kept, door):
    source = ["--database", kept["url"]] if door == "database" else ["--export", kept["export"]]
    return ["verify", *source, "--key", kept["key"]]


@pytest.fixture(params=["database", "export"])
def verifying(request, kept):
    return arguments(kept, request.param)


def test_an_auditor_is_told_what_is_proved(kept, verifying):
    result = run(*verifying, "--checkpoints", kept["copies"])
    assert result.exit_code == 0, result.output
    assert "signed records 0 to 24" in result.output
    assert "2026-01-01T00:00:24Z" in result.output
    assert "For the 5 newer ones only the chain vouches." in result.output
    assert "The chain is whole." in result.output
    assert "came with the log" not in result.output


def test_an_auditor_is_told_what_copies_would_add(verifying):
    result = run(*verifying)
    assert result.exit_code == 0
    assert "--checkpoints" in result.output


def test_without_a_key_nobody_vouches(kept):
    result = run("verify", "--export", kept["export"])
    assert result.exit_code == 0
    assert "3 checkpoints fit. Who signed them is unknown" in result.output


def test_a_cut_off_export_is_found_with_copies_only(kept):
    data = kept["export"].read_bytes().splitlines(keepends=True)
    kept["export"].write_bytes(b"".join([*data[:2], *data[4:20]]))
    assert run(*arguments(kept, "export")).exit_code == 0
    result = run(*arguments(kept, "export"), "--checkpoints", kept["copies"])
    assert result.exit_code == 1
    assert re.search(r"cut off: it has 16 records, .*25.checkpoint covers 25", result.output)


def test_the_wrong_key_is_a_clear_problem(kept, verifying):
    verifying[-1] = str(ATTACKER.verifier)
    result = run(*verifying)
    assert result.exit_code == 1
    assert "signed by none of the given keys" in result.output
    assert "nothing is proved" in result.output


def test_a_damaged_copy_is_a_clear_problem(kept, verifying):
    copy = min(kept["copies"].iterdir())
    copy.write_bytes(b"\xff\x1b[31m" + copy.read_bytes())
    result = run(*verifying, "--checkpoints", kept["copies"])
    assert result.exit_code == 1
    assert f"{copy}: not a checkpoint" in result.output
    assert "\x1b" not in result.output


def test_a_damaged_record_is_a_clear_problem(kept):
    data = kept["export"].read_bytes().splitlines(keepends=True)
    data[10] = data[10][:50] + b"\n"
    kept["export"].write_bytes(b"".join(data))
    result = run(*arguments(kept, "export"))
    assert result.exit_code == 1
    assert "record 6: was altered" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "--export", "/nowhere"], "/nowhere cannot be read"),
        (["verify", "--database", "sqlite:////nowhere/a.db"], "no such file"),
        (["verify", "--export", os.devnull], "no export"),
        (["verify", "--checkpoints", "/nowhere"], "no *.checkpoint files"),
        (["verify", "--key", "x"], "name+hash+base64"),
        (["export", "/nowhere/file", "--database", "sqlite://"], "cannot be created"),
        (["key", "--key-file", "/nowhere/key"], "--key-file"),
    ],
)
def test_what_cannot_be_read_is_a_clear_error(words, said):
    result = run(*words)
    assert result.exit_code == 64
    assert said in result.stderr


def test_an_export_overwrites_nothing_and_is_private(kept):
    assert kept["export"].stat().st_mode & 0o777 == 0o600
    result = run("export", kept["export"], "--database", kept["url"])
    assert result.exit_code == 64
    assert "exists" in result.stderr


def test_the_public_key_is_printed_and_stays(tmp_path):
    first, second = (run("key", "--key-file", tmp_path / "k") for _ in range(2))
    assert first.output == second.output
    assert re.fullmatch(r"subtext-key/[0-9a-f]{16}\+[0-9a-f]{8}\+\S+=*\n", first.output)


@pytest.mark.parametrize("command", ["verify", "export", "key"])
def test_help_teaches(command):
    assert len(run(command, "--help").output) > 300


def test_an_export_holds_no_text_of_traces(kept):
    for line in kept["export"].read_bytes().splitlines():
        assert set(json.loads(line)) <= {"format", "checkpoint", "record"}
