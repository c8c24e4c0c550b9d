"""What `subtext rescore` shows at a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from classifiers.port import Classifier
from dashboard.inert import visible
from monitor.types import Channel, Trace
from stream.rescore.command import Estimate, tokens_of
from stream.rescore.inputs import Item
from stream.rescore.ledger import BAD, Ledger
from stream.rescore.run import Job, Progress
from stream.rescore.summary import Summary

#: Records of each input that `--peek` shows, and characters of each text.
PEEKED, SHOWN = 3, 160


def peek(job: Job) -> None:
    """Show how the first records of every input are understood."""
    console = Console(highlight=False)
    without_thinking = shown = 0
    for source in job.inputs:
        for item in islice(source.items(job.fields), PEEKED):
            _peek_item(console, item)
            shown += len(item.logged.traces)
            without_thinking += sum(not t.thinking for t in item.logged.traces)
    if shown and without_thinking == shown:
        console.print(
            "\n[bold yellow]No thinking was seen.[/] If the records hold some, say where:"
            " --map thinking=PATH --map answer=PATH."
        )


def _peek_item(console: Console, item: Item) -> None:
    head = Text(f"{visible(item.source)}:{item.line}  ", style="bold")
    console.print(head.append(item.logged.shape or "not understood", style="cyan"))
    for reason in item.logged.problems:
        console.print(Text(f"  {visible(reason)}", style="red"))
    if not item.logged.traces and not item.logged.problems:
        console.print(Text("  holds no reply of a model: skipped", style="dim"))
    for trace in item.logged.traces:
        for name, value in _understood(trace):
            line = Text(f"  {name:<13}", style="dim", no_wrap=True, overflow="ellipsis")
            console.print(line.append(value, style="none"))


def _understood(trace: Trace) -> Iterator[tuple[str, str]]:
    for name in ("trace_id", "model", "tenant", "conversation_id"):
        if value := getattr(trace, name):
            yield name.removeprefix("trace_").removesuffix("_id"), visible(value)
    yield "prompt", _excerpt(trace.prompt)
    yield "thinking", _excerpt(trace.thinking)
    yield "answer", _excerpt(trace.answer)
    if calls := trace.text(Channel.TOOL_CALL):
        yield "tool calls", _excerpt(calls)
    if trace.problem:
        yield "unreadable", visible(trace.problem)


def _excerpt(text: str) -> str:
    if not text:
        return "none"
    words = visible(" ".join(text[: 2 * SHOWN].split()))[:SHOWN]
    return f"({len(text):,} characters) {words}"


def estimate(found: Estimate) -> None:
    """Show what a run would take."""
    console = Console(highlight=False)
    console.print(f"{found.traces:,} traces, {found.characters:,} characters")
    if found.bad:
        console.print(f"{found.bad:,} records that cannot be read (--peek shows why)")
    if found.tokens:
        console.print(
            f"About {found.tokens:,} tokens at {found.tokens_per_second:,.0f} a second:"
            f" {duration(found.seconds)} on this machine."
        )


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    if hours >= 2:
        return f"{hours:.1f} hours"
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{seconds:.0f} seconds"


@contextmanager
def progress(size: int, classifier: Classifier) -> Iterator[Progress]:
    """Show a bar with rates and the time left, on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        _Rates(classifier),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Judging", total=max(1, size), traces=0)

        def tell(now: Progress) -> None:
            words = "Reading past what is done" if now.behind else "Judging"
            bar.update(task, completed=now.consumed, description=words, traces=now.traces)

        yield Progress(tell=tell)


@contextmanager
def counting(words: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for something that is counted, where that is a terminal."""
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(words)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Rates(ProgressColumn):
    """Traces and tokens per second since judging began."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self._classifier = classifier

    def render(self, task: Task) -> Text:
        """Show the rates so far."""
        seconds = task.elapsed or 0
        if not seconds or not task.fields["traces"]:
            return Text("")
        traces = task.fields["traces"] / seconds
        tokens = tokens_of(self._classifier) / seconds
        return Text(f"{traces:,.1f} traces/s {tokens:,.0f} tokens/s", style="green")


def summary(ledger: Ledger) -> None:
    """Show what a finished run came to."""
    found = Summary.of(ledger)
    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for decision, count in found.decisions.items():
        table.add_row(decision, f"{count:,}", _share(count, found.traces))
    table.add_row(
        "could not be judged", f"{found.unscored:,}", _share(found.unscored, found.traces)
    )
    table.add_row("skipped", f"{found.skipped:,}", "")
    table.add_row("bad records", f"{found.bad:,}", f"see {BAD}" if found.bad else "")
    console.print(f"[bold]{found.traces:,} traces judged[/], run {visible(found.run)}")
    console.print(table)
    console.print(f"Results: {visible(str(ledger.folder))}", soft_wrap=True)


def _share(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else ""
