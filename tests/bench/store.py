"""A store with a million verdicts: how long each list takes, and how long to verify all of it.

The stores are made once, in SUBTEXT_BENCH_STORES (default: `runs/stores`), and used again: SQLite
through the writer of the store, from some hundred real traces with other ids, times and scores;
PostgreSQL as a copy of that, for which its user must reach the folder. Delete it to start anew.
SUBTEXT_BENCH_VERDICTS is another size.
"""

import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from classifiers.port import Check
from dashboard.trends import Trends
from monitor.audit import Kind, canonical, seal
from monitor.clock import stamp
from monitor.store import Asker, Query, Store, chain, texts
from monitor.store.content import Content, columns, pack
from monitor.store.reviews import append
from monitor.store.schema import contents, metadata, records, verdicts
from monitor.types import Decision, Outcome, Review, Standing
from tests.bench.traces import authored
from tests.contract.conftest import make_sample

FULL, QUICK = int(os.environ.get("SUBTEXT_BENCH_VERDICTS", "1000000")), 20_000
BATCH = 5_000
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
MODELS = ["qwen3-32b"] * 60 + ["gpt-oss-20b"] * 30 + ["deepseek-r1"] * 9 + ["llama-4"]
REVIEWERS = ["anna", "ben", "carla", "dan"]
SCRIPT = Path(__file__).parents[2] / "scripts" / "postgres"
ROUNDS = 60


def main(*, quick: bool) -> None:
    """Print the tables."""
    size = QUICK if quick else FULL
    folder = Path(os.environ.get("SUBTEXT_BENCH_STORES", "runs/stores")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name, url in (("SQLite", _sqlite(folder, size)), ("PostgreSQL", _postgres(folder, size))):
        if url:
            store = Store.open(url)
            _lists(name, store, size)
            _verified(name, store)
            store.close()
    subprocess.run([SCRIPT, "stop", folder / "postgres"], check=False)


# Making


def _sqlite(folder: Path, size: int) -> str:
    path = folder / f"{size}.db"
    url = f"sqlite:///{path}"
    if not path.exists():
        begun, draft = time.perf_counter(), path.with_suffix(".draft.db")
        store = Store.open(f"sqlite:///{draft}")
        _fill(store, size)
        store.close()
        draft.replace(path)
        print(
            f"Made {path.name} in {time.perf_counter() - begun:.0f} s: {path.stat().st_size / 1e9:.1f} GB\n"
        )
    return url


def _fill(store: Store, size: int) -> None:
    """Make what is missing: an interrupted one goes on."""
    with store.reading() as connection:
        begun = connection.execute(select(func.count()).select_from(verdicts)).scalar_one()
    draw = random.Random(begun)
    templates = [pack(make_sample(0)[0], trace) for trace in authored(400)]
    for first in range(begun, size, BATCH):
        numbers = range(first, min(first + BATCH, size))
        made = [_varied(draw.choice(templates), number, size, draw) for number in numbers]
        with store.writing() as connection:
            for seq, content in _record(connection, made):
                if content.body["verdict"]["decision"] != "allow" and draw.random() < 0.2:
                    answer = _answer(content, draw)
                    append(connection, seq, answer, Standing(answer.outcome.value), store.keys)


def _record(connection: Connection, made: list[Content]) -> list[tuple[int, Content]]:
    """What the store does with one verdict, with many at once."""
    before, head = chain.last(connection)
    rows = []
    for seq, content in enumerate(made, before + 1):
        row, body = columns(content.body), content.body
        at = row["created_at"]
        record = seal(seq=seq, kind=Kind.VERDICT, created_at=at, body=body, previous=head)
        head = record.hash
        fields = {name: getattr(record, name) for name in ("kind", "previous", "hash")}
        text = {"excerpt": content.excerpt, "data": content.data, "words": content.words}
        rows.append({"seq": seq, **fields, **row, **text, "body": canonical(body).decode()})
    for table in (records, verdicts, contents):
        names = [column.name for column in table.columns]
        connection.execute(insert(table), [{n: row.get(n) for n in names} for row in rows])
    index = [{"seq": row["seq"], "words": row["words"]} for row in rows]
    connection.execute(texts._put["sqlite"], index)
    return [(row["seq"], content) for row, content in zip(rows, made, strict=True)]


def _varied(template: Content, number: int, size: int, draw: random.Random) -> Content:
    """The same text with another verdict about it."""
    scores = {check: round(draw.betavariate(0.6, 6), 4) for check in Check}
    worst = max(scores.values())
    unscored = "the engine was overloaded" if draw.random() < 0.003 else None
    decision = "block" if worst > 0.8 else "flag" if worst > 0.6 or unscored else "allow"
    document = template.body["verdict"]
    checks = {
        name: {**told, "probability": None if unscored else scores[Check(name)]}
        for name, told in document["checks"].items()
    }
    body = {
        **template.body,
        "model": draw.choice(MODELS),
        "tenant": f"tenant-{min(int(draw.expovariate(0.3)), 30)}",
        "conversation_id": f"talk-{number // 4}",
        "verdict": {
            **document,
            "verdict_id": f"v-{number}",
            "trace_id": f"t-{number}",
            "created_at": stamp(START + timedelta(days=DAYS) * (number / size)),
            "decision": decision,
            "checks": checks,
            "unscored": unscored,
            "coverage_gaps": ["hidden_thinking"] if draw.random() < 0.01 else [],
        },
    }
    if draw.random() < 0.03:
        body["run"] = "nightly"
    return Content(
        body=body, excerpt=template.excerpt, data=template.data,
        words=f"{template.words} id{number}",
    )  # fmt: skip


def _answer(content: Content, draw: random.Random) -> Review:
    verdict = content.body["verdict"]
    return Review(
        review_id=f"r-{verdict['verdict_id']}",
        verdict_id=verdict["verdict_id"],
        reviewer=draw.choice(REVIEWERS),
        outcome=draw.choice([Outcome.CONFIRM, Outcome.DISMISS, Outcome.DISMISS]),
        created_at=verdict["created_at"],
    )


def _postgres(folder: Path, size: int) -> str:
    """The address of a copy of the SQLite store; empty where there is no PostgreSQL."""
    here = folder / "postgres"
    started = subprocess.run([SCRIPT, "start", here], capture_output=True, text=True, check=False)
    if started.returncode:
        print(f"No PostgreSQL: {started.stderr.strip()}\n")
        return ""
    server = started.stdout.strip()
    url = server.replace("@/postgres", f"@/bench{size}")
    _create(server, f"bench{size}")
    store = Store.open(url)
    if store.newest_seq() < 0:
        begun = time.perf_counter()
        _copy(Store.open(f"sqlite:///{folder / f'{size}.db'}"), store)
        print(f"Copied to PostgreSQL in {time.perf_counter() - begun:.0f} s\n")
    store.close()
    return url


def _create(server: str, name: str) -> None:
    import psycopg

    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if not known.fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')


def _copy(source: Store, target: Store) -> None:
    raw = target._engine.raw_connection()
    with source._engine.connect() as connection, raw.cursor() as cursor:
        for table in metadata.sorted_tables:
            columns = ", ".join(column.name for column in table.columns)
            rows = connection.execution_options(yield_per=BATCH).execute(table.select())
            with cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(tuple(row))
        cursor.execute("CREATE TEMP TABLE plain (seq bigint, words text)")
        with cursor.copy("COPY plain FROM STDIN") as copy:
            for row in connection.exec_driver_sql("SELECT rowid, words FROM texts"):
                copy.write_row(tuple(row))
        cursor.execute(
            "INSERT INTO texts SELECT seq, array_to_tsvector(string_to_array(words, ' ')) FROM plain"
        )
        cursor.execute("DROP TABLE plain")
    raw.commit()
    raw.close()
    with target._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


# Measuring


def _questions(size: int) -> Iterator[tuple[str, Callable[[random.Random], Query]]]:
    def day(draw: random.Random, length: float) -> dict[str, str]:
        first = START + timedelta(days=draw.uniform(0, DAYS - length))
        return {"since": stamp(first), "until": stamp(first + timedelta(days=length))}

    def above(least: float, most: float | None = None) -> Query:
        return Query(check=Check.DECEPTION, min_probability=least, max_probability=most)

    yield "newest", lambda _: Query()
    yield "a page anywhere", lambda draw: Query(before=draw.randrange(size))
    yield "blocked", lambda draw: Query(decision=Decision.BLOCK, before=draw.randrange(size))
    yield "not judged", lambda draw: Query(unscored=True, before=draw.randrange(size))
    yield "not all seen", lambda draw: Query(gaps=True, before=draw.randrange(size))
    yield "deception ≥ 0.5", lambda _: above(0.5)
    yield "deception ≥ 0.9", lambda _: above(0.9)
    yield "deception ≥ 0.99 (almost none)", lambda _: above(0.99)
    yield "0.2 ≤ deception < 0.21", lambda _: above(0.2, 0.21)
    yield "model, common", lambda draw: Query(model="qwen3-32b", before=draw.randrange(size))
    yield "model, rare", lambda draw: Query(model="llama-4", before=draw.randrange(size))
    yield "tenant, common", lambda draw: Query(tenant="tenant-0", before=draw.randrange(size))
    yield "tenant, rare", lambda _: Query(tenant="tenant-29")
    yield "tenant, unknown", lambda _: Query(tenant="nobody")
    yield "conversation", lambda draw: Query(conversation_id=f"talk-{draw.randrange(size // 4)}")
    yield "reviewer", lambda draw: Query(reviewer="anna", before=draw.randrange(size))
    yield "an hour", lambda draw: Query(**day(draw, 1 / 24))
    yield "a week", lambda draw: Query(**day(draw, 7))
    yield "a week, blocked", lambda draw: Query(**day(draw, 7), decision=Decision.BLOCK)
    yield "a week, rare model", lambda draw: Query(**day(draw, 7), model="llama-4")
    yield "a word, in most", lambda draw: Query(text="the", before=draw.randrange(size))
    yield "a word, in one", lambda draw: Query(text=f"id{draw.randrange(size)}")
    yield "a word, in a few", lambda draw: Query(text="captain", before=draw.randrange(size))
    yield "two words", lambda _: Query(text="tests fail")
    yield "a word's beginning", lambda _: Query(text="decei*")
    yield "a word, blocked", lambda _: Query(text="fail", decision=Decision.BLOCK)
    yield "a word, a week", lambda draw: Query(text="fail", **day(draw, 7))
    yield "run of re-scoring", lambda _: Query(run="nightly")


def _lists(name: str, store: Store, size: int) -> None:
    asker = Asker(name="anna", settles=True, now="2026-11-21T00:00:00.000Z")
    print(f"| {name}: a page of 50 of {size:,} | p50 | p99 | CPU time, p50 |")
    print("|---|---|---|---|")
    for words, query in _questions(size):
        _row(words, lambda draw, query=query: store.verdicts(query(draw)))
    _row("queue", lambda _: store.reviews.queue(asker, Query()))
    _row("queue, a model", lambda _: store.reviews.queue(asker, Query(model="llama-4")))
    _row("queue, a word", lambda _: store.reviews.queue(asker, Query(text="fail")))
    _counts(store)
    _row("counts by decision, at first", lambda _: Store(store._engine).summary(), 5)
    _row("counts by decision", lambda _: store.summary())
    _row("models", lambda _: store.models())
    _row("one verdict", lambda draw: store.verdict(f"v-{draw.randrange(size)}"))
    print()


def _counts(store: Store) -> None:
    """What the overview and the thresholds ask: after a start, and from then on."""
    flags, four_weeks, end = dict.fromkeys(Check, 0.5), 2 * 28 * 24, START + timedelta(days=DAYS)

    def first(hours: int) -> Trends:
        trends = Trends(store.tallies, lambda: end)
        trends.last(hours, flags)
        return trends

    begun, used = time.perf_counter(), time.process_time()
    while store.tallies.fold():
        pass
    taken, used = time.perf_counter() - begun, time.process_time() - used
    if taken > 1:
        print(f"| keeping counts, once per database | {taken:.1f} s | | {used:.1f} s |")
    _row("overview of a week, first look", lambda _: first(2 * 7 * 24), 5)
    _row("overview of four weeks, first look", lambda _: first(four_weeks), 5)
    trends = first(four_weeks)
    _row("overview of four weeks", lambda _: trends.last(four_weeks, flags))
    _row("overview, what waits", lambda _: store.reviews.backlog())
    ends = (stamp(end - timedelta(days=7)), stamp(end))
    _row("overview, failed open in a week", lambda _: store.tallies.failed_open(*ends, 5))
    _row("thresholds, over any in a week", lambda _: store.tallies.reaching(*ends, flags))
    _row("thresholds, what people said", lambda _: store.tallies.answered(10_000), 5)


def _row(words: str, ask: Callable[[random.Random], object], rounds: int = ROUNDS) -> None:
    draw = random.Random(11)
    ask(draw)
    taken, used, until = [], [], time.perf_counter() + 20
    while len(taken) < rounds and (time.perf_counter() < until or len(taken) < 3):
        begun, before = time.perf_counter(), time.process_time()
        ask(draw)
        taken.append(1000 * (time.perf_counter() - begun))
        used.append(1000 * (time.process_time() - before))
    taken.sort()
    worst = taken[min(len(taken) - 1, int(0.99 * len(taken)))]
    cpu = statistics.median(used)
    print(
        f"| {words} | {statistics.median(taken):.1f} ms | {worst:.1f} ms | {cpu:.1f} ms |",
        flush=True,
    )


def _verified(name: str, store: Store) -> None:
    for words, audit in (("the chain of", store.audit_chain), ("with all texts,", store.audit)):
        begun, used = time.perf_counter(), time.process_time()
        report = audit()
        taken, used = time.perf_counter() - begun, time.process_time() - used
        print(f"{name}: verified {words} {report.size:,} records in {taken:.0f} s,"
              f" {used:.0f} s of CPU time; ok: {report.ok}\n", flush=True)  # fmt: skip
