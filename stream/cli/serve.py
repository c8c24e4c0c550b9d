"""`subtext serve`: sidecar, engine, store and dashboard in one process."""

import asyncio
import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from monitor.types import Mode
from stream.cli.options import (
    DEFAULT_DATABASE,
    DEFAULT_KEY_FILE,
    Database,
    KeyFile,
    ModelDir,
    PolicyFile,
    fail,
    is_web_address,
    open_classifier,
    open_key,
    open_store,
    open_vault,
    read_policy,
)


def serve(
    upstream: Annotated[
        str | None,
        typer.Option(
            envvar="SUBTEXT_UPSTREAM", help="Server to stand in front of: http://host:8000"
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Replay recorded responses instead of an upstream.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address of the sidecar.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the sidecar; 0 takes a free one.")
    ] = 8080,
    dashboard_host: Annotated[
        str, typer.Option(help="Address of dashboard and API.")
    ] = "127.0.0.1",
    dashboard_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of dashboard and API.")
    ] = 8081,
    unauthenticated_dashboard: Annotated[
        bool,
        typer.Option(
            "--unauthenticated-dashboard",
            help="Accept that whoever reaches the dashboard reads every trace, while no user "
            "exists (`subtext user add`).",
        ),
    ] = False,
    dashboard_name: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name that browsers know the dashboard by, beside its address: "
            "monitor.example.com. Can be repeated."
        ),
    ] = None,
    mode: Annotated[
        Mode | None, typer.Option(help="Overrides the policy: observe, hold or buffer.")
    ] = None,
    policy: PolicyFile = None,
    model: ModelDir = None,
    database: Database = DEFAULT_DATABASE,
    key_file: KeyFile = DEFAULT_KEY_FILE,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            envvar="SUBTEXT_CHECKPOINTS",
            help="Folder for copies of the signed checkpoints: best one that others keep.",
        ),
    ] = None,
    upstream_timeout: Annotated[
        float, typer.Option(help="Seconds without a byte before the upstream counts as broken off.")
    ] = 300.0,
    starts_in_thinking: Annotated[
        bool,
        typer.Option(
            "--starts-in-thinking",
            help="The chat template opens <think> itself: text is thinking until </think>.",
        ),
    ] = False,
) -> None:
    """Judge what a model thinks and says, between its server and its users.

    Point your client at the sidecar instead of the server; everything else stays as it is.
    """
    if demo == (upstream is not None):
        raise fail("Say either --upstream http://host:8000 or --demo.")
    if upstream is not None and not is_web_address(upstream):
        raise fail(f"--upstream must be an http:// or https:// address, not {upstream!r}.")
    # Half of the start-up time of every other command, were it at the top.
    from monitor.notary import Notary  # noqa: PLC0415
    from stream.proxy import Settings  # noqa: PLC0415
    from stream.server import Addresses, Server  # noqa: PLC0415

    store = open_store(database)
    if not (unauthenticated_dashboard or _loopback(dashboard_host) or store.accounts.anyone()):
        store.close()
        raise fail(
            f"The dashboard shows every trace and there is no user who could log in: "
            f"{dashboard_host} is reachable from other machines. Add one (`subtext user add`), or "
            "say --unauthenticated-dashboard to accept that."
        )
    key, vault = open_key(key_file), open_vault(checkpoints)
    classifier = open_classifier(model)
    rules = read_policy(policy, dict(classifier.thresholds))
    if mode is not None:
        rules = rules.in_mode(mode)
    server = Server(
        classifier=classifier,
        store=store,
        policy=rules,
        notary=Notary(store, key, vault),
        settings=Settings(
            upstream=upstream or "",
            upstream_timeout=upstream_timeout,
            starts_in_thinking=starts_in_thinking,
        ),
        addresses=Addresses(
            host=host,
            port=port,
            dashboard_host=dashboard_host,
            dashboard_port=dashboard_port,
            dashboard_names=tuple(dashboard_name or ()),
        ),
        demo=demo,
    )
    try:
        asyncio.run(server.run())
    except OSError as error:
        raise fail(f"Could not start: {error.strerror or error}.") from error


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
