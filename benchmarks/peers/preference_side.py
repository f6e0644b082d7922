"""trl's side of preference_peers.py: its trainers' own loss functions on given log-probabilities."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import torch
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer

given = json.loads(Path(sys.argv[1]).read_text())
tokens, reference, lengths = (torch.tensor(given[k]) for k in ("tokens", "reference", "lengths"))
n = len(tokens) // 2
mask = (torch.arange(tokens.shape[1]) < lengths[:, None]).long()
inputs = {
    "input_ids": torch.zeros(2 * n, tokens.shape[1] + 1, dtype=torch.long),
    "attention_mask": torch.ones(2 * n, tokens.shape[1] + 1, dtype=torch.long),
    "completion_mask": torch.cat([torch.zeros(2 * n, 1, dtype=torch.long), mask], 1),
    "ref_chosen_logps": reference[:n],
    "ref_rejected_logps": reference[n:],
}


class Known:
    """A model whose log-probabilities are given."""

    def __call__(self, **kwargs: object) -> MagicMock:
        """Return what a model of transformers does with `labels` and `fused_lm_head`."""
        zeros = torch.zeros_like(tokens)
        return MagicMock(
            log_probs=tokens,
            mean_logits=tokens,
            is_top1=tokens > 0,
            entropy=zeros,
            entropies=zeros,
            argmax=zeros.long(),
            loss=zeros.sum(),
        )


def dpo(kind: str) -> float:
    trainer = MagicMock(
        beta=given["beta"], loss_types=[kind], loss_weights=[1.0], ld_alpha=None, use_weighting=False,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", label_smoothing=0.0,
        aux_loss_enabled=False,
    )  # fmt: skip
    trainer.accelerator.device = torch.device("cpu")
    trainer.accelerator.gather_for_metrics = trainer.accelerator.gather = lambda t: t
    return float(DPOTrainer._compute_loss(trainer, Known(), inputs, False))


means = tokens.sum(1) / lengths
other = MagicMock(
    beta=given["beta"], alpha=0.0, loss_type="simpo", simpo_gamma=given["gamma"], label_smoothing=0.0
)
other.accelerator.device = torch.device("cpu")
ratio = ORPOTrainer.odds_ratio_loss(other, means[:n], means[n:])[0]
print(
    json.dumps(
        {
            "dpo": dpo("sigmoid"),
            "ipo": dpo("ipo"),
            "orpo": float((-means[:n] - ratio).mean()),
            "simpo": float(CPOTrainer.cpo_loss(other, means[:n], means[n:])[0].mean()),
        }
    )
)
