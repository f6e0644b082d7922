"""The processes of one job: who reads which micro-batch, and how their sums come together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from luban.device import own_part
from luban.records import Batch

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.device_mesh import DeviceMesh

BUCKET_BYTES = 32 << 20
"""Gradients that travel together: enough for full speed, few enough to be a small copy."""
OF_SOME_HEADS = "of_some_heads"
"""Attribute of a parameter that each process of a tensor group has used for its own heads only."""
DATA_DIMS = ("replicate", "shard")
DIMS = (*DATA_DIMS, "tensor")


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """A micro-batch that one process computes.

    `number` is its place among those of all processes. One that does not count repeats another's, so
    that every process computes as often as the others; its loss is to be multiplied by 0.
    """

    number: int
    batch: Batch
    counts: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """This process's place in a job; see `join` in luban/train/joining.py. By default it is alone."""

    rank: int = 0
    """Place among the processes that read different data."""
    size: int = 1
    """How many processes read different data."""
    is_first: bool = True
    """Whether this process is the one that writes."""
    mesh: DeviceMesh | None = None
    """All processes by the dimensions DIMS; None: there is one."""
    data_group: ProcessGroup | None = None
    """The processes that read different data, and hold the same part of each matrix."""

    def deal(self, micro_batches: list[Batch]) -> list[Share]:
        """Return what this process computes of a step: as many shares in every process.

        Process r takes the micro-batches r, r + size, ... Where they do not come out even, some are
        split by rows, the same in every process.
        """
        if self.size == 1:
            return [Share(i, batch) for i, batch in enumerate(micro_batches)]
        parts = _split_evenly(micro_batches, -len(micro_batches) % self.size)
        shares = [Share(i, batch) for i, batch in enumerate(parts)]
        smallest = min(parts, key=lambda batch: batch.n_positions)
        n_missing = -len(shares) % self.size
        shares += [Share(len(parts) + i, smallest, counts=False) for i in range(n_missing)]
        return shares[self.rank :: self.size]

    def sum(self, numbers: Tensor) -> Tensor:
        """Add up a tensor over the processes that read different data."""
        if self.size == 1:
            return numbers
        import torch.distributed as dist

        total = numbers.clone()
        dist.all_reduce(total, group=self.data_group)
        return total

    @torch.no_grad()
    def reduce(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up gradients over processes, but for those that FSDP has added up in the backward pass.

        A gradient that only some processes have is zero in the others; one that none has stays None.
        """
        if self.mesh is None:
            return
        self._complete(parameters)
        if self.size == 1:
            return
        import torch.distributed as dist

        waiting = [p for p in parameters if not _is_sharded(p)]
        if not waiting:
            return
        reached = torch.tensor([p.grad is not None for p in waiting], dtype=torch.int32)
        dist.all_reduce(reached, dist.ReduceOp.MAX, group=self.data_group)
        waiting = [p for p, is_reached in zip(waiting, reached.tolist(), strict=True) if is_reached]
        for bucket in _buckets(waiting):
            grads = [_own_gradient(p) for p in bucket]
            flat = torch.cat([g.flatten() for g in grads])
            dist.all_reduce(flat, group=self.data_group)
            totals = torch.split(flat, [g.numel() for g in grads])
            for grad, total in zip(grads, totals, strict=True):
                grad.copy_(total.view_as(grad))

    @torch.no_grad()
    def norm_and_clip(self, parameters: Sequence[nn.Parameter], max_norm: float) -> float:
        """Return the norm of all gradients, each counted once, and scale them down to `max_norm`."""
        grads = [p.grad for p in parameters if p.grad is not None]
        if not any(map(_is_spread, grads)):
            return float(nn.utils.clip_grad_norm_(parameters, max_norm))
        norm = self._norm(grads)
        scale = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
        for grad in grads:
            held = own_part(grad)
            held.mul_(scale.to(held.dtype))
        return float(norm)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.mesh is None:
            return flag
        import torch.distributed as dist

        flags = torch.tensor(int(flag), dtype=torch.int32)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.any(False)

    def share(self, value: Any) -> Any:
        """Return the first process's value, of what JSON can hold, in every process."""
        if self.mesh is None:
            return value
        import torch.distributed as dist

        data = bytearray(json.dumps(value).encode() if self.is_first else b"")
        size = torch.tensor(len(data))
        dist.broadcast(size, src=0)
        sent = (
            torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(int(size), dtype=torch.uint8)
        )
        dist.broadcast(sent, src=0)
        return json.loads(bytes(sent.tolist()))

    def _complete(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up the gradients of weights that a process used for its own heads alone."""
        import torch.distributed as dist

        for p in parameters:
            grad: Any = p.grad
            if grad is None:
                continue
            if hasattr(p, OF_SOME_HEADS):
                assert self.mesh is not None
                dist.all_reduce(own_part(grad), group=self.mesh.get_group("tensor"))
            if _is_spread(grad) and grad.placements != p.placements:  # type: ignore[attr-defined]
                p.grad = grad.redistribute(placements=p.placements)  # type: ignore[attr-defined]

    def _norm(self, grads: Sequence[Tensor]) -> Tensor:
        """Add squares over the processes that hold other parts of the same gradient."""
        import torch.distributed as dist

        squares: dict[tuple[str, ...], list[Tensor]] = {}
        for grad in grads:
            squares.setdefault(_split_over(grad), []).append(torch.linalg.vector_norm(own_part(grad)) ** 2)
        total = torch.zeros((), device=grads[0].device)
        for dims in sorted(squares):  # the same order in every process
            part = torch.stack(squares[dims]).sum()
            for dim in dims:
                assert self.mesh is not None
                dist.all_reduce(part, group=self.mesh.get_group(dim))
            total += part
        return total.sqrt()


ALONE = Ranks()


def _split_evenly(batches: list[Batch], n_more: int) -> list[Batch]:
    """Split batches by rows into `n_more` more, the largest rows first; fewer where rows do not suffice."""
    n_parts = [1] * len(batches)
    for _ in range(n_more):
        open_to = [i for i, batch in enumerate(batches) if n_parts[i] < _n_rows(batch)]
        if not open_to:
            break
        n_parts[max(open_to, key=lambda i: (batches[i].n_positions / n_parts[i], -i))] += 1
    return [part for batch, n in zip(batches, n_parts, strict=True) for part in _split_rows(batch, n)]


def _n_rows(batch: Batch) -> int:
    """Return how many rows, or groups, may go to different processes: 1 where all learn from each other."""
    tensors = [getattr(batch, name) for name in Batch.tensor_names()]
    sizes = {len(t) for t in tensors if t is not None}
    is_in_batch = batch.source is not None and batch.targets.ndim == 1  # targets are rows of the source
    return 1 if is_in_batch or (len(sizes) > 1 and not batch.group) else batch.n_groups


def _split_rows(batch: Batch, n_parts: int) -> Iterator[Batch]:
    n_rows = _n_rows(batch)
    cuts = [n_rows * i // n_parts for i in range(n_parts + 1)]
    for start, end in zip(cuts, cuts[1:], strict=False):
        yield batch if n_parts == 1 else batch.groups(start, end)


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Group parameters of one dtype and device, in their order."""
    bucket: list[nn.Parameter] = []
    size = 0
    for p in parameters:
        n = own_part(p).numel() * p.element_size()
        if bucket and (size + n > BUCKET_BYTES or (p.dtype, p.device) != (bucket[0].dtype, bucket[0].device)):
            yield bucket
            bucket, size = [], 0
        bucket.append(p)
        size += n
    if bucket:
        yield bucket


def _own_gradient(p: nn.Parameter) -> Tensor:
    """Return what this process holds of a gradient; it is zero if there was none."""
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    return own_part(p.grad)


def _is_spread(tensor: Tensor) -> bool:
    """Whether it is a DTensor; told without importing torch.distributed."""
    return hasattr(tensor, "device_mesh")


def _is_sharded(p: nn.Parameter) -> bool:
    return _is_spread(p) and "shard" in (p.device_mesh.mesh_dim_names or ())  # type: ignore[attr-defined]


def _split_over(tensor: Any) -> tuple[str, ...]:
    """Return the mesh dimensions over which a tensor is split."""
    if not _is_spread(tensor):
        return ()
    names = tensor.device_mesh.mesh_dim_names
    return tuple(
        name for name, place in zip(names, tensor.placements, strict=True) if not place.is_replicate()
    )
