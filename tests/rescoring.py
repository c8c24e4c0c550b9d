"""A run of re-scoring with the fake classifier, here or in a process that can be killed."""

import asyncio
import json
import random
from contextlib import ExitStack, closing
from pathlib import Path

from classifiers.fake import FakeClassifier
from monitor.rulebook import Rulebook
from monitor.store import Store
from stream.rescore import command
from stream.rescore.ledger import MANIFEST, PARTS
from stream.rescore.listing import listed
from stream.rescore.run import Progress, bulk_engine, judge_all
from tests import support

WORDS = ("plain words. ", "a HINT of it. ", "the PLOT. ", "a BOMB? ", "LIAR! ", "more words, ")


def write_logs(path: Path, count: int, seed: int = 0) -> None:
    """Write records of several kinds, good and bad."""
    rng = random.Random(seed)

    def text():
        return "".join(rng.choices(WORDS, weights=(90, 3, 1, 1, 1, 90), k=rng.randrange(40)))

    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            trace = {"id": f"t{number}", "prompt": text(), "thinking": text(), "answer": text()}
            trace["model"] = rng.choice(("m1", "m2"))
            choices = [{"index": n, "message": {"content": text() or "x"}} for n in range(2)]
            reply = {"id": f"r{number}", "model": "m3", "choices": choices}
            bad = "{bad", json.dumps({"foo": 1}), ""
            kinds = (json.dumps(trace),) * 12 + (json.dumps(reply),) * 2 + bad
            file.write(rng.choice(kinds) + "\n")


def engine(rules=None):
    classifier = FakeClassifier(support.MARKERS, i_know_this_is_fake=True)
    return bulk_engine(
        classifier, rules if isinstance(rules, Rulebook) else support.rulebook(rules)
    )


def rescore(inputs, out, *, rules=None, record=None, tell=None, **options):
    """Run to the end; return the ledger."""
    run, store = options.pop("run", "r"), options.pop("store", None)
    job = command.job(
        [str(i) for i in inputs], part_rows=options.pop("part_rows", 10), out=Path(out), **options
    )
    judge = engine(rules)
    progress = Progress(tell=tell or (lambda _: None))
    with ExitStack() as stack:
        ledger = stack.enter_context(command.ledger(job, judge, Path(out), run=run, record=record))
        store = stack.enter_context(closing(Store.open(record))) if record else store
        if store is not None:
            stack.enter_context(listed(store, ledger, judge.policy.version))
        asyncio.run(judge_all(job, judge, ledger, archive=store, progress=progress))
        return ledger


def rescore_telling(pipe, inputs, out, record) -> None:
    """In a process of its own: say through `pipe` whenever a record is done."""
    rescore(inputs, out, record=record, tell=lambda now: pipe.send(now.traces))


def unfinish(ledger, parts=None) -> None:
    """Make of a finished run one that was stopped, after so many parts."""
    path = ledger.folder / PARTS
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:parts]))
    manifest = json.loads((ledger.folder / MANIFEST).read_text())
    (ledger.folder / MANIFEST).write_text(json.dumps({**manifest, "finished_at": None}))
