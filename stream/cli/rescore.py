"""`subtext rescore`: judge logs in bulk."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from classifiers.batcher import UNLIMITED
from classifiers.port import Classifier
from dashboard.inert import visible
from monitor.dialects.logs import MapError
from monitor.engine import Engine
from monitor.sealing import ContentKeyError
from monitor.store import Store, StoreError
from stream.cli.options import (
    ModelDir,
    PolicyFile,
    calibrated,
    fail,
    open_archive,
    open_classifier,
    open_store,
    read_policy,
)
from stream.rescore.errors import RescoreError

if TYPE_CHECKING:
    from stream.rescore.ledger import Ledger
    from stream.rescore.run import Job, Progress

Result = TypeVar("Result")
#: The extra that a missing package belongs to.
EXTRAS = {"pyarrow": "rescore", "zstandard": "rescore", "ray": "ray"}


class Kind(StrEnum):
    """Where traces are judged."""

    LOCAL = "local"
    RAY = "ray"


def rescore(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders, s3://bucket/path, or the address of an audit store or a Kafka "
            "topic.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; the same folder again goes on.")
    ] = None,
    peek: Annotated[
        bool, typer.Option("--peek", help="Show how the first records are understood, and stop.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Count what would be judged and how long it takes; stop."),
    ] = False,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=PATH",
            help="Where a field stands in a record: thinking=steps[0].thought. Can be repeated.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Only traces that fit: model=gpt-*, tenant!=acme, thinking~grader. Repeatable.",
        ),
    ] = None,
    sample: Annotated[
        str, typer.Option(help="Share to judge, the same of every model and source: 1%, 0.01.")
    ] = "100%",
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 0,
    policy: PolicyFile = None,
    model: ModelDir = None,
    record: Annotated[
        str | None,
        typer.Option(
            help="Audit store that also records the verdicts, under the run's name; of decisions "
            "made anew, only what they came to."
        ),
    ] = None,
    run: Annotated[str, typer.Option(help="Name of the run. Default: a fresh one.")] = "",
    compare: Annotated[
        str,
        typer.Option(
            metavar="RUN|stored",
            help="Then report what changed: against the folder of another run, or, for an audit "
            "store as input, against what was decided live.",
        ),
    ] = "",
    engine: Annotated[
        Kind,
        typer.Option(
            "--engine",
            help="local: this process. ray: the cluster of RAY_ADDRESS, or one of this machine.",
        ),
    ] = Kind.LOCAL,
    actor_cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of a Ray actor. Default: up to 4.")
    ] = None,
    part_rows: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Traces per Parquet file.")
    ] = 1000,
) -> None:
    """Judge last month's logs with today's classifiers and policy.

    Reads JSON lines (also .gz and .zst), JSON documents and Parquet files: our own traces, saved
    OpenAI and Anthropic replies, request logs of LiteLLM and batch results of vLLM, Langfuse and
    OpenTelemetry exports, chats with <think>. Look first how your records are understood:

    subtext rescore logs/ --peek

    subtext rescore logs/ --out results

    When only the policy changed, decide anew from the scores of a run, in seconds:

    subtext rescore results --policy new.toml --out changed --compare results

    And from the audit store, against what was decided live:

    subtext rescore sqlite:///subtext.db --out results --compare stored

    From Kafka, by time or offset; credentials come from SUBTEXT_KAFKA_USER and _PASSWORD:

    subtext rescore 'kafka://host:9092/subtext.traces?from=2026-11-01&to=2026-11-08' --out week

    On a Ray cluster, which RAY_ADDRESS names, with the same results:

    subtext rescore s3://bucket/logs --out results --engine ray

    Ctrl-C or a crash loses nothing: the same command goes on where it stopped. Records that cannot
    be read are in results/bad.jsonl, with line and reason; the results are results/*.parquet.

    Exit code: 0 finished, 130 stopped by Ctrl-C, 64 cannot start or go on.
    """
    with _told():
        from stream.rescore import command  # noqa: PLC0415 -- needs an extra, and half a second

        if len(inputs) == 1 and (Path(inputs[0]) / "manifest.json").is_file():
            if peek or dry_run or fields or where or sample != "100%":
                raise fail(
                    f"{inputs[0]} holds scores: say only --policy, --out, --record and --compare."
                )
            how = _How(record=record, run=run, kind=engine, actor_cpus=actor_cpus, model=model)
            _redecide(Path(inputs[0]), _wanted(out), policy, how)
        else:
            job = command.job(
                inputs,
                fields=fields or (),
                where=where or (),
                sample=sample,
                seed=seed,
                part_rows=part_rows,
                out=out,
            )
            if peek or dry_run:
                _look(job, policy, model, peek=peek)
                return
            how = _How(record=record, run=run, kind=engine, actor_cpus=actor_cpus, model=model)
            _judge(job, _engine(policy, model), _wanted(out), how)
        if compare:
            _compare(_wanted(out), None if compare == "stored" else Path(compare), record)


def _wanted(out: Path | None) -> Path:
    if out is None:
        raise fail("Say where the results go: --out FOLDER. Or look first: --peek.")
    return out


def _look(job: "Job", policy: Path | None, model: Path | None, *, peek: bool) -> None:
    from stream.cli import rescore_view as view  # noqa: PLC0415
    from stream.rescore.command import estimate  # noqa: PLC0415

    if peek:
        view.peek(job)
        return
    engine = _engine(policy, model)
    view.estimate(asyncio.run(_closing(engine.classifier, estimate(job, engine))))


def _engine(policy: Path | None, model: Path | None) -> Engine:
    from stream.rescore.run import bulk_engine  # noqa: PLC0415

    classifier = open_classifier(model, UNLIMITED)
    return bulk_engine(classifier, read_policy(policy, dict(classifier.thresholds)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """Where a run is judged, and what it is called."""

    record: str | None
    run: str
    kind: Kind
    actor_cpus: int | None
    model: Path | None


def _judge(job: "Job", engine: Engine, out: Path, how: _How) -> None:
    from stream.cli import rescore_view as view  # noqa: PLC0415
    from stream.rescore.command import ledger  # noqa: PLC0415
    from stream.rescore.listing import listed  # noqa: PLC0415

    with ExitStack() as stack:
        held = stack.enter_context(ledger(job, engine, out, run=how.run, record=how.record))
        store = (
            None if how.record is None else stack.enter_context(closing(open_archive(how.record)))
        )
        if store is not None:
            stack.enter_context(listed(store, held, engine.policy.version))
        with view.progress(job.size) as progress:
            work = _work(job, engine, held, how, archive=store, progress=progress)
            asyncio.run(_closing(engine.classifier, work))
        view.summary(held)


def _work(
    job: "Job",
    engine: Engine,
    held: "Ledger",
    how: _How,
    *,
    archive: Store | None,
    progress: "Progress",
) -> Coroutine[None, None, None]:
    """Judge here, or on a cluster with an engine like this one in every actor."""
    from stream.rescore.command import actor_engine  # noqa: PLC0415
    from stream.rescore.run import judge_all  # noqa: PLC0415

    if how.kind is Kind.LOCAL:
        return judge_all(job, engine, held, archive=archive, progress=progress)
    from stream.rescore.cluster import judge_on_ray  # noqa: PLC0415 -- needs an extra

    make = partial(actor_engine, how.model, engine.policy)
    return judge_on_ray(
        job, make, held, archive=archive, progress=progress, actor_cpus=how.actor_cpus
    )


def _redecide(folder: Path, out: Path, policy: Path | None, how: _How) -> None:
    from stream.cli import rescore_view as view  # noqa: PLC0415
    from stream.rescore.listing import listed  # noqa: PLC0415
    from stream.rescore.redecide import decide_all, deciding  # noqa: PLC0415

    rules = read_policy(policy, calibrated(how.model))
    with ExitStack() as stack:
        earlier, held = stack.enter_context(deciding(folder, rules, out, run=how.run))
        if how.record is not None:
            store = stack.enter_context(closing(open_store(how.record)))
            stack.enter_context(listed(store, held, rules.version, scores_of=earlier.run))
        with view.counting("Deciding") as tell:
            decide_all(earlier, rules, held, tell=tell)
    view.summary(held)


def _compare(folder: Path, baseline: Path | None, record: str | None) -> None:
    from stream.cli import rescore_compared as view  # noqa: PLC0415
    from stream.rescore import compare, report  # noqa: PLC0415

    pairs = compare.pair(folder, baseline)
    found = pairs.compare()
    report.write(folder, found, pairs.flips())
    if record is not None:
        with closing(open_store(record)) as store:
            store.runs.compared(found.after, found)
    view.show(Console(highlight=False), found)
    typer.echo(f"Report: {visible(str(folder / report.HTML))}; all flips: {report.FLIPS}")


async def _closing(classifier: Classifier, work: Coroutine[None, None, Result]) -> Result:
    try:
        return await work
    finally:
        await classifier.aclose()


@contextmanager
def _told() -> Iterator[None]:
    """Say what stopped a run, and how it goes on."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        raise fail(f"This needs more packages: pip install 'subtext[{extra}]'.") from error
    except (RescoreError, MapError, StoreError, ContentKeyError) as error:
        raise fail(visible(str(error))) from error
    except OSError as error:
        raise fail(f"{error.strerror}: {visible(str(error.filename))}.") from error
    except KeyboardInterrupt:
        typer.secho("Stopped. The same command goes on from here.", err=True)
        raise typer.Exit(130) from None
