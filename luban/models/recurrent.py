"""A trunk of recurrent layers with the same contract as the Transformer's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from luban.models.attention import Memory
from luban.models.cache import Cache
from luban.models.config import RecurrentConfig
from luban.models.dropout import Dropout
from luban.models.positions import Layout

State = tuple[Tensor, ...]
"""What a layer carries on, tensors (1, B, C): hidden states, and an LSTM's cells."""
CELLS: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}
READERS = {"rnn": torch.rnn_tanh, "gru": torch.gru}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Recurrent(nn.Module):
    """Recurrent layers over hidden states (B, T, C), which stay (B, T, C); each document starts afresh.

    Source: Elman (1990), Finding structure in time (rnn); arXiv:1406.1078 (gru); Hochreiter and
    Schmidhuber (1997), Long short-term memory (lstm).
    """

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        both = config.sight == "full"
        width = config.dim // 2 if both else config.dim
        self.cell = config.cell
        self.blocks = nn.ModuleList(
            CELLS[config.cell](config.dim, width, batch_first=True, bidirectional=both)
            for _ in range(config.n_layers)
        )
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, layout: Layout, cache: Cache | None = None, memory: Memory | None = None
    ) -> Tensor:
        """Keep (B, T, C)."""
        if cache is not None:
            return self._go_on(x, layout, cache)
        if layout.documents is None:
            for block in self.blocks:
                x = self.dropout(block(x)[0])
            return x
        return self._by_document(x, layout.documents)

    def _by_document(self, x: Tensor, documents: Tensor) -> Tensor:
        """Gather each document into a row of its own, read them together, put the states back.

        Rows are padded, not packed: torch reads a packed sequence several times slower on a CPU.
        States at padding are 0.
        """
        places, lengths = split_documents(documents)
        rows = x.flatten(0, 1)[places]  # (B, T, C) -> (documents, longest, C)
        offsets = torch.arange(places.shape[1], device=x.device)
        is_token = offsets < lengths[:, None]
        # Where a document's tokens lie when read from its end; what follows the document stays last.
        turned = torch.where(is_token, lengths[:, None] - 1 - offsets, offsets)[..., None]
        for block in self.blocks:
            rows = self.dropout(self._read(block, rows, turned))
        out = x.new_zeros(documents.numel(), rows.shape[-1])
        return out.index_copy(0, places[is_token], rows[is_token]).view(*documents.shape, -1)

    def _go_on(self, x: Tensor, layout: Layout, cache: Cache) -> Tensor:
        """Read from where the cache stopped; a document's first token begins with empty states."""
        if layout.documents is None:
            return self._step(x, cache, None)
        outputs = [self._step(x[:, t : t + 1], cache, layout.positions[:, t] == 0) for t in range(x.shape[1])]
        return torch.cat(outputs, dim=1)

    def _step(self, x: Tensor, cache: Cache, is_first: Tensor | None) -> Tensor:
        states: list[State] = []
        for i, block in enumerate(self.blocks):
            state = cache.states[i] if cache.states else None
            if state is not None and is_first is not None:
                keep = (~is_first).to(x.dtype)[None, :, None]
                state = tuple(part * keep for part in state)
            # Torch wants a pair for an LSTM, and one bare tensor for the others.
            x, left = block(x, state if state is None or self.cell == "lstm" else state[0])
            x = self.dropout(x)
            states.append(left if self.cell == "lstm" else (left,))
        cache.states = states
        return x

    def _read(self, block: nn.Module, rows: Tensor, turned: Tensor) -> Tensor:
        """Read rows of unequal length (N, T, C): forwards, and backwards from each row's own end."""
        ways = []
        for way in ("", "_reverse")[: 1 + block.bidirectional]:  # type: ignore[operator]
            weights: list[Tensor] = [getattr(block, f"{name}_l0{way}") for name in WEIGHTS]
            seen = rows.take_along_dim(turned, 1) if way else rows
            read = self._read_one_way(seen, weights)
            ways.append(read.take_along_dim(turned, 1) if way else read)
        return torch.cat(ways, -1)

    def _read_one_way(self, rows: Tensor, weights: list[Tensor]) -> Tensor:
        state = rows.new_zeros(1, len(rows), weights[1].shape[1])
        rest = (weights, True, 1, 0.0, self.training, False, True)
        if self.cell == "lstm":
            return torch.lstm(rows, (state, state), *rest)[0]
        return READERS[self.cell](rows, state, *rest)[0]


def split_documents(documents: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each document's tokens lie in the flattened rows (N, longest), and its length (N,).

    Places past a document's end repeat its first. Padding is left out.
    """
    is_first = torch.ones_like(documents, dtype=torch.bool)
    is_first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = is_first.flatten().nonzero().squeeze(1)
    lengths = torch.diff(starts, append=starts.new_tensor([documents.numel()]))
    is_text = documents.flatten()[starts] != 0
    starts, lengths = starts[is_text], lengths[is_text]
    longest = int(lengths.max()) if len(lengths) else 1
    offsets = torch.arange(longest, device=documents.device)
    return starts[:, None] + torch.where(offsets < lengths[:, None], offsets, 0), lengths
