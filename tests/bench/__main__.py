"""Print the tables of the README: `make bench`, or one part with `python -m tests.bench engine`."""

import argparse
import platform
import subprocess
from pathlib import Path

from classifiers.sessions import available_cpus
from tests.bench import engine, overload, proxies, rescore, sidecar

PARTS = {
    "engine": engine.main,
    "sidecar": sidecar.main,
    "overload": overload.main,
    "proxies": proxies.main,
    "rescore": rescore.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--quick", action="store_true", help="few repetitions: does it still run?")
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        f"Commit {commit}, {available_cpus()} CPUs, {_cpu()}, Python {platform.python_version()}\n"
    )
    for part in args.parts or PARTS:
        PARTS[part](quick=args.quick)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
