"""The third door: judges logs in bulk, on the same road as the sidecar."""
