"""Long storms: `make chaos`, or `python -m tests.chaos --rounds 10 --seconds 300`."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.storm import Storm, some_traces


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument(
        "--faults", type=int, default=0, help="default: as many as fit into the time"
    )
    parser.add_argument("--traces", type=float, default=6, help="per second")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    args = parser.parse_args()
    failed = 0
    print("| seed | traces | messages | faults | lost | doubled | wrong | back | told again | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for seed in range(args.seed, args.seed + args.rounds):
        with tempfile.TemporaryDirectory(prefix="subtext-chaos-") as folder:
            traces = some_traces(round(args.traces * args.seconds))
            storm = Storm(seed, Path(folder), seconds=args.seconds, faults=args.faults)
            report = storm.run(traces)
        told = ", ".join(f"{n} {name}" for name, n in sorted(report.faults.items()))
        counts = [report.lost, report.doubled, report.wrong, report.back]
        print(
            f"| {seed} | {report.traces} | {report.messages} | {told} | "
            f"{' | '.join(str(len(c)) for c in counts)} | {report.told_again} | "
            f"{report.seconds:.0f} |",
            flush=True,
        )
        if not report.ok:
            failed += 1
            print(report, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
