"""The training loop, its usual caller, and checkpoints."""
