"""What both trainings share: seeds, learning rates, checkpoints, a progress bar."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from tqdm import tqdm

Batch = TypeVar("Batch")
#: About the standard error of an AUROC over a hundred records.
MARGIN: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Generic[Batch]):
    """One training run."""

    name: str
    folder: Path
    epochs: int
    model: nn.Module
    #: Parameter groups with their peak learning rates.
    groups: Sequence[tuple[Iterable[nn.Parameter], float]]
    #: The batches of an epoch; a pure function of the epoch, so that a run can be resumed.
    batches: Callable[[int], Sequence[Batch]]
    loss: Callable[[Batch], Tensor]
    #: What is read off data not trained on, the higher the better. An earlier state is kept in
    #: place of the last one if it was better by `MARGIN`: less is chance.
    watch: Callable[[], float] | None = None
    #: A checkpoint is written, and `watch` asked, every so many batches.
    save_every: int = 100


def seed(value: int) -> None:
    """Make a run repeatable on one machine."""
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 - libraries that we call read the global state
    torch.manual_seed(value)


def fit(plan: Plan[Batch]) -> None:
    """Train, or go on from the last checkpoint; leaves the model in evaluation mode."""
    sizes = [len(plan.batches(epoch)) for epoch in range(plan.epochs)]
    optimiser = _optimiser(plan)
    schedule = _schedule(plan, optimiser, sum(sizes))
    progress = _resume(plan, optimiser, schedule)
    with tqdm(total=sum(sizes), initial=progress.done, desc=plan.name, mininterval=5) as bar:
        for epoch, size in enumerate(sizes):
            start = sum(sizes[:epoch])
            if progress.done >= start + size:
                continue
            for batch in plan.batches(epoch)[max(0, progress.done - start) :]:
                _step(plan, optimiser, schedule, batch, bar)
                progress.done += 1
                if progress.done % plan.save_every == 0 or progress.done == sum(sizes):
                    _look(plan, progress, bar)
                    _save(plan, optimiser, schedule, progress)
    if progress.stopped_early:
        plan.model.load_state_dict(progress.best)
        _save(plan, optimiser, schedule, progress)
    plan.model.eval()


@dataclass(slots=True)
class _Progress:
    """How far a run is."""

    #: Batches that are done.
    done: int = 0
    #: What `watch` has said, at which batch, and the model at its highest.
    seen: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def stopped_early(self) -> bool:
        """Whether an earlier state was clearly better than the last."""
        values = [value for _, value in self.seen]
        return bool(values) and max(values) - values[-1] > MARGIN


def _look(plan: Plan[Batch], progress: _Progress, bar: tqdm) -> None:
    """Ask `watch`, and keep the model if it was never better."""
    if plan.watch is None:
        return
    value = plan.watch()
    if math.isnan(value):
        return
    if not progress.seen or value > max(before for _, before in progress.seen):
        state = plan.model.state_dict()
        progress.best = {name: value.detach().clone() for name, value in state.items()}
    progress.seen.append((progress.done, value))
    bar.write(f"{plan.name}, {progress.done} batches: {value:.3f} on what is not trained on")


def _step(
    plan: Plan[Batch], optimiser: Optimizer, schedule: LRScheduler, batch: Batch, bar: tqdm
) -> None:
    plan.model.train()
    loss = plan.loss(batch)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(plan.model.parameters(), 1.0)
    optimiser.step()
    schedule.step()
    _report(bar, float(loss.detach()))


def _report(bar: tqdm, loss: float) -> None:
    bar.mean = 0.98 * getattr(bar, "mean", loss) + 0.02 * loss
    bar.set_postfix(loss=f"{bar.mean:.3f}", refresh=False)
    bar.update(1)


def _optimiser(plan: Plan[Batch]) -> Optimizer:
    return AdamW(
        [
            {"params": [p for p in some if p.requires_grad], "lr": rate}
            for some, rate in plan.groups
        ],
        weight_decay=0.01,
    )


def _schedule(plan: Plan[Batch], optimiser: Optimizer, steps: int) -> LRScheduler:
    return OneCycleLR(
        optimiser, [rate for _, rate in plan.groups], total_steps=steps + 1, pct_start=0.1
    )


def _checkpoint(plan: Plan[Batch]) -> Path:
    return plan.folder / f"{plan.name}.checkpoint.pt"


def _save(
    plan: Plan[Batch], optimiser: Optimizer, schedule: LRScheduler, progress: _Progress
) -> None:
    plan.folder.mkdir(parents=True, exist_ok=True)
    state = {
        "model": plan.model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "random": torch.get_rng_state(),
        "progress": asdict(progress),
    }
    partial = _checkpoint(plan).with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(_checkpoint(plan))


def _resume(plan: Plan[Batch], optimiser: Optimizer, schedule: LRScheduler) -> _Progress:
    if not _checkpoint(plan).exists():
        return _Progress()
    state = torch.load(_checkpoint(plan), weights_only=True)
    plan.model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"])
    return _Progress(**state["progress"])
