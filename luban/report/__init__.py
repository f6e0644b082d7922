"""One self-contained page a run, and the closing summary, drawn from manifests and metrics."""
