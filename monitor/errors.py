"""The errors of the monitor: ours, and what a user can do about them."""


class MonitorError(Exception):
    """Anything that Subtext raises on purpose."""


class PolicyError(MonitorError):
    """The policy file does not say something that can be obeyed; the message names the line."""


class RecordingError(MonitorError):
    """A verdict could not be written to the audit store."""
