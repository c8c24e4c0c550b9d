"""`subtext serve`: sidecar, engine, store and dashboard in one process."""

import asyncio
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.errors import MonitorError
from monitor.metrics import Side
from monitor.opinions import Seconds
from monitor.retention import RetentionError, Rules
from monitor.types import Mode
from stream.cli.gate_options import (
    DEFAULT_SPOOL,
    GateBootstrap,
    GateCa,
    GateCert,
    GateCertKey,
    GateKind,
    GatePrefix,
    GateSasl,
    GateTls,
    GateUser,
    GateWait,
    Kind,
    SpoolFolder,
    SpoolMib,
    open_gate,
)
from stream.cli.hooks import SlackWebhook, Webhook, WebhookSecret, told_to
from stream.cli.options import (
    DEFAULT_DATABASE,
    DEFAULT_KEY_FILE,
    ContentKeys,
    Database,
    FollowedPolicyFile,
    KeyFile,
    ModelDir,
    calibrated,
    fail,
    is_web_address,
    obey,
    open_archive,
    open_classifier,
    open_key,
    open_places,
    open_vault,
)
from stream.cli.sign_on import (
    OidcClaim,
    OidcClient,
    OidcDefault,
    OidcIssuer,
    OidcOnly,
    OidcRole,
    OidcScope,
    OidcSecret,
    provider_of,
)
from stream.cli.tls import (
    DashboardTlsCert,
    DashboardTlsClientCa,
    DashboardTlsKey,
    TlsCert,
    TlsClientCa,
    TlsKey,
    UpstreamCa,
    UpstreamCert,
    UpstreamKey,
    door_tls,
    upstream_tls,
)
from stream.reload import PolicySource

if TYPE_CHECKING:
    from classifiers.port import Classifier
    from monitor.engine import Engine
    from stream.kafka.gate import Gate
    from stream.otel import Exporting

#: Groups of options in the help.
_DASHBOARD, _ORIGIN = "Dashboard and API", "Whose requests these are"
_RECORD, _LIMITS = "What the record keeps", "Limits"


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
        str, typer.Option(help="Address of dashboard and API.", rich_help_panel=_DASHBOARD)
    ] = "127.0.0.1",
    dashboard_port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Port of dashboard and API.", rich_help_panel=_DASHBOARD
        ),
    ] = 8081,
    unauthenticated_dashboard: Annotated[
        bool,
        typer.Option(
            "--unauthenticated-dashboard",
            help="Accept that whoever reaches the dashboard reads every trace, while no user "
            "exists (`subtext user add`).",
            rich_help_panel=_DASHBOARD,
        ),
    ] = False,
    dashboard_name: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name that browsers know the dashboard by, beside its address: "
            "monitor.example.com. Can be repeated.",
            rich_help_panel=_DASHBOARD,
        ),
    ] = None,
    dashboard_url: Annotated[
        str,
        typer.Option(
            envvar="SUBTEXT_DASHBOARD_URL",
            help="Address of the dashboard for links in messages: https://monitor.example.com.",
            rich_help_panel=_DASHBOARD,
        ),
    ] = "",
    webhook: Webhook = None,
    webhook_secret_file: WebhookSecret = None,
    slack_webhook: SlackWebhook = None,
    oidc_issuer: OidcIssuer = "",
    oidc_client_id: OidcClient = "",
    oidc_client_secret_file: OidcSecret = None,
    oidc_scope: OidcScope = "openid profile email",
    oidc_claim: OidcClaim = "groups",
    oidc_role: OidcRole = None,
    oidc_default_role: OidcDefault = None,
    oidc_only: OidcOnly = False,
    second_review: Annotated[
        list[str] | None,
        typer.Option(
            envvar="SUBTEXT_SECOND_REVIEW",
            help="Ask a second person, who does not know the first answer: about `blocks`, about "
            "`all`, or about so many of what is answered, by chance: 10%. Can be repeated.",
            rich_help_panel=_DASHBOARD,
        ),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(help="Overrides the policy, rules included: observe, hold or buffer."),
    ] = None,
    policy: FollowedPolicyFile = None,
    tenant: Annotated[
        str, typer.Option(help="Tenant whose requests these are.", rich_help_panel=_ORIGIN)
    ] = "",
    tenant_header: Annotated[
        str,
        typer.Option(
            envvar="SUBTEXT_TENANT_HEADER",
            help="Header that names the tenant: x-tenant. It is believed, so your gateway must set "
            "it and drop what clients send under that name.",
            rich_help_panel=_ORIGIN,
        ),
    ] = "",
    conversation_header: Annotated[
        str,
        typer.Option(
            envvar="SUBTEXT_CONVERSATION_HEADER",
            help="Header that names the conversation, before what the request itself says.",
            rich_help_panel=_ORIGIN,
        ),
    ] = "",
    model: ModelDir = None,
    other_model: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="SUBTEXT_OTHER_MODEL",
            help="Another model folder, with which a stored trace can be scored once more on its "
            "page; nothing of that is recorded. Can be repeated; each takes memory.",
            rich_help_panel=_DASHBOARD,
        ),
    ] = None,
    database: Database = DEFAULT_DATABASE,
    key_file: KeyFile = DEFAULT_KEY_FILE,
    content_keys: ContentKeys = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            envvar="SUBTEXT_CHECKPOINTS",
            help="Folder for copies of the signed checkpoints: best one that others keep.",
            rich_help_panel=_RECORD,
        ),
    ] = None,
    publish_checkpoints: Annotated[
        list[str] | None,
        typer.Option(
            envvar="SUBTEXT_PUBLISH_CHECKPOINTS",
            help="Send every signed checkpoint to a place that others hold: git:FOLDER, a working "
            "copy that is committed to and pushed; s3://BUCKET/PATH and other object stores; or a "
            "folder. Sent again until it is there. Can be repeated.",
            rich_help_panel=_RECORD,
        ),
    ] = None,
    keep_text: Annotated[
        list[str] | None,
        typer.Option(
            envvar="SUBTEXT_KEEP_TEXT",
            help="Erase texts of traces when they are older: 30d, and acme=7d for a tenant that has"
            " another age. Can be repeated. Without it they stay.",
            rich_help_panel=_RECORD,
        ),
    ] = None,
    keep_allowed_text: Annotated[
        str | None,
        typer.Option(
            envvar="SUBTEXT_KEEP_ALLOWED_TEXT",
            help="Likewise, sooner, of what was judged in full and allowed: 3d.",
            rich_help_panel=_RECORD,
        ),
    ] = None,
    upstream_timeout: Annotated[
        float,
        typer.Option(
            help="Seconds without a byte before the upstream counts as broken off.",
            rich_help_panel=_LIMITS,
        ),
    ] = 300.0,
    otel: Annotated[
        bool,
        typer.Option(
            "--otel",
            envvar="SUBTEXT_OTEL",
            help="Send a span per judged response over OTLP, as OTEL_EXPORTER_OTLP_ENDPOINT and"
            " the other OTEL_* variables say. Needs `pip install 'subtext[otel]'`.",
        ),
    ] = False,
    client_timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Seconds for a client to send a request's head, then its body, and to take each "
            "piece of its response; slower ones lose their connection.",
            rich_help_panel=_LIMITS,
        ),
    ] = 60.0,
    max_responses: Annotated[
        int,
        typer.Option(
            min=1,
            help="Responses under judgement at once; more are refused with 503.",
            rich_help_panel=_LIMITS,
        ),
    ] = 256,
    max_held_mib: Annotated[
        int,
        typer.Option(
            min=1,
            help="MiB of requests and responses held at once; more are refused with 503.",
            rich_help_panel=_LIMITS,
        ),
    ] = 1024,
    starts_in_thinking: Annotated[
        bool,
        typer.Option(
            "--starts-in-thinking",
            help="The chat template opens <think> itself: text is thinking until </think>.",
        ),
    ] = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    dashboard_tls_cert: DashboardTlsCert = None,
    dashboard_tls_key: DashboardTlsKey = None,
    dashboard_tls_client_ca: DashboardTlsClientCa = None,
    upstream_ca: UpstreamCa = None,
    upstream_cert: UpstreamCert = None,
    upstream_key: UpstreamKey = None,
    gate: Kind = GateKind.LOCAL,
    bootstrap: GateBootstrap = "",
    kafka_prefix: GatePrefix = "subtext",
    kafka_tls: GateTls = False,
    kafka_ca: GateCa = None,
    kafka_cert: GateCert = None,
    kafka_cert_key: GateCertKey = None,
    kafka_sasl: GateSasl = "",
    kafka_user: GateUser = "",
    kafka_wait: GateWait = 10.0,
    spool: SpoolFolder = DEFAULT_SPOOL,
    spool_mib: SpoolMib = 1024,
) -> None:
    """Judge what a model thinks and says, between its server and its users.

    Point your client at the sidecar instead of the server; everything else stays as it is.
    """
    if demo == (upstream is not None):
        raise fail("Say either --upstream http://host:8000 or --demo.")
    if upstream is not None and not is_web_address(upstream):
        raise fail(f"--upstream must be an http:// or https:// address, not {upstream!r}.")
    if demo and tls_cert is not None:
        raise fail("The demo asks itself over plain HTTP: --tls-cert goes with --upstream.")
    for name in (tenant_header, conversation_header):
        _check_header(name)
    retention = _rules(keep_text or [], keep_allowed_text)
    # Half of the start-up time of every other command, were it at the top.
    from monitor.notary import Notary  # noqa: PLC0415
    from stream.proxy import Settings  # noqa: PLC0415
    from stream.server import Addresses, Server  # noqa: PLC0415

    tls = door_tls(Side.SIDECAR, tls_cert, tls_key, tls_client_ca)
    dashboard_tls = door_tls(
        Side.DASHBOARD, dashboard_tls_cert, dashboard_tls_key, dashboard_tls_client_ca
    )
    towards = upstream_tls(upstream, upstream_ca, upstream_cert, upstream_key)
    seconds = _seconds(second_review or [])
    provider = provider_of(
        issuer=oidc_issuer,
        client_id=oidc_client_id,
        secret_file=oidc_client_secret_file,
        scope=oidc_scope,
        claim=oidc_claim,
        roles=oidc_role,
        default=oidc_default_role,
        only=oidc_only,
        dashboard_url=dashboard_url,
    )
    hooks = told_to(webhook, webhook_secret_file, slack_webhook, dashboard_url)
    exporting = _open_telemetry() if otel else None
    store = open_archive(database, keys=content_keys)
    guarded = provider is not None or store.accounts.anyone()
    if not (unauthenticated_dashboard or _loopback(dashboard_host) or guarded):
        store.close()
        raise fail(
            f"The dashboard shows every trace and there is no user who could log in: "
            f"{dashboard_host} is reachable from other machines. Add one (`subtext user add`), or "
            "say --unauthenticated-dashboard to accept that."
        )
    key, vault = open_key(key_file), open_vault(checkpoints)
    places = open_places(publish_checkpoints or [])
    elsewhere: Gate | None = None
    classifier: Classifier
    if gate is GateKind.KAFKA:
        elsewhere = open_gate(
            bootstrap=bootstrap,
            prefix=kafka_prefix,
            tls=kafka_tls,
            ca=kafka_ca,
            cert=kafka_cert,
            cert_key=kafka_cert_key,
            sasl=kafka_sasl,
            user=kafka_user,
            wait=kafka_wait,
            spool=spool,
            spool_mib=spool_mib,
        )
        classifier = elsewhere.classifier(calibrated(model))
    else:
        classifier = open_classifier(model)
    source = PolicySource(file=policy, defaults=dict(classifier.thresholds), mode=mode)
    server = Server(
        classifier=classifier,
        store=store,
        source=source,
        policy=obey(source),
        notary=Notary(store, key, vault),
        places=places,
        retention=retention,
        settings=Settings(
            upstream=upstream or "",
            upstream_timeout=upstream_timeout,
            upstream_tls=towards,
            tenant=tenant,
            tenant_header=tenant_header,
            conversation_header=conversation_header,
            client_timeout=client_timeout,
            max_responses=max_responses,
            max_held_bytes=max_held_mib * 1024 * 1024,
            starts_in_thinking=starts_in_thinking,
        ),
        tls=tls,
        dashboard_tls=dashboard_tls,
        addresses=Addresses(
            host=host,
            port=port,
            dashboard_host=dashboard_host,
            dashboard_port=dashboard_port,
            dashboard_names=tuple(dashboard_name or ()),
            public_url=dashboard_url.rstrip("/"),
        ),
        hooks=hooks,
        seconds=seconds,
        provider=provider,
        others=_others(other_model or [], policy, mode),
        demo=demo,
        gate=elsewhere,
        tracer=exporting.tracer if exporting else None,
    )
    try:
        asyncio.run(server.run())
    except OSError as error:
        raise fail(f"Could not start: {error.strerror or error}.") from error
    except MonitorError as error:
        raise fail(f"Could not start: {error}.") from error
    finally:
        if exporting:
            exporting.close()


def _open_telemetry() -> "Exporting":
    """Prepare OpenTelemetry, or stop with the reason why it cannot be used."""
    try:
        from stream.otel import Exporting  # noqa: PLC0415 -- only when it is wanted

        return Exporting.from_environment()
    except ImportError as error:
        raise fail("--otel needs OpenTelemetry: pip install 'subtext[otel]'.") from error
    except ValueError as error:
        raise fail(f"--otel: {error}") from error


def _others(folders: list[Path], policy: Path | None, mode: Mode | None) -> tuple["Engine", ...]:
    """Load further models; where the policy sets no thresholds, each has its own."""
    from monitor.engine import Engine  # noqa: PLC0415 -- likewise
    from monitor.recording import forget  # noqa: PLC0415

    found = []
    for folder in folders:
        classifier = open_classifier(folder)
        source = PolicySource(file=policy, defaults=dict(classifier.thresholds), mode=mode)
        found.append(Engine(classifier=classifier, policy=obey(source), record=forget))
    return tuple(found)


def _rules(texts: list[str], allowed: str | None) -> Rules:
    """Read for how long texts are kept, or stop with what is wrong."""
    try:
        return Rules.read(texts, allowed)
    except RetentionError as error:
        raise fail(f"--keep-text: {error}.") from error


def _seconds(words: list[str]) -> Seconds:
    """Read about what a second person is asked, or stop with what is wrong."""
    try:
        return Seconds.read(words)
    except ValueError as error:
        raise fail("--second-review: say off, blocks, all, or a share such as 10%.") from error


def _check_header(name: str) -> None:
    """Refuse what can be no name of a header (RFC 9110 section 5.1)."""
    if name and not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
        raise fail(f"{name!r} cannot be the name of a header.")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
