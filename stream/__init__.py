"""The doors: sidecar proxy, command line, batch."""
