"""Reads token windows through litdata, a block each time it is told to: the peer of read_shards_peers.

    python litdata_side.py TOKENS.bin FOLDER CONTEXT BATCH

FOLDER is filled from the uint16 tokens once. Windows come as litdata's TokensLoader gives them, and, in
blocks called "int64", as inputs and targets that a model takes. It knows no documents.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from litdata import StreamingDataLoader, StreamingDataset, TokensLoader, optimize

PIECE = 1_000_000


def piece(task: tuple[str, int]) -> Iterator[torch.Tensor]:
    path, start = task
    tokens = np.memmap(path, np.uint16, "r")[start : start + PIECE]
    yield torch.from_numpy(tokens.astype(np.uint16))


def batches(folder: Path, context: int, batch: int, state: Any = None) -> tuple[Any, Iterator[torch.Tensor]]:
    data = StreamingDataset(
        str(folder), item_loader=TokensLoader(block_size=context + 1), shuffle=True, seed=1
    )
    loader = StreamingDataLoader(data, batch_size=batch, num_workers=0)
    if state is not None:
        loader.load_state_dict(state)
    return loader, iter(loader)


def main() -> None:
    path, folder = sys.argv[1], Path(sys.argv[2])
    context, batch = int(sys.argv[3]), int(sys.argv[4])
    if not (folder / "index.json").is_file():
        n = Path(path).stat().st_size // 2
        tasks = [(path, start) for start in range(0, n, PIECE)]
        optimize(
            piece,
            tasks,
            str(folder),
            chunk_size=(context + 1) * 8000,
            item_loader=TokensLoader(),
            num_workers=1,
        )
    loader, coming = batches(folder, context, batch)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        kind, n_batches = line.split()
        if kind == "resume":
            state = loader.state_dict()
            start = time.perf_counter()
            loader, coming = batches(folder, context, batch, state)
            next(coming)
            print(json.dumps({"wall": time.perf_counter() - start}), flush=True)
            continue
        wall, cpu, done = time.perf_counter(), time.process_time(), 0
        while done < int(n_batches):
            rows = next(coming, None)
            if rows is None:
                loader, coming = batches(folder, context, batch)
                continue
            if kind == "int64":
                wide = rows.to(torch.int64)
                wide[:, :-1].contiguous(), wide[:, 1:].contiguous()
            done += 1
        said = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "type": str(rows.dtype)}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
