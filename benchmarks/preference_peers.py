"""Losses of preferences on the same numbers as trl's own trainers.

    python benchmarks/preference_peers.py --peer ENV/bin/python

ENV has trl. Both sides are given the same log-probabilities of tokens, drawn; trl's trainers work out their
loss from a model that returns these. Ours are sums, divided here by their count. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import torch

from luban.objectives.preference import PAIR_LOSSES, Pairs, Strength

BETA, GAMMA = 0.3, 0.5
SIDE = Path(__file__).with_name("peers") / "preference_side.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="interpreter with trl")
    asked = parser.parse_args()
    numbers = drawn()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "numbers.json"
        path.write_text(json.dumps(numbers))
        done = subprocess.run([asked.peer, SIDE, path], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours = losses(numbers)
    rows = {name: {"ours": ours[name], "trl": value} for name, value in theirs.items()}
    worst = max(abs(r["ours"] - r["trl"]) for r in rows.values())
    print(json.dumps({"losses": rows, "largest_difference": worst}))


def drawn() -> dict[str, object]:
    """Return log-probabilities of tokens (2P, T), chosen answers first, reference sums and lengths."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([3, 7, 5, 4, 6, 8])
    real = torch.arange(8) < lengths[:, None]
    tokens = -3 * torch.rand(6, 8, generator=generator) * real
    reference = tokens.sum(1) - torch.randn(6, generator=generator)
    return {
        "tokens": tokens.tolist(), "reference": reference.tolist(), "lengths": lengths.tolist(),
        "beta": BETA, "gamma": GAMMA,
    }  # fmt: skip


def losses(numbers: dict[str, object]) -> dict[str, float]:
    """Return our mean losses over the pairs."""
    sums = torch.tensor(numbers["tokens"]).sum(1)
    found = Pairs(
        *(
            torch.stack(torch.as_tensor(t, dtype=torch.float32).chunk(2), 1)
            for t in (sums, numbers["reference"], numbers["lengths"])
        )
    )
    strength = Strength(beta=BETA, margin=GAMMA, per_token=True)
    return {name: float(loss(found, strength).mean()) for name, loss in PAIR_LOSSES.items()}


if __name__ == "__main__":
    main()
