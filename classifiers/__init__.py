"""Text to calibrated scores: normalisation, steps, encoders, batching, training."""
