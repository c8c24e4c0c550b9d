"""A dashboard on a loopback port, and Debian's Chromium to open it."""

import asyncio
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import sync_playwright

from dashboard.app import create_app
from monitor.health import Health
from monitor.recording import recorder
from monitor.store import Store
from monitor.types import Verdict
from tests.support import engine, rulebook

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# The driver keeps an event loop running in this thread: by module, so that no other test meets it.
@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is not installed: run `make chromium` (Debian, root or sudo).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Site:
    """A dashboard that is being served."""

    url: str
    store: Store

    def judge(self, trace) -> Verdict:
        return self.judge_all([trace])[0]

    def judge_all(self, traces) -> list[Verdict]:
        async def all_of_them():
            mind = engine(record=recorder(self.store))
            return [await mind.judge(trace) for trace in traces]

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(all_of_them())).result()


@contextmanager
def serving():
    """A dashboard with an empty store, while it is served."""
    store = Store.open("sqlite://")
    app = create_app(
        store=store,
        judge=engine(record=recorder(store)).judge,
        policy=rulebook,
        health=Health({}),
        try_line="curl -s http://localhost:1/v1/chat/completions",
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Site(url=f"http://127.0.0.1:{listener.getsockname()[1]}", store=store)
        server.should_exit = True
        thread.join()
    store.close()


@pytest.fixture
def site():
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def shared_site():
    """One for all tests of a module, which only look at it."""
    with serving() as found:
        yield found


@dataclass
class Watched:
    """A page and everything on it that must not happen."""

    page: object
    faults: list[str]

    def until(self, expression, seconds=10):
        """Wait for what a page's own scripts may not evaluate: the policy refuses `eval`."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"never became true: {expression}"
            self.page.wait_for_timeout(30)

    def calm(self):
        assert self.faults == []
        assert self.page.evaluate("window.__ran") is None


@pytest.fixture
def watched(chromium, site):
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    faults: list[str] = []
    own = urlsplit(site.url).netloc
    page.on("dialog", lambda d: (faults.append(f"dialog {d.message}"), d.dismiss()))
    page.on("pageerror", lambda e: faults.append(f"error {e}"))
    page.on(
        "console",
        lambda m: faults.append(f"console {m.text}") if m.type in ("error", "warning") else None,
    )
    page.on("popup", lambda p: faults.append(f"popup {p.url}"))
    page.on("download", lambda d: faults.append(f"download {d.url}"))
    page.on(
        "request",
        lambda r: None if urlsplit(r.url).netloc == own else faults.append(f"request {r.url}"),
    )
    yield Watched(page=page, faults=faults)
    context.close()
