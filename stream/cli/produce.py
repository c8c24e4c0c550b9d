"""`subtext produce`: send saved traces to Kafka."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future  # noqa: TC003 -- like every other import
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from monitor.clock import utc_now
from monitor.dialects import BadRecord
from monitor.types import Part, Trace
from stream.cli.kafka_options import (
    Bootstrap,
    CaFile,
    CertFile,
    ClientKey,
    Prefix,
    Sasl,
    Tls,
    User,
    Wait,
    connect,
    topics,
)
from stream.cli.options import fail
from stream.kafka import files, messages
from stream.kafka.messages import TraceMessage
from stream.kafka.port import Producer, TransportError

#: Messages on their way at once.
UNDER_WAY = 1000


def produce(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="JSONL, Parquet, or a saved response.")
    ],
    bootstrap: Bootstrap,
    rate: Annotated[
        float, typer.Option(min=0, help="Traces per second; 0 sends as fast as it goes.")
    ] = 0.0,
    pieces: Annotated[
        int, typer.Option(min=0, help="Characters per message, as a stream; 0 sends whole traces.")
    ] = 0,
    prefix: Prefix = "subtext",
    tls: Tls = False,
    ca: CaFile = None,
    cert: CertFile = None,
    cert_key: ClientKey = None,
    sasl: Sasl = "",
    user: User = "",
    wait: Wait = 30.0,
) -> None:
    """Send traces from files to the workers.

    Reads what `subtext check` reads, and Parquet with the columns `thinking`, `answer`, `prompt`.
    A trace without an id gets one from its content, so sending a file twice judges it once.

    Exit code: 0 all sent, 1 some records were no traces, 64 could not send.
    """
    for path in paths:
        if not path.is_file():
            raise fail(f"{path} is no file.")
    transport = connect(
        bootstrap=bootstrap,
        tls=tls,
        ca=ca,
        cert=cert,
        cert_key=cert_key,
        sasl=sasl,
        user=user,
        wait=wait,
    )
    try:
        outbox = _Outbox(transport.producer(), topics(prefix).traces, pieces)
        bad = _send(paths, outbox, rate)
    except TransportError as error:
        raise fail(f"{error}.") from error
    typer.echo(f"{outbox.traces} traces sent in {outbox.messages} messages, {bad} bad records.")
    raise typer.Exit(1 if bad else 0)


def _send(paths: Sequence[Path], outbox: "_Outbox", rate: float) -> int:
    """Send every trace at `rate`; return how many records were none."""
    bad, began = 0, time.monotonic()
    with _progress() as progress:
        task = progress.add_task("traces", total=None)
        for found in _records(paths):
            if isinstance(found, BadRecord):
                bad += 1
                where = f"{found.source}:{found.line}"
                typer.secho(f"{where}: {found.reason}", fg=typer.colors.RED, err=True)
                continue
            outbox.send(found)
            progress.advance(task)
            if rate:
                time.sleep(max(0.0, began + outbox.traces / rate - time.monotonic()))
        outbox.close()
        progress.update(task, total=outbox.traces)
    return bad


def _records(paths: Sequence[Path]) -> Iterator[Trace | BadRecord]:
    for path in paths:
        yield from files.read(path)


class _Rate(ProgressColumn):
    """Traces per second, once there are enough to tell."""

    def render(self, task: Task) -> Text:
        """Show the rate so far."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} traces/s")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Rate(),
        console=Console(stderr=True),
    )


class _Outbox:
    """Sends traces; a bounded number of messages is on its way."""

    def __init__(self, producer: Producer, topic: str, size: int) -> None:
        self.traces = self.messages = 0
        self._producer = producer
        self._topic = topic
        self._size = size
        self._sent: deque[Future[None]] = deque()

    def send(self, trace: Trace) -> None:
        """Send a trace; waits while too much is on its way. Raises TransportError."""
        for message in self._pieces(trace):
            self._sent.append(
                self._producer.send(
                    self._topic,
                    key=message.trace_id.encode(),
                    value=messages.encode(message),
                    headers=messages.headers(tenant=trace.tenant),
                )
            )
            self.messages += 1
            if len(self._sent) > UNDER_WAY:
                self._sent.popleft().result()
        self.traces += 1

    def close(self) -> None:
        """Wait until the broker has everything. Raises TransportError."""
        while self._sent:
            self._sent.popleft().result()
        self._producer.close()

    def _pieces(self, trace: Trace) -> Sequence[TraceMessage]:
        created_at = utc_now()
        if not self._size:
            return [messages.whole(trace, created_at)]
        texts: list[tuple[Part, ...]] = [
            (Part(channel=part.channel, text=part.text[at : at + self._size]),)
            for part in trace.parts
            for at in range(0, len(part.text), self._size)
        ]
        return messages.pieces(trace, texts or [()], created_at)
