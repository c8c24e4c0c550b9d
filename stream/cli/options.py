"""Options that several commands share, and what they open."""

import os
from pathlib import Path
from typing import Annotated

import typer
from yarl import URL

from classifiers.artefact import default_artefact, load
from classifiers.batcher import DEFAULT_QUEUE_TOKENS
from classifiers.errors import ArtefactError
from classifiers.port import Check, Thresholds
from classifiers.runtime import OnnxClassifier
from monitor.errors import PolicyError
from monitor.rulebook import Rulebook
from monitor.sealing import FILE_VARIABLE, KEY_VARIABLE, ContentKeyError, Keyring
from monitor.signing import KeyFileError, SigningKey
from monitor.store import Store, StoreError
from monitor.vault import Vault
from stream.places import Place, PlaceError, place_of
from stream.reload import PolicySource

#: What `subtext` exits with when it cannot start or was told something impossible.
EXIT_ERROR = 64

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        envvar="SUBTEXT_POLICY",
        help="Policy file (TOML). Without it: HOLD, fail-closed, calibrated thresholds.",
    ),
]
FollowedPolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        envvar="SUBTEXT_POLICY",
        help="Policy file (TOML), followed while running: edits hold for responses that begin "
        "then. Without it: HOLD, fail-closed, calibrated thresholds.",
    ),
]
ModelDir = Annotated[
    Path | None,
    typer.Option(
        "--model", envvar="SUBTEXT_MODEL", help="Model folder. Default: the one that ships."
    ),
]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="SUBTEXT_DATABASE",
        help="SQLAlchemy address of the audit store.",
    ),
]
DEFAULT_DATABASE = "sqlite:///subtext.db"
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key-file",
        envvar="SUBTEXT_KEY_FILE",
        help="Private key that signs checkpoints of the record; made at first use.",
    ),
]
DEFAULT_KEY_FILE = Path("subtext.key")
ContentKeys = Annotated[
    Path | None,
    typer.Option(
        "--content-keys",
        envvar=FILE_VARIABLE,
        help=f"File with the keys that encrypt the texts in the store (docs/audit.md). Or put one "
        f"key into {KEY_VARIABLE}.",
    ),
]


def fail(message: str) -> typer.Exit:
    """Print what is wrong and return the exit to raise."""
    typer.secho(message, fg=typer.colors.RED, err=True)
    return typer.Exit(EXIT_ERROR)


def open_classifier(
    folder: Path | None, queue_tokens: int = DEFAULT_QUEUE_TOKENS
) -> OnnxClassifier:
    """Load the model; a folder that is not what its manifest says is refused."""
    try:
        return OnnxClassifier.load(folder, queue_tokens=queue_tokens)
    except ArtefactError as error:
        raise fail(f"The model was refused: {error}") from error


def calibrated(folder: Path | None) -> dict[Check, Thresholds]:
    """The thresholds that calibration recommends, without loading the model into memory."""
    try:
        return dict(load(folder or default_artefact()).thresholds)
    except ArtefactError as error:
        raise fail(f"The model was refused: {error}") from error


def read_policy(file: Path | None, defaults: dict[Check, Thresholds]) -> Rulebook:
    """Read the policy, or stop with the reason why it cannot be obeyed."""
    return obey(PolicySource(file=file, defaults=defaults))


def obey(source: PolicySource) -> Rulebook:
    """Read the policy from where it stands, or stop with the reason why it cannot be obeyed."""
    try:
        return source.read()
    except PolicyError as error:
        raise fail(str(error)) from error


def open_store(url: str, *, must_exist: bool = False, keys: Path | None = None) -> Store:
    """Open and migrate the audit store, or stop with the reason.

    `keys` decrypt and encrypt texts, or else those that the environment names.
    """
    try:
        return Store.open(url, must_exist=must_exist, keys=Keyring.read(keys, os.environ))
    except (StoreError, ContentKeyError) as error:
        raise fail(str(error)) from error


def open_archive(url: str, *, keys: Path | None = None) -> Store:
    """Likewise, to put verdicts in; refuses to put texts in the clear beside encrypted ones."""
    store = open_store(url, keys=keys)
    if not store.keys and store.has_encrypted():
        store.close()
        raise fail(
            f"Texts in this database are encrypted, and new ones would not be: say --content-keys, "
            f"or set {FILE_VARIABLE} or {KEY_VARIABLE}."
        )
    return store


def open_key(path: Path) -> SigningKey:
    """Read the key that signs checkpoints, or make it; stop with the reason when neither works."""
    try:
        return SigningKey.load_or_create(path)
    except KeyFileError as error:
        raise fail(f"{error}. Another place: --key-file.") from error


def open_vault(folder: Path | None) -> Vault | None:
    """Make the folder for copies of checkpoints, or stop with the reason why it is none."""
    try:
        return None if folder is None else Vault.open(folder)
    except OSError as error:
        raise fail(f"--checkpoints: {folder}: {error.strerror}.") from error


def open_places(addresses: list[str]) -> dict[str, Place]:
    """Find where checkpoints go to, or stop with the reason why one cannot be meant."""
    try:
        return {address: place_of(address) for address in addresses}
    except PlaceError as error:
        raise fail(f"Checkpoints cannot be published: {error}.") from error


def is_web_address(text: str) -> bool:
    """Whether `text` is an http or https address."""
    try:
        return URL(text).scheme in ("http", "https")
    except ValueError:
        return False
