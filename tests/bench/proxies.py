"""The sidecar's road beside other proxies: nothing, aiohttp alone, nginx, LiteLLM.

`scripts/proxies` installs nginx and LiteLLM; a proxy that is not there is left out and named. All
run on this machine with one worker, and share it with the server and the client.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from aiohttp import web

from classifiers.fake import FakeClassifier
from classifiers.port import Classifier
from monitor.types import Mode
from tests.bench import wire
from tests.bench.processes import Process, bare_proxy, free_port, rss, settle

ROOT = Path(__file__).parents[2]
LITELLM = ROOT / ".venv-litellm" / "bin" / "litellm"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
#: Seconds until a proxy must answer after its start; LiteLLM takes its time.
START = 120.0
#: Seconds after which streams are left, ended or not.
MOST = 8.0
#: It would ask the internet for prices and refuse to start without a key.
LITELLM_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}

#: Gives the address and the process of a running proxy in front of an upstream.
Proxy = Callable[[str], AbstractContextManager[tuple[str, int]]]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What some streams at once, and then whole responses, met at one proxy."""

    #: Seconds until each stream's first event, and of each event from sending to arrival.
    first: list[float]
    delays: list[float]
    #: Every stream came to its end in time.
    ended: bool
    #: Whole responses per second.
    rate: float
    #: MiB.
    rss: float


def main(*, quick: bool) -> None:
    """Print the table."""
    streams, events, seconds = ((1, 8), 30, 1.0) if quick else ((1, 8, 32, 128), 60, 2.0)
    rounds = 1 if quick else 3
    print(
        f"Each stream has {events} events at {wire.PACE:g} a second. Median of {rounds} rounds.\n"
    )
    print("| proxy | streams | first token p50 | p99 | per token p50 | p99 | requests/s | RSS |")
    print("|---|---|---|---|---|---|---|---|")
    found: dict[tuple[str, int], list[Load]] = defaultdict(list)
    with Process(wire.serve, events) as upstream, ExitStack() as running:
        started = {name: _started(running, proxy, upstream) for name, proxy in PROXIES.items()}
        # In turns: what the machine does besides changes by the minute.
        for number in range(rounds):
            for (name, (url, pid)), count in product(started.items(), streams):
                if url:
                    print(f"round {number + 1}: {name}, {count} streams", file=sys.stderr)
                    found[name, count].append(_loaded(url, pid, count, seconds))
        for name, (url, pid) in started.items():
            if not url:
                print(f"| {name}: not here; run `scripts/proxies` | | | | | | | |")
            for count in streams if url else ():
                print(f"| {name} | {count} | {_row(found[name, count], shown=bool(pid))} |")
    print(
        "\nPer token: from sending to arrival. `hold` waits for whole steps of text by design. "
        f"Streams are left after {MOST:g} s: `>` says that some had not ended. "
        "Requests/s: whole responses, one connection per stream. RSS: the most, children included.\n"
    )
    _hold(responses=3 if quick else 15)


def _started(running: ExitStack, proxy: Proxy, upstream: str) -> tuple[str, int]:
    """A proxy's address and process; no address where it is not installed."""
    try:
        return running.enter_context(proxy(upstream))
    except FileNotFoundError:
        return "", 0


def _hold(responses: int) -> None:
    """Print what an answer waits for in `hold`: scores, and everything else."""
    print(
        "| one stream, hold | last byte of a step in, first byte out, p50 | p99 "
        "| its scoring p50 | the rest p50 | p99 |"
    )
    print("|---|---|---|---|---|---|")
    with Process(wire.serve, 0) as upstream, tempfile.TemporaryDirectory() as folder:
        for name, load in (("scores of a constant", constant), ("shipped models", _shipped)):
            noted = Path(folder) / name
            with Process(sidecar, upstream, Mode.HOLD, Timed.loader(load, noted)) as url:
                pairs = [_step(url, noted) for _ in range(responses + 1)][1:]
            waits, scoring = ([pair[i] for pair in pairs] for i in (0, 1))
            rest = [wait - scored for wait, scored in pairs]
            shown = [_ms(waits, 50), _ms(waits, 99), _ms(scoring, 50), _ms(rest, 50), _ms(rest, 99)]
            print(f"| {name} | {' | '.join(shown)} |", flush=True)
    print(
        "\nScoring: from asking the encoder until the last score, for this step and the end of the "
        "thinking before it, in the sidecar's own process.\n"
    )


def _step(url: str, noted: Path) -> tuple[float, float]:
    """Seconds that an answer's only step waited, and of them those that its scores took."""
    noted.unlink(missing_ok=True)
    (wait,) = asyncio.run(wire.stream(url)).delays
    until = time.monotonic() + MOST
    while not noted.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return wait, float(noted.read_text(encoding="ascii"))


def _loaded(url: str, pid: int, count: int, seconds: float) -> Load:
    asyncio.run(wire.requests(url, 0.2))  # warms up
    load = asyncio.run(_load(url, pid, count, seconds))
    settle(pid)
    return load


async def _load(url: str, pid: int, count: int, seconds: float) -> Load:
    async def started(number: int) -> wire.Stream:
        await asyncio.sleep(number / count / wire.PACE)  # streams do not march in step
        return await wire.stream(url, MOST)

    seen = await asyncio.gather(*(started(number) for number in range(count)))
    most = rss(pid)
    answered = await asyncio.gather(*(wire.requests(url, seconds) for _ in range(count)))
    return Load(
        first=[s.first for s in seen],
        delays=[d for s in seen for d in s.delays] or [MOST],
        ended=all(s.ended for s in seen),
        rate=sum(answered) / seconds,
        rss=max(most, rss(pid)),
    )


def _row(loads: list[Load], *, shown: bool) -> str:
    """The median of the rounds; memory is the most, and shown where there is a process."""
    late = "" if all(load.ended for load in loads) else "> "
    times = [
        late + _ms([float(np.percentile(of(load), p)) for load in loads], 50)
        for of in (attrgetter("first"), attrgetter("delays"))
        for p in (50, 99)
    ]
    rate = f"{np.median([load.rate for load in loads]):,.0f}"
    return " | ".join([*times, rate, f"{max(load.rss for load in loads):.0f} MiB" if shown else ""])


def _ms(seconds: list[float], percentile: int) -> str:
    return f"{(ms := np.percentile(seconds, percentile) * 1000):.{1 if ms >= 10 else 2}f} ms"


@contextmanager
def _direct(upstream: str) -> Iterator[tuple[str, int]]:
    yield upstream, 0


def _ours(make: Callable[..., object], *args: object) -> Proxy:
    @contextmanager
    def start(upstream: str) -> Iterator[tuple[str, int]]:
        process = Process(make, upstream, *args)
        with process as url:
            yield url, process.pid

    return start


class Timed:
    """A classifier that notes how long the scores of an answer's step took, from first to last.

    What is compared word by word between its two models is part of that.
    """

    def __init__(self, classifier: Classifier, noted: Path) -> None:
        self._classifier, self._noted = classifier, noted
        self._began = self._took = 0.0
        self.identity, self.thresholds = classifier.identity, classifier.thresholds
        self.aclose = classifier.aclose

    @classmethod
    def loader(cls, load: Callable[[], Classifier], noted: Path) -> Callable[[], "Timed"]:
        """What loads one, in another process."""
        return partial(cls._loaded, load, noted)

    @classmethod
    def _loaded(cls, load: Callable[[], Classifier], noted: Path) -> "Timed":
        return cls(load(), noted)

    async def encode(self, texts):
        self._began = time.perf_counter()
        return await self._classifier.encode(texts)

    async def compare(self, pairs):
        found = await self._classifier.compare(pairs)
        # Later, so that nobody waits for the file, and the head has read the answer.
        asyncio.get_running_loop().call_later(0.1, self._note)
        return found

    def head(self):
        head = self._classifier.head()
        return SimpleNamespace(read=partial(self._read, head.read))

    def _read(self, read, role, vector):
        scores = read(role, vector)
        self._took = time.perf_counter() - self._began
        return scores

    def _note(self) -> None:
        new = self._noted.with_suffix(".new")
        new.write_text(str(self._took), encoding="ascii")
        new.replace(self._noted)


def constant() -> Classifier:
    """A classifier that costs nothing, so that the road alone is measured."""
    return FakeClassifier(i_know_this_is_fake=True)


def _shipped() -> Classifier:
    from classifiers.runtime import OnnxClassifier

    return OnnxClassifier.load()


async def sidecar(
    upstream: str, mode: Mode, load: Callable[[], Classifier], limit: int = 100_000
) -> web.Application:
    """The sidecar with the classifier that `load` gives; nothing is blocked, or refused below `limit`."""
    from monitor.engine import Engine
    from monitor.policy import Policy
    from monitor.recording import recorder
    from monitor.rulebook import Rulebook
    from monitor.store import Store
    from stream.proxy import Settings, create_app

    classifier = load()
    await classifier.encode(["warm up"])
    limits = {check: type(t)(flag=1.0, block=1.0) for check, t in classifier.thresholds.items()}
    # Measured is time: nothing is blocked, and queues may grow.
    policy = Rulebook(top=Policy(thresholds=limits, mode=mode, deadline_seconds=600.0))
    engine = Engine(classifier=classifier, policy=policy, record=recorder(Store.open("sqlite://")))
    return create_app(engine, Settings(upstream=upstream, max_responses=limit))


_NGINX_CONF = """
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream behind {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    keepalive_requests 1000000000;
    location / {{
      proxy_pass http://behind;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@contextmanager
def _nginx(upstream: str) -> Iterator[tuple[str, int]]:
    if not Path(NGINX).exists():
        raise FileNotFoundError("nginx")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        port, behind = free_port(), upstream.removeprefix("http://")
        config = Path(folder) / "nginx.conf"
        text = _NGINX_CONF.format(folder=folder, upstream=behind, port=port)
        config.write_text(text, encoding="utf-8")
        with _running([NGINX, "-p", folder, "-c", str(config)], port) as started:
            yield started


@contextmanager
def _litellm(upstream: str) -> Iterator[tuple[str, int]]:
    if not LITELLM.exists():
        raise FileNotFoundError("LiteLLM")
    with tempfile.TemporaryDirectory() as folder:
        config, port = Path(folder) / "config.yaml", free_port()
        config.write_text(
            "model_list:\n- model_name: m\n  litellm_params:\n    model: openai/m\n"
            f"    api_base: {upstream}/v1\n    api_key: none\n",
            encoding="utf-8",
        )
        command = [LITELLM, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        with _running([*map(str, command), "--num_workers", "1"], port) as started:
            yield started


@contextmanager
def _running(command: list[str], port: int) -> Iterator[tuple[str, int]]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **LITELLM_SETTINGS}, **quiet) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        try:
            if asyncio.run(wire.requests(f"http://127.0.0.1:{port}", 1.0)):
                return
        except (OSError, RuntimeError):
            time.sleep(0.2)
    raise RuntimeError(f"{process.args[0]} does not answer")


PROXIES: dict[str, Proxy] = {
    "none: straight to the server": _direct,
    "bare aiohttp": _ours(bare_proxy),
    "nginx": _nginx,
    "LiteLLM": _litellm,
    "sidecar, observe, scores of a constant": _ours(sidecar, Mode.OBSERVE, constant),
    "sidecar, hold, scores of a constant": _ours(sidecar, Mode.HOLD, constant),
    "sidecar, observe, shipped models": _ours(sidecar, Mode.OBSERVE, _shipped),
    "sidecar, hold, shipped models": _ours(sidecar, Mode.HOLD, _shipped),
}
