"""What stops a run, as messages for whoever started it."""


class RescoreError(Exception):
    """The run cannot start or go on; the message says why and what to do."""
