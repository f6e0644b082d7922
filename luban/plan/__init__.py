"""What this machine is, and what a run would cost on it; nothing here needs torch to be installed."""
