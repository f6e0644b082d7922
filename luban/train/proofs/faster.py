"""Proofs: what only saves time or memory changes nothing else."""

from __future__ import annotations

from luban.records import Batch
from luban.train.compiling import compile_blocks, leave_eager
from luban.train.proofs.subject import Few, Finding, Subject, apart, not_applicable, relative, score
from luban.train.recompute import blocks, recompute_blocks

COMPILED_TOLERANCE = 1e-4
"""Of float32 gradients from other kernels, relative to the largest."""
N_STEPS = 2


def compiled(subject: Subject) -> Finding:
    """Show that compiled blocks give the loss and the gradients of eager ones, dropout off."""
    how = subject.settings.compile
    if how == "off":
        return not_applicable("compile is off")
    if how == "auto":
        return not_applicable(
            "compile is auto, and compiling takes longer than all other proofs; set it to on"
        )
    model = subject.build(False).eval()
    if not any(True for _ in blocks(model)):
        return not_applicable("this model has no blocks that a compiler takes")
    batches = _batches(subject)
    eager = [score(subject, model, batch) for batch in batches]
    compile_blocks(model)
    fused = [score(subject, model, batch) for batch in batches]
    leave_eager(model)
    gap = max(max(relative(a, b), apart(c, d)) for (a, c), (b, d) in zip(fused, eager, strict=True))
    words = f"compiled blocks give the loss and gradients of eager ones on {len(batches)} batches"
    if gap > COMPILED_TOLERANCE:
        words = "compiled blocks give another loss or other gradients than eager ones"
    return Finding(words=words, difference=gap, tolerance=COMPILED_TOLERANCE)


def recomputed(subject: Subject) -> Finding:
    """Show that activations computed again give the same gradients to the last bit, dropout on."""
    how = subject.settings.recompute
    if how == "none":
        return not_applicable("recompute is none")
    kept, again = subject.build(True).train(), subject.build(True).train()
    recompute_blocks(again, how)
    batches = _batches(subject)
    gaps = []
    for batch in batches:
        (a, of_a), (b, of_b) = (score(subject, model, batch) for model in (again, kept))
        gaps.append(max(relative(a, b), apart(of_a, of_b)))
    words = f"activations computed again ({how}) give the same gradients to the last bit, dropout on"
    if max(gaps):
        words = f"activations computed again ({how}) give other gradients: they are not what they were"
    return Finding(words=words, difference=max(gaps))


def _batches(subject: Subject) -> list[Batch]:
    return [Few(subject.batches).at(step)[0] for step in range(1, N_STEPS + 1)]
