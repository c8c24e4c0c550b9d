"""`python -m classifiers.training`: train and measure; `--help` has the commands."""

import argparse
import os
from pathlib import Path
from typing import TypeAlias

import torch

from classifiers.artefact import default_artefact
from classifiers.port import Check
from classifiers.training.calibrate import BLOCK_RATE, FLAG_RATE, Rates

_DATA = "folder with train/ and validation/ parquet files (classifiers/data is one)"
_CHANGED = "artefact folder, changed in place"
_FINISHED = "folder of a finished training run"
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def main() -> None:
    """Parse the command line and do what it asks."""
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m classifiers.training",
        description="Train and measure Subtext's classifiers. Needs the `train` extra.",
        epilog="First time: `train --tiny --data classifiers/data --out runs/tiny` takes minutes.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (
        _add_train,
        _add_evaluate,
        _add_judge,
        _add_calibrate,
        _add_unseen,
        _add_quantise,
        _add_parity,
        _add_half,
    ):
        command = add(commands)
        command.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")
    return parser


def _add_train(commands: _Commands) -> argparse.ArgumentParser:
    train = commands.add_parser(
        "train", help="train, export and calibrate; OUT/model is the artefact"
    )
    train.add_argument("--data", type=Path, required=True, help=_DATA)
    train.add_argument(
        "--out", type=Path, required=True, help="checkpoints and the artefact go here"
    )
    train.add_argument("--tiny", action="store_true", help="a quick proof that everything works")
    train.add_argument("--name", default="subtext-minilm", help="the artefact's name")
    train.set_defaults(run=_train)
    return train


def _add_evaluate(commands: _Commands) -> argparse.ArgumentParser:
    measure = commands.add_parser(
        "evaluate", help="measure an artefact; update its manifest and card"
    )
    measure.add_argument("--data", type=Path, required=True, help=_DATA)
    measure.add_argument("--model", type=Path, default=default_artefact(), help="artefact folder")
    measure.add_argument(
        "--out",
        type=Path,
        default=Path("runs/evaluation"),
        help="folder of the page, its JSON and the plots (runs/evaluation)",
    )
    measure.add_argument("--limit", type=int, default=100, help="records per class and source")
    measure.add_argument(
        "--check",
        type=Check,
        choices=tuple(Check),
        action="append",
        help="measure only this check (may be repeated); keep what is known of the others",
    )
    measure.set_defaults(run=_evaluate)
    return measure


def _add_judge(commands: _Commands) -> argparse.ArgumentParser:
    judge = commands.add_parser(
        "judge",
        help="learn everything outside the encoders of an artefact anew; minutes on a CPU",
    )
    judge.add_argument("--data", type=Path, required=True, help=_DATA)
    judge.add_argument("--model", type=Path, required=True, help=_CHANGED)
    judge.add_argument("--name", default="subtext-minilm", help="the artefact's name")
    judge.set_defaults(run=_judge)
    return judge


def _add_calibrate(commands: _Commands) -> argparse.ArgumentParser:
    limits = commands.add_parser(
        "calibrate",
        help="set an artefact's thresholds anew, on data not trained on; no score changes",
    )
    limits.add_argument("--data", type=Path, required=True, help=_DATA)
    limits.add_argument("--model", type=Path, required=True, help=_CHANGED)
    limits.add_argument(
        "--target-fpr",
        type=_rate,
        default=FLAG_RATE,
        help="share of ordinary reasoning that may be flagged (%(default)s)",
    )
    limits.add_argument(
        "--block-fpr",
        type=_rate,
        default=BLOCK_RATE,
        help="share of the hardest negatives, too, that may be blocked (%(default)s)",
    )
    limits.set_defaults(run=_calibrate)
    return limits


def _add_unseen(commands: _Commands) -> argparse.ArgumentParser:
    unseen = commands.add_parser(
        "unseen",
        help="leave sources out, one at a time: what the words say of an authored source never "
        "seen, or, with --source, what all of a model trained without it says",
    )
    unseen.add_argument("--data", type=Path, required=True, help=_DATA)
    unseen.add_argument(
        "--source", action="append", help="train everything anew without it (may be repeated)"
    )
    unseen.add_argument(
        "--out", type=Path, default=Path("runs/unseen"), help="folder of those runs (runs/unseen)"
    )
    unseen.add_argument("--tiny", action="store_true", help="a quick proof that everything works")
    unseen.set_defaults(run=_unseen)
    return unseen


def _add_quantise(commands: _Commands) -> argparse.ArgumentParser:
    forms = commands.add_parser("quantise", help="compare ways to store the step encoder's weights")
    forms.add_argument("--data", type=Path, required=True, help=_DATA)
    forms.add_argument("--out", type=Path, required=True, help=_FINISHED)
    forms.set_defaults(run=_quantise)
    return forms


def _add_parity(commands: _Commands) -> argparse.ArgumentParser:
    same = commands.add_parser(
        "parity",
        help="what storing the weights in 8 bits changes, against fp32, or computing in fp16",
    )
    same.add_argument("--data", type=Path, required=True, help=_DATA)
    same.add_argument(
        "--model", type=Path, required=True, help="the artefact; its manifest notes it"
    )
    exact = same.add_mutually_exclusive_group(required=True)
    exact.add_argument("--out", type=Path, help=_FINISHED)
    exact.add_argument("--against", type=Path, help="another artefact: what `half` was given")
    same.set_defaults(run=_parity)
    return same


def _add_half(commands: _Commands) -> argparse.ArgumentParser:
    half = commands.add_parser(
        "half", help="write an artefact for GPUs: the same weights, computed with in fp16"
    )
    half.add_argument("--model", type=Path, default=default_artefact(), help="artefact folder")
    half.add_argument("--out", type=Path, required=True, help="folder of the new one")
    half.set_defaults(run=_half)
    return half


def _train(options: argparse.Namespace) -> None:
    from classifiers.training.pipeline import train  # noqa: PLC0415 - slow to import, not for --help

    folder = train(options.data, options.out, tiny=options.tiny, name=options.name)
    print(f"Artefact: {folder}. Measure it with `evaluate --model {folder}`.")


def _evaluate(options: argparse.Namespace) -> None:
    from classifiers.training.evaluate import evaluate  # noqa: PLC0415 - likewise

    checks = options.check or tuple(Check)
    evaluate(options.model, options.data, options.out, options.limit, checks)
    print(f"Written to {options.model}: manifest.json (evaluation) and CARD.md.")
    print(f"Page and plots: {options.out}/report.md")


def _judge(options: argparse.Namespace) -> None:
    from classifiers.training.pipeline import judge  # noqa: PLC0415 - likewise

    judge(options.data, options.model, options.name)
    print(f"Written to {options.model}. Measure it with `evaluate --model {options.model}`.")


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("a share between 0 and 1, such as 0.01")
    return value


def _calibrate(options: argparse.Namespace) -> None:
    from classifiers.training.pipeline import recalibrate  # noqa: PLC0415 - likewise

    rates = Rates(flag=options.target_fpr, block=options.block_fpr)
    for check, found in recalibrate(options.data, options.model, rates).items():
        low, high = found.ordinary_rate_95
        print(
            f"{check.value}: flag at {found.thresholds.flag}, block at {found.thresholds.block};"
            f" {found.ordinary_flagged} of {found.ordinary} ordinary records flagged"
            f" ({low:.2%} to {high:.2%}), {found.recall:.0%} of {found.positives} positives,"
            f" {found.negatives_flagged:.0%} of {found.negatives} look-alikes"
        )
    print(f"Written to {options.model}. Measure it with `evaluate --model {options.model}`.")


def _unseen(options: argparse.Namespace) -> None:
    from classifiers.training import unseen  # noqa: PLC0415 - likewise

    for source in options.source or ():
        page = unseen.everything(options.data, options.out, source, tiny=options.tiny)
        print(f"What a model that never saw {source} says of it: {page}/report.md")
    if not options.source:
        print(unseen.table(unseen.words(options.data / "train")))


def _quantise(options: argparse.Namespace) -> None:
    from classifiers.training.parity import plain_steps  # noqa: PLC0415 - likewise
    from classifiers.training.quantise import compare  # noqa: PLC0415 - likewise

    compare(plain_steps(options.out), options.out / "model", options.data)


def _parity(options: argparse.Namespace) -> None:
    from classifiers.training import parity  # noqa: PLC0415 - likewise

    found = (
        parity.compare(options.model, options.out, options.data)
        if options.out
        else parity.compare_artefacts(options.model, options.against, options.data)
    )
    for check, told in found.items():
        print(
            f"{check.value}: {told.records} records, AUROC {told.auroc_gained:+.4f},"
            f" probabilities differ by at most {told.largest_change};"
            f" {told.decided_otherwise} decided otherwise, all within {told.band} of a threshold"
        )


def _half(options: argparse.Namespace) -> None:
    from classifiers.training.half import halve  # noqa: PLC0415 - likewise

    halve(options.model, options.out)
    print(
        f"Written to {options.out}. Use it with `--model {options.out}`; measure what it changes"
        f" with `parity --model {options.out} --against {options.model}`."
    )


if __name__ == "__main__":
    main()
