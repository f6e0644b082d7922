"""Parameter groups, learning-rate schedules, and the optimizer built from settings."""
