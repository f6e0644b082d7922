"""Proofs: what only saves time or memory changes nothing else."""

from __future__ import annotations

from luban.train.proofs.subject import Finding, Subject, not_applicable


def compiled(subject: Subject) -> Finding:
    """Show that compiled blocks give the loss and the gradients of eager ones."""
    return not_applicable(f"compile is {subject.settings.compile}")


def recomputed(subject: Subject) -> Finding:
    """Show that activations computed again give the same gradients, bit for bit."""
    return not_applicable("recompute is none")
