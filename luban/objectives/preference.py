"""Prefer the better of two answers: DPO, IPO, ORPO and SimPO.

In all of them w is the chosen answer, l the rejected one, π the model, and r the model that tuning began
with. Rows 2k and 2k + 1 of a batch are a pair, the chosen answer first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.objectives.answers import answer_log_probs
from luban.records import Batch, Loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Strength:
    """The numbers in the formulas."""

    beta: float = 0.1
    """β of DPO and SimPO, τ of IPO, λ of ORPO."""
    margin: float = 0.0
    """γ of SimPO."""
    label_smoothing: float = 0.0
    """ε of DPO: the share of pairs thought to be labelled the wrong way round."""
    per_token: bool = False
    """IPO: compare means over tokens, as its authors did in their experiments by trl's account."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Log-probabilities of whole answers in nats, and their numbers of tokens; every field is (P, 2).

    Column 0 is chosen, column 1 rejected. reference is zero where the loss asks for none.
    """

    log_probs: Tensor
    reference: Tensor
    n_tokens: Tensor

    @property
    def ratios(self) -> Tensor:
        """How much likelier answers have become: log π − log r, (P, 2)."""
        return self.log_probs - self.reference

    @property
    def means(self) -> Tensor:
        """Log-probability per token (P, 2)."""
        return self.log_probs / self.n_tokens.clamp(min=1)


def preference(model: nn.Module, batch: Batch, *, name: str = "dpo", strength: Strength) -> Loss:
    """Sum a loss of PAIR_LOSSES over pairs, one target each. batch.reference (B,) where it is asked for."""
    found = pairs(model, batch)
    return Loss(PAIR_LOSSES[name](found, strength).sum(), len(found.log_probs))


def pairs(model: nn.Module, batch: Batch) -> Pairs:
    """Return what the model says of a batch's pairs."""
    log_probs, n_tokens = answer_log_probs(model, batch)
    reference = torch.zeros_like(log_probs) if batch.reference is None else batch.reference.to(log_probs)
    return Pairs(*(t.view(-1, 2) for t in (log_probs, reference, n_tokens)))


def dpo(found: Pairs, strength: Strength) -> Tensor:
    """−(1−ε)·log σ(h) − ε·log σ(−h), h = β·[log(π/r)(w) − log(π/r)(l)]: (P,).

    Source: arXiv:2305.18290 equation 7; ε is that of conservative DPO, a note of the same authors.
    """
    h = strength.beta * _gap(found.ratios)
    smoothing = strength.label_smoothing
    return -(1 - smoothing) * F.logsigmoid(h) - smoothing * F.logsigmoid(-h)


def ipo(found: Pairs, strength: Strength) -> Tensor:
    """(h − 1/(2τ))², h = log(π/r)(w) − log(π/r)(l): (P,). Source: arXiv:2310.12036 equation 17."""
    ratios = found.ratios / found.n_tokens.clamp(min=1) if strength.per_token else found.ratios
    return (_gap(ratios) - 1 / (2 * strength.beta)) ** 2


def orpo(found: Pairs, strength: Strength) -> Tensor:
    """−log p(w) per token − λ·log σ(log odds(w) − log odds(l)), p the geometric mean over tokens: (P,).

    odds = p / (1 − p). Source: arXiv:2403.07691 equations 3 to 7.
    """
    # Rounding may make p of a sure answer 1, whose odds are infinite.
    means = found.means.clamp(max=-1e-6)
    odds = means - torch.log(-torch.expm1(means))
    return -found.means[:, 0] - strength.beta * F.logsigmoid(_gap(odds))


def simpo(found: Pairs, strength: Strength) -> Tensor:
    """−log σ(β·log p(w)/|w| − β·log p(l)/|l| − γ): (P,). Source: arXiv:2405.14734 equation 6."""
    return -F.logsigmoid(strength.beta * _gap(found.means) - strength.margin)


def _gap(both: Tensor) -> Tensor:
    """Return chosen minus rejected: (P, 2) -> (P,)."""
    return both[:, 0] - both[:, 1]


PAIR_LOSSES: dict[str, Callable[[Pairs, Strength], Tensor]] = {
    "dpo": dpo,
    "ipo": ipo,
    "orpo": orpo,
    "simpo": simpo,
}
WITHOUT_REFERENCE = ("orpo", "simpo")
