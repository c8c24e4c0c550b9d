"""TLS towards clients and towards the upstream; files that will not do are named and explained."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class TlsError(Exception):
    """A certificate or key cannot be used; the message says which file and why."""


def serving(certificate: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """How the sidecar shows itself; with `client_ca`, only clients that it vouches for may come.

    Without `key`, the key stands in the file of the certificate. Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _show(context, certificate, key)
    if client_ca is not None:
        context.load_verify_locations(cadata=_certificates(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def asking(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """How the upstream is checked, and what it is shown; None when there is nothing to say.

    `ca` stands in for the authorities that the system trusts. Raises TlsError.
    """
    if ca is None and certificate is None:
        return None
    context = ssl.create_default_context(cadata=_certificates(ca) if ca else None)
    if certificate is not None:
        _show(context, certificate, key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    _certificates(certificate)
    _check_key(key or certificate)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            message = f"The key in {key or certificate} is not that of {certificate}."
        else:
            message = f"{certificate} cannot be used: {error.reason or error}."
        raise TlsError(message) from error


def _certificates(path: Path) -> str:
    """The text of a file that holds certificates."""
    data = _bytes(path)
    try:
        x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise TlsError(f"{path} holds no certificate in PEM form.") from error
    return data.decode("ascii", errors="ignore")


def _check_key(path: Path) -> None:
    try:
        load_pem_private_key(_bytes(path), password=None)
    except TypeError as error:
        raise TlsError(f"The key in {path} asks for a passphrase; give one without.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsError(f"{path} holds no private key in PEM form.") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}.") from error
