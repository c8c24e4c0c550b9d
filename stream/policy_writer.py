"""Writes the policy file that the server follows, whole or not at all."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Self

from classifiers.port import Check, Thresholds
from dashboard.port import Draft
from monitor.errors import PolicyError
from monitor.policy_edit import with_thresholds
from stream.reload import PolicySource


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPolicy:
    """The policy file, as the console changes it; `stream.reload` takes it up like any edit."""

    file: Path
    source: PolicySource
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, source: PolicySource | None) -> Self | None:
        """The file of a source, if it has one."""
        if source is None or source.file is None:
            return None
        return cls(file=source.file, source=source)

    @property
    def name(self) -> str:
        """Where the file is."""
        return str(self.file)

    def version(self) -> str:
        """The version of the file as it stands; PolicyError when it cannot be obeyed."""
        return self.source.read().version

    def draft(self, check: Check, limits: Thresholds) -> Draft:
        """The file with other thresholds at its top; PolicyError when that is not possible."""
        before = self.source.text()
        after = with_thresholds(before, check, limits, self.source.defaults)
        return Draft(before=before, after=after, book=self.source.understood(after))

    def write(self, draft: Draft) -> None:
        """Replace the file as a whole; PolicyError when it is not what was drafted from."""
        with self._turn:
            if self.source.text() != draft.before:
                raise PolicyError("The policy file was changed meanwhile: read it again.")
            try:
                _replace(self.file.resolve(), draft.after)
            except OSError as error:
                raise PolicyError(
                    f"The policy file cannot be written: {error.strerror}."
                ) from error


def _replace(file: Path, text: str) -> None:
    """Let no reader and no crash see half of it; who may read the file stays as it was."""
    with NamedTemporaryFile("wb", dir=file.parent, prefix=f".{file.name}.", delete=False) as made:
        try:
            made.write(text.encode())
            made.flush()
            os.fchmod(made.fileno(), file.stat().st_mode & 0o777)
            os.fsync(made.fileno())
            Path(made.name).replace(file)
        except BaseException:
            Path(made.name).unlink(missing_ok=True)
            raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
