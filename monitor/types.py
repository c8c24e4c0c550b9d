"""The words of the monitor: what it reads, what it concludes, what it keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from itertools import groupby

from classifiers.port import Check, Role, Thresholds

__all__ = [
    "Assessment",
    "Channel",
    "Check",
    "Decision",
    "Delta",
    "Disclosure",
    "EarlyStop",
    "Evidence",
    "Frame",
    "Gap",
    "Mode",
    "Outcome",
    "Part",
    "Review",
    "Role",
    "Standing",
    "Status",
    "Step",
    "Trace",
    "Usage",
    "Verdict",
    "Versions",
    "coalesce",
]


class Channel(StrEnum):
    """Where in a response a text stands."""

    THINKING = "thinking"
    ANSWER = "answer"
    #: Names and arguments of tool calls: judged like the answer.
    TOOL_CALL = "tool_call"

    @property
    def role(self) -> Role:
        """How the classifiers read this channel."""
        return Role.THINKING if self is Channel.THINKING else Role.ANSWER


class Decision(IntEnum):
    """What becomes of a response. Ordered; combining is `max`, evidence never lowers it."""

    ALLOW = 0
    FLAG = 1
    BLOCK = 2


class Mode(StrEnum):
    """What a client may see before the verdict."""

    #: Everything passes at once; decisions are only recorded. Gates nothing.
    OBSERVE = "observe"
    #: Each piece of text waits until the step that it belongs to is judged.
    HOLD = "hold"
    #: Nothing passes before the whole verdict.
    BUFFER = "buffer"


class Status(Enum):
    """Whether a check could be made; "could not judge" is a value, never a missing score."""

    SCORED = "scored"
    UNSCORED = "unscored"


class Gap(StrEnum):
    """What of a response the monitor could not see; `monitor.gaps` says when."""

    #: The server reports tokens of thinking, but shows no thinking.
    HIDDEN_THINKING = "hidden_thinking"
    #: Thinking was encrypted, redacted or left out by the server.
    SEALED_THINKING = "sealed_thinking"
    #: A closing tag that nothing opened stands in the answer: thinking was judged as answer.
    MISPLACED_THINKING = "misplaced_thinking"
    #: A field of text holds another type of value than its protocol has there.
    UNKNOWN_SHAPE = "unknown_shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One piece of the text of a response."""

    #: Index in the response's `choices`; 0 where the protocol has no choices.
    choice: int = 0
    channel: Channel
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A piece of a response on the wire with the text in it; the unit that is held or released."""

    #: The bytes as they came: joining the frames of a response gives the response.
    raw: bytes
    deltas: tuple[Delta, ...] = ()
    #: Why the text in it could not be read, if so: the response is then UNSCORED.
    problem: str | None = None
    #: The protocol's last word on this response, such as `data: [DONE]`.
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Contiguous text of one channel."""

    channel: Channel
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of a whole response, all choices together, as its server counts them."""

    #: None where it does not say.
    output_tokens: int | None = None
    #: Those of them that are thinking, shown or not.
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """What a response tells about its making besides its text; all choices together."""

    usage: Usage = Usage()
    #: Thinking was seen, as it was or summarised.
    shows_thinking: bool = False
    #: It holds encrypted thinking, or the signature of some.
    sealed: bool = False
    #: It holds thinking that the server took out: no summary stands for that.
    redacted: bool = False
    #: A field of text held another type of value.
    misshapen: bool = False
    #: Read to its end: what was not seen is not there.
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStop:
    """The upstream was stopped because the response was blocked; all choices together."""

    #: Tokens that had been generated: at least so many, the model may have been ahead.
    tokens_generated_at_least: int
    #: What the request allowed beyond those; None when it set no limit. The model may have been
    #: about to end by itself, so that nothing was saved is possible too.
    tokens_saved_at_most: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One model response under judgement."""

    trace_id: str
    #: In the order in which the model wrote them; neighbours differ in channel.
    parts: tuple[Part, ...]
    #: What the model was asked: system and last user turns, bounded; context for the classifiers.
    prompt: str = ""
    #: The model's name as the server reports it.
    model: str = ""
    #: The model that the request asked for; policies go by it.
    requested_model: str = ""
    #: Path of the request; "" where there was none.
    route: str = ""
    tenant: str = ""
    #: Groups the turns of a conversation for a reviewer.
    conversation_id: str = ""
    #: Index in the response's `choices`.
    choice: int = 0
    #: Why part of the response could not be read, if so.
    problem: str | None = None
    #: What else the response told.
    disclosure: Disclosure = Disclosure()

    @property
    def thinking(self) -> str:
        """All thinking, in order."""
        return self.text(Channel.THINKING)

    @property
    def answer(self) -> str:
        """All answer text, in order, without tool calls."""
        return self.text(Channel.ANSWER)

    def text(self, channel: Channel) -> str:
        """All text of `channel`: what the offsets of its steps refer to."""
        return "".join(p.text for p in self.parts if p.channel is channel)


def coalesce(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Join neighbours of the same channel and drop empty parts: chunking disappears."""
    grouped = groupby((p for p in parts if p.text), key=lambda p: p.channel)
    return tuple(Part(channel=c, text="".join(p.text for p in g)) for c, g in grouped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A contiguous piece of thinking or answer: what is scored and highlighted."""

    #: Position among all steps of the trace.
    index: int
    channel: Channel
    #: Code point offsets in the text of this channel (`Trace.text(channel)[start:end]`).
    start: int
    end: int
    #: Normalised text as the classifier read it; not stored.
    text: str = field(repr=False)
    #: Characters that were in disguise (see `classifiers.normalise`).
    disguised: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepScores:
    """Calibrated probabilities after reading a step; None where a check does not read it."""

    step: Step
    scores: Mapping[Check, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A step that made a check cross its flag threshold."""

    channel: Channel
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """One check on one trace."""

    check: Check
    status: Status
    #: Calibrated probability that the trace shows the check: the highest of its steps.
    #: None exactly when UNSCORED.
    probability: float | None
    #: Why it is UNSCORED; else "".
    reason: str = ""
    #: UNSCORED because the trace holds no text that this check reads, not because of a failure.
    absent: bool = False
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Everything that produced a verdict; scores compare only between equal ones."""

    subtext: str
    model: str
    calibration: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was concluded about a trace, and by what."""

    verdict_id: str
    trace_id: str
    decision: Decision
    mode: Mode
    #: One per check, in the order of `Check`.
    assessments: tuple[Assessment, ...]
    steps: tuple[StepScores, ...]
    versions: Versions
    #: UTC, ISO 8601 with milliseconds and `Z`.
    created_at: str
    #: Milliseconds per stage: `queue_and_infer`, `total`.
    timings_ms: Mapping[str, float]
    #: True when the policy let a response pass that could not be judged.
    failed_open: bool = False
    #: The rule of the policy that held; "" where none matched and its top did.
    policy_rule: str = ""
    #: From which probability each check flagged and blocked.
    thresholds: Mapping[Check, Thresholds] = field(default_factory=dict)
    #: What could not be seen, in the order of `Gap`.
    gaps: tuple[Gap, ...] = ()
    usage: Usage = Usage()
    #: None when the upstream was read to its end.
    early_stop: EarlyStop | None = None

    @property
    def disguised(self) -> int:
        """Characters of the trace that were in disguise."""
        return sum(s.step.disguised for s in self.steps)

    @property
    def unscored(self) -> str | None:
        """Why it could not be judged: a check failed, or there was no text at all; else None."""
        missing = [a for a in self.assessments if a.status is Status.UNSCORED]
        failed = [a for a in missing if not a.absent]
        if len(missing) == len(self.assessments):
            failed = failed or missing
        return failed[0].reason if failed else None

    def probability(self, check: Check) -> float | None:
        """The probability of `check`, or None when it is UNSCORED."""
        return next(a.probability for a in self.assessments if a.check is check)


class Outcome(StrEnum):
    """What a reviewer answers to a verdict."""

    #: The verdict is right.
    CONFIRM = "confirm"
    #: The verdict is wrong: a false alarm, or a miss.
    DISMISS = "dismiss"
    #: Somebody with more say must decide.
    ESCALATE = "escalate"

    @property
    def final(self) -> bool:
        """Whether nobody needs to look at it any more."""
        return self is not Outcome.ESCALATE


class Standing(StrEnum):
    """Where the answers leave a verdict; `monitor.opinions` says how."""

    CONFIRM = "confirm"
    DISMISS = "dismiss"
    ESCALATE = "escalate"
    #: One person answered; what they said stays hidden until another has.
    SECOND = "second"
    #: Two people answered differently: a third decides.
    DISPUTE = "dispute"

    @property
    def settled(self) -> bool:
        """Whether it waits for nobody."""
        return self in (Standing.CONFIRM, Standing.DISMISS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A reviewer's answer to a verdict. Never changed: a later one counts instead."""

    #: Of the asker's making: the same answer sent twice is recorded once.
    review_id: str
    verdict_id: str
    #: Name of the user; `local` where nobody logs in.
    reviewer: str
    outcome: Outcome
    #: What the trace truly shows, for the checks that the reviewer spoke about.
    labels: Mapping[Check, bool] = field(default_factory=dict)
    note: str = ""
    #: UTC, ISO 8601 with milliseconds and `Z`.
    created_at: str
