"""`python -m classifiers.training`: train, judge, evaluate, unseen, quantise."""

import argparse
import os
from pathlib import Path

import torch

from classifiers.artefact import default_artefact
from classifiers.port import Check

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
    unseen = commands.add_parser(
        "unseen", help="leave one authored source out: what the words say of sources never seen"
    )
    unseen.add_argument("--data", type=Path, required=True, help=_DATA)
    unseen.set_defaults(run=_unseen)
    forms = commands.add_parser("quantise", help="compare ways to store the step encoder's weights")
    forms.add_argument("--data", type=Path, required=True, help=_DATA)
    forms.add_argument("--out", type=Path, required=True, help="folder of a finished training run")
    forms.set_defaults(run=_quantise)
    for command in (train, measure, judge, unseen, forms):
        command.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")
    return parser


def _train(options: argparse.Namespace) -> None:
    from classifiers.training.pipeline import train  # noqa: PLC0415 - slow to import, not for --help

    folder = train(options.data, options.out, tiny=options.tiny, name=options.name)
    print(f"Artefact: {folder}. Measure it with `evaluate --model {folder}`.")


def _evaluate(options: argparse.Namespace) -> None:
    from classifiers.training.evaluate import evaluate  # noqa: PLC0415 - likewise

    evaluate(options.model, options.data, options.limit, options.check or tuple(Check))
    print(f"Written to {options.model}: manifest.json (evaluation) and CARD.md.")


def _judge(options: argparse.Namespace) -> None:
    from classifiers.training.pipeline import judge  # noqa: PLC0415 - likewise

    judge(options.data, options.model, options.name)
    print(f"Written to {options.model}. Measure it with `evaluate --model {options.model}`.")


def _unseen(options: argparse.Namespace) -> None:
    from classifiers.training.unseen import table, words  # noqa: PLC0415 - likewise

    print(table(words(options.data / "train")))


def _quantise(options: argparse.Namespace) -> None:
    from classifiers.training.pipeline import plain_steps  # noqa: PLC0415 - likewise
    from classifiers.training.quantise import compare  # noqa: PLC0415 - likewise

    compare(plain_steps(options.out), options.out / "model", options.data)


if __name__ == "__main__":
    main()
