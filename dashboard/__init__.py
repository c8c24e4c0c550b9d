"""The reviewers' console and the HTTP API behind it."""
