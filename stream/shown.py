"""What a server runs with, in words for the console; secrets are left out."""

import ssl
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from yarl import URL

from monitor.single_sign_on import Provider
from stream.hooks import Hook
from stream.renewal import Renewable

if TYPE_CHECKING:
    from stream.server import Server


def settings_shown(server: "Server", sidecar: str) -> Mapping[str, Mapping[str, str]]:
    """Every setting under the name of its group."""
    return {
        "Judging": _judging(server),
        "Upstream": _upstream(server),
        "Sidecar": _sidecar(server, sidecar),
        "Dashboard": _dashboard(server),
        "Record": _record(server),
    }


def _judging(server: "Server") -> Mapping[str, str]:
    source = server.source
    followed = source is not None and source.file is not None
    return {
        "Subtext": version("subtext"),
        "Model": server.classifier.identity.model,
        "Calibration": server.classifier.identity.calibration,
        "Other models, to score again with": _others(server),
        "Policy file": str(source.file) if source and followed else "none: --policy names one",
        "Mode above the file's": source.mode.value if source and source.mode else "none",
    }


def _others(server: "Server") -> str:
    names = ", ".join(other.classifier.identity.model for other in server.others)
    return names or "none: --other-model names a folder"


def _upstream(server: "Server") -> Mapping[str, str]:
    settings = server.settings
    return {
        "Address": "recorded responses (--demo)" if server.demo else _plain(settings.upstream),
        "Broken off after": f"{settings.upstream_timeout:g} s without a byte",
        "TLS": _tls(settings.upstream_tls, "as the system does"),
        "Template opens the thinking": "yes" if settings.starts_in_thinking else "no",
    }


def _sidecar(server: "Server", address: str) -> Mapping[str, str]:
    settings = server.settings
    return {
        "Address": address,
        "TLS": _tls(server.tls, "none"),
        "Clients get": f"{settings.client_timeout:g} s",
        "Responses at once": f"{settings.max_responses:,}",
        "Held at once": f"{settings.max_held_bytes >> 20:,} MiB",
        "Tenant": settings.tenant or "none",
        "Header of the tenant": settings.tenant_header or "none",
        "Header of the conversation": settings.conversation_header or "none",
    }


def _dashboard(server: "Server") -> Mapping[str, str]:
    where = server.addresses
    return {
        "Address": where.dashboard_host,
        "TLS": _tls(server.dashboard_tls, "none"),
        "Other names": ", ".join(where.dashboard_names) or "none",
        "People sign in by": _provider(server.provider),
        "Second opinions": str(server.seconds),
        "Messages go to": ", ".join(_told(hook) for hook in server.hooks) or "nobody",
        "OpenTelemetry": "on" if server.tracer else "off",
    }


def _provider(provider: Provider | None) -> str:
    if provider is None:
        return "passwords"
    return provider.issuer if provider.only else f"{provider.issuer}, or passwords"


def _record(server: "Server") -> Mapping[str, str]:
    notary = server.notary
    return {
        "Database": server.store.address,
        "Checkpoints signed by": "nobody" if notary is None else notary.name,
        "Checkpoints are sent to": ", ".join(p.name for p in server.places.values()) or "nowhere",
        "Copies of checkpoints": (notary and notary.copies) or "none: --checkpoints names a folder",
    }


def _told(hook: Hook) -> str:
    """A hook without the part of its address that may be secret."""
    kind = "Slack" if hook.secret is None else "webhook"
    return f"{URL(hook.url).origin()} ({kind})"


def _plain(address: str) -> str:
    """An address without what it may hold of a password or a key."""
    return str(URL(address).with_user(None).with_password(None).with_query(None))


def _tls(tls: Renewable | None, otherwise: str) -> str:
    if tls is None:
        return otherwise
    asked = tls.context.verify_mode is ssl.CERT_REQUIRED
    return "on, the other side's certificate is checked" if asked else "on"
