"""What can go wrong between a text and its score.

ClassifierError
├── ArtefactError    the model folder is not what its manifest says: refuse to start
├── Overloaded       the queue is full: ours to shed, the caller's to retry
└── InferenceError   the model ran and failed, or was closed
"""


class ClassifierError(Exception):
    """A text could not be scored; callers record UNSCORED, never a pass."""


class ArtefactError(ClassifierError):
    """The model folder differs from its manifest; the message names the file and the remedy."""


class Overloaded(ClassifierError):  # noqa: N818 - a state of ours, not a mistake
    """More text waits to be scored than the queue may hold; try again later or add capacity."""


class InferenceError(ClassifierError):
    """The model failed on this input, or the classifier was closed before it ran."""
