"""Print tables of figures: `make bench` for those of the judging itself, the rest by name.

`proxies` needs what `scripts/proxies` installs, `kafka` and `gate` the Kafka of the tests; `store`
makes a database of a million verdicts, `memory` a file of 5 GB. They take from minutes to an hour.
"""

import argparse
import platform
import subprocess
from pathlib import Path

from classifiers.sessions import available_cpus
from tests.bench import (
    cost,
    engine,
    gate,
    kafka,
    memory,
    overload,
    proxies,
    rescore,
    sidecar,
    store,
)

PARTS = {
    "engine": engine.main,
    "sidecar": sidecar.main,
    "cost": cost.main,
    "overload": overload.main,
    "proxies": proxies.main,
    "rescore": rescore.main,
    "memory": memory.main,
    "kafka": kafka.main,
    "gate": gate.main,
    "store": store.main,
}
#: What `make bench` prints.
USUAL = ("engine", "sidecar")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], help=f"default: {' '.join(USUAL)}"
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions: does it still run?")
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        f"Commit {commit}, {available_cpus()} CPUs, {_cpu()}, Python {platform.python_version()}\n"
    )
    for part in args.parts or USUAL:
        PARTS[part](quick=args.quick)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
