"""Runs of re-scoring on a Ray of this machine, in a process of their own: `python -m` this.

Ray warns, and leaves threads and sockets to the end of the process, all of which are errors in a test.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import ray

from stream.rescore import cluster, command
from stream.rescore.errors import RescoreError
from tests.rescoring import engine


def make(_threads):
    return engine()


def broken(_threads):
    raise RescoreError("no model here")


def rescore(inputs, out, making=make, **options):
    job = command.job(inputs, part_rows=10, out=Path(out), **options)
    with command.ledger(job, engine(), Path(out), run="r") as ledger:
        asyncio.run(cluster.judge_on_ray(job, making, ledger, actor_cpus=1))


def main(calls):
    """Do each, and print what went wrong; all on the cluster that this process starts."""
    os.environ |= {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_worker_niceness": "0"}
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    for call in json.loads(calls):
        making = broken if call.pop("broken", False) else make
        try:
            rescore(making=making, **call)
        except RescoreError as error:
            print(error)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
