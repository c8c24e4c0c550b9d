"""Three workers, a stream of traces, and everything that can happen to them.

No trace is lost, no decision stored twice, no position goes back: `Storm.run` sends traces in
pieces, interleaved, while workers are killed, stopped for longer than their session lasts and
replaced, and the broker dies and comes back; then it compares.
"""

import asyncio
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from monitor.engine import Engine
from monitor.store import Store
from monitor.types import Part, Trace
from stream.kafka import messages
from stream.kafka.client import Kafka
from stream.kafka.port import TransportError
from stream.kafka.settings import Settings
from stream.kafka.topics import Topics
from tests.bench.traces import authored
from tests.chaos.worker import SESSION_SECONDS, classifier, policy
from tests.support import Recorded

SCRIPT = Path(__file__).parents[2] / "scripts" / "kafka"
TOPICS = Topics()
PARTITIONS = 6
#: Longest wait, in seconds, for something to happen in a group under fire.
PATIENCE = 240
#: Longest pause, in seconds, before the next fault.
PAUSE = 3.0


@dataclass
class Report:
    """What a storm did, and what it found."""

    seed: int
    traces: int = 0
    messages: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    #: Traces that were not judged, or not as when they are judged whole.
    wrong: list[str] = field(default_factory=list)
    #: Positions that went back.
    back: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    chain_ok: bool = False
    #: Verdicts that were published more than once.
    told_again: int = 0
    #: Why the traces could not be sent, if so.
    unsent: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        broken = [*self.lost, *self.doubled, *self.wrong, *self.back, *self.untold]
        return self.chain_ok and not broken and self.traces > 0


class _Process(NamedTuple):
    popen: "subprocess.Popen[bytes]"
    #: What it printed.
    log: Path


class Storm:
    """One round, decided by its seed as far as the machine lets it.

    `faults` is how many there are, however long they take; 0: as many as fit into `seconds`.
    """

    def __init__(
        self, seed: int, folder: Path, *, seconds: float, faults: int = 0, workers: int = 3
    ) -> None:
        self.report = Report(seed=seed)
        self._random = random.Random(seed)
        self._folder = folder
        self._seconds = seconds
        self._faults = faults
        self._wanted = workers
        self._workers: list[_Process] = []
        self._database = f"sqlite:///{folder / 'audit.db'}"
        self._address = ""
        self._over = threading.Event()

    def run(self, traces: Sequence[Trace]) -> Report:
        began = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(self._broker())
            transport = Kafka(Settings(bootstrap=self._address, delivery_seconds=120))
            transport.create(TOPICS.to_create(partitions=PARTITIONS, days=1))
            Store.open(self._database).close()
            stack.callback(self._end_workers)
            for _ in range(self._wanted):
                self._start_worker()
            watch = stack.enter_context(self._watching())
            sender = threading.Thread(target=self._send, args=(transport, traces))
            sender.start()
            self._rage()
            sender.join()
            self._settle(watch)
            self._compare(traces, transport)
        self.report.seconds = time.monotonic() - began
        return self.report

    # ---- what goes on

    @contextmanager
    def _broker(self):
        folder = self._folder / "kafka"
        self._address = self._kafka("start", folder)
        try:
            yield
        finally:
            self._kafka("stop", folder)

    def _kafka(self, what: str, folder: Path) -> str:
        done = subprocess.run([SCRIPT, what, folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _start_worker(self) -> None:
        log = self._folder / f"worker-{len(list(self._folder.glob('worker-*.log')))}.log"
        with log.open("wb") as out:
            command = [sys.executable, "-m", "tests.chaos.worker", self._address, self._database]
            popen = subprocess.Popen(command, stdout=out, stderr=out)
        self._workers.append(_Process(popen, log))

    def _supervise(self) -> None:
        """Start anew what has ended by itself, as a supervisor would: the broker was away."""
        for worker in list(self._workers):
            if worker.popen.poll() is not None:
                self._workers.remove(worker)
                self._start_worker()

    def _busy(self) -> "_Process":
        """A worker that has begun to work."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self._supervise()
            if begun := [w for w in self._workers if b"Reading" in w.log.read_bytes()]:
                return self._random.choice(begun)
            time.sleep(0.1)
        raise AssertionError("no worker begins to work")

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.popen.send_signal(signal.SIGCONT)
            worker.popen.kill()
            worker.popen.wait()

    def _send(self, transport: Kafka, traces: Sequence[Trace]) -> None:
        try:
            self._send_all(transport, traces)
        except TransportError as error:
            self.report.unsent = str(error)

    def _send_all(self, transport: Kafka, traces: Sequence[Trace]) -> None:
        """Send the pieces of all traces, mixed, over the time of the storm."""
        order = random.Random(self.report.seed)
        waiting = [messages.pieces(t, _cut(t, order)) for t in traces]
        total = sum(map(len, waiting))
        began, sent, producer, futures = time.monotonic(), 0, transport.producer(), []
        while waiting:
            pieces = order.choice(waiting[:100])
            piece = pieces.pop(0)
            futures.append(
                producer.send(
                    TOPICS.traces,
                    key=piece.trace_id.encode(),
                    value=messages.encode(piece),
                    headers=messages.headers(tenant=""),
                )
            )
            if not pieces:
                waiting.remove(pieces)
            sent += 1
            time.sleep(max(0.0, began + self._seconds * sent / total - time.monotonic()))
        for future in futures:
            future.result(150)
        producer.close()
        self.report.messages, self.report.traces = total, len(traces)

    # ---- what happens to them

    def _rage(self) -> None:
        faults = [self._kill, self._stop, self._restart_broker, self._replace, self._kill]
        until = time.monotonic() + self._seconds
        pause = self._seconds / self._faults if self._faults else PAUSE
        for turn in itertools.count():
            time.sleep(self._random.uniform(0.3, 1) * pause)
            if turn >= self._faults if self._faults else time.monotonic() >= until:
                return
            if turn % len(faults) == 0:
                self._random.shuffle(faults)
            fault = faults[turn % len(faults)]
            name = fault.__name__.strip("_")
            self.report.faults[name] = self.report.faults.get(name, 0) + 1
            fault()

    def _kill(self) -> None:
        """As by the kernel, at any moment."""
        worker = self._busy()
        self._workers.remove(worker)
        worker.popen.kill()
        worker.popen.wait()
        self._start_worker()

    def _stop(self) -> None:
        """Longer than the session lasts: others take over, then it goes on as if it still owned."""
        worker = self._busy()
        worker.popen.send_signal(signal.SIGSTOP)
        time.sleep(SESSION_SECONDS * 1.5)
        worker.popen.send_signal(signal.SIGCONT)

    def _replace(self) -> None:
        """An orderly end, and a rebalance as another one comes."""
        worker = self._busy()
        self._start_worker()
        self._workers.remove(worker)
        worker.popen.terminate()
        worker.popen.wait(PATIENCE)

    def _restart_broker(self) -> None:
        folder = self._folder / "kafka"
        subprocess.run(["kill", "-9", (folder / "pid").read_text().strip()], check=True)
        time.sleep(1)
        self._kafka("start", folder)

    # ---- what is compared

    @contextmanager
    def _watching(self):
        watch = _Positions(self._address)
        thread = threading.Thread(target=watch.run, args=(self._over, self.report.back))
        thread.start()
        try:
            yield watch
        finally:
            self._over.set()
            thread.join()

    def _settle(self, watch: "_Positions") -> None:
        """Wait until everything is committed, or nothing more is: late is not lost."""
        until, seen = time.monotonic() + PATIENCE, watch.committed
        while time.monotonic() < until:
            self._supervise()
            if watch.everything():
                return
            if watch.committed > seen:
                until, seen = time.monotonic() + PATIENCE, watch.committed
            time.sleep(0.5)

    def _compare(self, traces: Sequence[Trace], transport: Kafka) -> None:
        store = Store.open(self._database)
        rows: dict[str, list[dict]] = {}
        for record in store.records():
            if record.kind == "verdict":
                document = record.body["verdict"]
                rows.setdefault(document["trace_id"], []).append(document)
        self.report.chain_ok = store.audit().ok
        store.close()
        expected = asyncio.run(_alone(traces))
        told = _told(transport, {d["verdict_id"] for found in rows.values() for d in found})
        for trace in traces:
            found = rows.get(trace.trace_id, [])
            if not found:
                self.report.lost.append(trace.trace_id)
            elif len(found) > 1:
                self.report.doubled.append(trace.trace_id)
            elif (found[0]["decision"], found[0]["deception_score"]) != expected[trace.trace_id]:
                self.report.wrong.append(f"{trace.trace_id}: {found[0]['unscored']}")
            elif found[0]["verdict_id"] not in told:
                self.report.untold.append(trace.trace_id)
        self.report.told_again = sum(told.values()) - len(told)


class _Positions:
    """Looks at what the group has committed, all the time."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._last: dict[TopicPartition, int] = {}

    def run(self, over: threading.Event, back: list[str]) -> None:
        while not over.is_set():
            try:
                with KafkaAdminClient(
                    bootstrap_servers=self._address, bootstrap_timeout_ms=5000
                ) as admin:
                    reached = time.monotonic()
                    while not over.wait(0.2):
                        self._look(admin, back, reached)
            except Exception:  # noqa: BLE001 -- the broker is away: look again when it is back
                over.wait(0.5)

    def _look(self, admin: KafkaAdminClient, back: list[str], reached: float) -> None:
        found = admin.list_group_offsets({"chaos": None})["chaos"]
        for partition, position in found.items():
            before = self._last.get(partition, 0)
            if position.offset < before:
                ago = f"{time.monotonic() - reached:.1f} s after the broker could be reached"
                back.append(f"{partition}: {before} -> {position.offset}, {ago}")
            self._last[partition] = position.offset

    @property
    def committed(self) -> int:
        """Messages that the group has done with."""
        return sum(self._last.values())

    def everything(self) -> bool:
        """Whether all that was sent is committed."""
        consumer = KafkaConsumer(bootstrap_servers=self._address)
        names = [TopicPartition(TOPICS.traces, n) for n in range(PARTITIONS)]
        ends = consumer.end_offsets(names)
        consumer.close()
        return all(self._last.get(p, 0) == end for p, end in ends.items())


def _cut(trace: Trace, order: random.Random) -> list[tuple[Part, ...]]:
    pieces = []
    for part in trace.parts:
        at = 0
        while at < len(part.text):
            size = order.randrange(20, 600)
            pieces.append((Part(channel=part.channel, text=part.text[at : at + size]),))
            at += size
    return pieces or [()]


async def _alone(traces: Sequence[Trace]) -> dict[str, tuple[str, float | None]]:
    """The verdicts of the whole traces, without any broker."""
    engine = Engine(classifier=classifier(), policy=policy(), record=Recorded())
    verdicts = await asyncio.gather(*(engine.judge(t) for t in traces))
    documents = [messages.verdict_json(v) for v in verdicts]
    return {d["trace_id"]: (d["decision"], d["deception_score"]) for d in documents}


def _told(transport: Kafka, wanted: set[str]) -> dict[str, int]:
    """How often each verdict was published."""
    follower, found = transport.follower([TOPICS.verdicts], from_start=True), {}
    until = time.monotonic() + 30
    while time.monotonic() < until and not (wanted <= set(found)):
        for message in follower.poll(0.5, at_most=1000).messages:
            name = messages.read_verdict(message).verdict["verdict_id"]
            found[name] = found.get(name, 0) + 1
    follower.close()
    return found


def some_traces(count: int) -> list[Trace]:
    """Authored traces, each under an id of its own."""
    found = authored(min(count, 1500))
    return [
        Trace(trace_id=f"{n}-{t.trace_id}", parts=t.parts, prompt=t.prompt)
        for n, t in ((n, found[n % len(found)]) for n in range(count))
    ]
