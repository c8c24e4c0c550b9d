"""TLS towards clients and towards the upstream; files that will not do are named and explained."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
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
        _certificates(client_ca)
        with _using(client_ca):
            context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def asking(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """How the upstream is checked, and what it is shown.

    `ca` stands in for the authorities that the system trusts. Raises TlsError.
    """
    if ca is not None:
        _certificates(ca)
    with _using(ca):
        context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        _show(context, certificate, key)
    return context


def period(certificate: Path) -> tuple[datetime, datetime]:
    """From when to when the certificate that a file begins with is valid. Raises TlsError."""
    shown = _certificates(certificate)[0]
    return shown.not_valid_before_utc, shown.not_valid_after_utc


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    _certificates(certificate)
    _check_key(key or certificate)
    with _using(certificate, key or certificate):
        context.load_cert_chain(certificate, key)


@contextmanager
def _using(path: Path | None, key: Path | None = None) -> Iterator[None]:
    """Name the file that the library does not take, and say why."""
    try:
        yield
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"The key in {key} is not that of {path}.") from error
        raise TlsError(f"{path} cannot be used: {error.reason or error}.") from error
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}.") from error


def _certificates(path: Path) -> list[x509.Certificate]:
    """The certificates in a file; at least one."""
    try:
        return x509.load_pem_x509_certificates(_bytes(path))
    except ValueError as error:
        raise TlsError(f"{path} holds no certificate in PEM form.") from error


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
