"""Where checkpoints go so that others hold them: a git repository, an object store, a folder."""

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from monitor.errors import MonitorError
from monitor.store import StoredCheckpoint
from monitor.vault import SUFFIX, Vault
from stream.rescore.errors import RescoreError

GIT = "git:"
#: Longest that a git command may take; pushing reaches over the network.
_GIT_SECONDS = 120
_GIT_ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Subtext",
    "GIT_AUTHOR_EMAIL": "subtext@localhost",
    "GIT_COMMITTER_NAME": "Subtext",
    "GIT_COMMITTER_EMAIL": "subtext@localhost",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


class PlaceError(MonitorError):
    """Checkpoints cannot be put somewhere; the message says why, without secrets of an address."""


class Place(Protocol):
    """Somewhere outside the database. Blocks, and may be called from any thread."""

    @property
    def name(self) -> str:
        """What to call it, without secrets."""
        ...

    def put(self, checkpoints: Sequence[StoredCheckpoint]) -> None:
        """Put these there, but for those that are; PlaceError when that did not work in full."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of this machine, or one that it has mounted."""

    vault: Vault

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.vault.folder)

    def put(self, checkpoints: Sequence[StoredCheckpoint]) -> None:
        """Write a file for each."""
        try:
            for checkpoint in checkpoints:
                self.vault.put(checkpoint.size, checkpoint.note)
        except OSError as error:
            raise PlaceError(f"{self.name}: {error.strerror}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A working copy of a git repository: each time, a commit, and a push if it follows another."""

    folder: Folder

    @property
    def name(self) -> str:
        """Its path."""
        return f"{GIT}{self.folder.name}"

    def put(self, checkpoints: Sequence[StoredCheckpoint]) -> None:
        """Commit a file for each, and no other change that may be there; then push."""
        self.folder.put(checkpoints)
        names = [_file(checkpoint) for checkpoint in checkpoints]
        if self._git("status", "--porcelain", "--", *names).strip():
            self._git("add", "--", *names)
            told = f"Checkpoint of {checkpoints[-1].size} records"
            self._git("commit", "--quiet", "--message", told, "--only", "--", *names)
        if self._git("for-each-ref", "--format=%(upstream)", self._head()).strip():
            # With what could not be pushed the last time.
            self._git("push", "--quiet")

    def check(self) -> None:
        """Raise PlaceError when there is no working copy."""
        if self._git("rev-parse", "--is-inside-work-tree").strip() != "true":
            raise PlaceError(f"{self.name} is no working copy")

    def _head(self) -> str:
        return self._git("symbolic-ref", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        """Run git; nothing that it could ask of a person is answered."""
        kept = {name: value for name, value in os.environ.items() if not _of_git(name)}
        try:
            done = subprocess.run(  # noqa: S603 - no shell; names are ours
                ["git", "-C", self.folder.name, *arguments],  # noqa: S607 - as the operator has it
                capture_output=True,
                check=True,
                env={**kept, **_GIT_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=_GIT_SECONDS,
            )
        except FileNotFoundError as error:
            raise PlaceError("git is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise PlaceError(f"{self.name}: git {arguments[0]} took too long") from error
        except subprocess.CalledProcessError as error:
            raise PlaceError(f"{self.name}: git {arguments[0]}: {_last(error.stderr)}") from error
        return done.stdout


def _of_git(name: str) -> bool:
    """Whether a variable would lead git to another repository than the one that is meant."""
    return name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


def _last(told: str) -> str:
    """The last line of what git said, without a password of the remote's address."""
    lines = told.strip().splitlines()
    return re.sub(r"://[^/@\s]*@", "://", lines[-1]) if lines else "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """A path in an object store."""

    address: str

    @property
    def name(self) -> str:
        """Its address, without settings and secrets."""
        from stream.rescore.remote import shown  # noqa: PLC0415 -- needs pyarrow

        return shown(self.address)

    def put(self, checkpoints: Sequence[StoredCheckpoint]) -> None:
        """Write an object for each; one that is there is left alone, as write-once buckets want."""
        from stream.rescore.remote import put_new  # noqa: PLC0415 -- needs pyarrow

        for checkpoint in checkpoints:
            try:
                put_new(self.address, _file(checkpoint), checkpoint.note.encode())
            except (OSError, RescoreError) as error:
                raise PlaceError(f"{self.name}: {error}") from error


def _file(checkpoint: StoredCheckpoint) -> str:
    return f"{checkpoint.size:020}{SUFFIX}"


def cursor_of(address: str) -> str:
    """Name in the database how far a place has been served; its address may hold secrets."""
    return f"checkpoints-{hashlib.sha256(address.encode()).hexdigest()[:12]}"


def place_of(address: str) -> Place:
    """Return the place that an address means; PlaceError when it cannot be one."""
    if address.startswith(GIT):
        found = Repository(folder=_folder(Path(address.removeprefix(GIT))))
        found.check()
        return found
    if "://" not in address:
        return _folder(Path(address))
    if address.startswith("file://"):
        return _folder(Path(unquote(urlsplit(address).path)))
    try:
        from stream.rescore.remote import system_of  # noqa: PLC0415 -- needs pyarrow

        system_of(address)
    except ImportError as error:
        raise PlaceError("object stores need pip install 'subtext[rescore]'") from error
    except RescoreError as error:
        raise PlaceError(str(error)) from error
    return Objects(address=address)


def _folder(path: Path) -> Folder:
    try:
        return Folder(vault=Vault.open(path))
    except OSError as error:
        raise PlaceError(f"{path}: {error.strerror}") from error
