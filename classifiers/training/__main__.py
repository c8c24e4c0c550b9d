"""`python -m classifiers.training`: train, judge, calibrate, evaluate, unseen, parity, quantise."""

import argparse
import os
from pathlib import Path

import torch

from classifiers.artefact import default_artefact
from classifiers.port import Check
from classifiers.training.calibrate import BLOCK_RATE, FLAG_RATE, Rates

_DATA = "folder with train/ and validation/ parquet files (classifiers/data is one)"


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
    judge = commands.add_parser(
        "judge",
        help="learn everything outside the encoders of an artefact anew; minutes on a CPU",
    )
    judge.add_argument("--data", type=Path, required=True, help=_DATA)
    judge.add_argument(
        "--model", type=Path, required=True, help="artefact folder, changed in place"
    )
    judge.add_argument("--name", default="subtext-minilm", help="the artefact's name")
    judge.set_defaults(run=_judge)
    limits = commands.add_parser(
        "calibrate",
        help="set an artefact's thresholds anew, on data not trained on; no score changes",
    )
    limits.add_argument("--data", type=Path, required=True, help=_DATA)
    limits.add_argument(
        "--model", type=Path, required=True, help="artefact folder, changed in place"
    )
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
    forms = commands.add_parser("quantise", help="compare ways to store the step encoder's weights")
    forms.add_argument("--data", type=Path, required=True, help=_DATA)
    forms.add_argument("--out", type=Path, required=True, help="folder of a finished training run")
    forms.set_defaults(run=_quantise)
    same = commands.add_parser(
        "parity", help="what storing the weights in 8 bits changes, against fp32"
    )
    same.add_argument("--data", type=Path, required=True, help=_DATA)
    same.add_argument("--out", type=Path, required=True, help="folder of a finished training run")
    same.add_argument(
        "--model", type=Path, required=True, help="its artefact; its manifest notes it"
    )
    same.set_defaults(run=_parity)
    for command in (train, measure, judge, limits, unseen, forms, same):
        command.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")
    return parser


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
    from classifiers.training.parity import compare  # noqa: PLC0415 - likewise

    for check, found in compare(options.model, options.out, options.data).items():
        print(
            f"{check.value}: {found.records} records, AUROC {found.auroc_gained:+.4f} with 8 bits,"
            f" probabilities differ by at most {found.largest_change};"
            f" {found.decided_otherwise} decided otherwise, all within {found.band} of a threshold"
        )


if __name__ == "__main__":
    main()
