"""The road from a model response to a recorded decision."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.scoring_api import score

__all__ = ["score"]


def __getattr__(name: str) -> object:
    """Load `score` when it is asked for: it needs the models, most of `monitor` does not."""
    if name == "score":
        from monitor.scoring_api import score  # noqa: PLC0415

        return score
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
