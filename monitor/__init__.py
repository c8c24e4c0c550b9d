"""The road from a model response to a recorded decision."""
