"""Everything that shapes the weights; needs the `train` extra (torch), which serving never does."""
