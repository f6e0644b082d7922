"""How a process joins the others of its job: from torchrun's environment to a place among the ranks."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch

from luban.device import choose_device
from luban.errors import ConfigError, LubanError
from luban.train.ranks import ALONE, DIMS, Ranks
from luban.train.settings import ParallelSettings, TrainSettings

ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
CONNECT = timedelta(seconds=1)
FIX = "start every process with luban train --nproc N, or with torchrun"


class RanksError(LubanError):
    """A process of the job did not come, or went away."""

    is_final = False


@dataclass(frozen=True, slots=True)
class Place:
    """What the environment says about this process."""

    rank: int
    world: int
    local_rank: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Place | None:
        """Return this process's place; None if it was started alone."""
        if not {"RANK", "WORLD_SIZE"} & environment.keys():
            return None
        missing = [name for name in ENVIRONMENT if not environment.get(name)]
        if missing:
            there = ", ".join(name for name in ENVIRONMENT if name not in missing)
            raise ConfigError(f"the environment has {there}, but not {', '.join(missing)}", fix=FIX)
        place = cls(*(_number(environment, name) for name in ENVIRONMENT[:3]))
        if not 0 <= place.rank < place.world:
            raise ConfigError(f"RANK = {place.rank} is not below WORLD_SIZE = {place.world}", fix=FIX)
        return place


def join(settings: TrainSettings) -> Ranks:
    """Meet the other processes of the job and return this one's place; ALONE if there are none."""
    import torch.distributed as dist

    place = Place.read(os.environ)
    if place is None or place.world == 1:
        return ALONE
    sizes = dict(zip(DIMS, mesh_sizes(settings.parallel, place.world), strict=True))
    device = choose_device(settings.device)
    timeout = timedelta(seconds=settings.parallel.timeout_seconds)
    if not dist.is_initialized():
        _choose_local_device(device, place.local_rank)
        _meet(place, device, timeout)
    mesh, data_group = _groups(list(sizes.values()), device, timeout)
    return Ranks(
        rank=place.rank // sizes["tensor"],
        size=place.world // sizes["tensor"],
        is_first=place.rank == 0,
        mesh=mesh,
        data_group=data_group,
    )


def leave() -> None:
    """Let the other processes go."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def joined(settings: TrainSettings) -> Iterator[Ranks]:
    """Be one of the ranks for a while."""
    ranks = join(settings)
    try:
        yield ranks
    finally:
        leave()


def mesh_sizes(parallel: ParallelSettings, world: int) -> tuple[int, int, int]:
    """Return how many processes there are along each of DIMS."""
    if world % parallel.tensor:
        raise ConfigError(
            f"{world} processes do not divide by parallel.tensor = {parallel.tensor}",
            fix=f"start a multiple of {parallel.tensor} processes, or change parallel.tensor",
        )
    n_data = world // parallel.tensor
    shard = parallel.shard or n_data
    if n_data % shard:
        raise ConfigError(
            f"{world} processes do not divide by parallel.shard × parallel.tensor = "
            f"{shard} × {parallel.tensor}",
            fix=f"start a multiple of {shard * parallel.tensor} processes, or set parallel.shard to 0 (all)",
        )
    return n_data // shard, shard, parallel.tensor


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise ConfigError(f"{name} = {environment[name]!r} is not a whole number", fix=FIX) from None


def _choose_local_device(device: torch.device, local_rank: int) -> None:
    """Make this process's accelerator the one that the device's bare name means."""
    if device.type == "cpu":
        return
    n_devices = torch.accelerator.device_count()
    if local_rank >= n_devices:
        raise ConfigError(
            f"process {local_rank} of this host has no {device.type} device: there are {n_devices}",
            fix=f"start at most {n_devices} processes here (--nproc {n_devices}), or set device to cpu",
        )
    torch.accelerator.set_device_index(local_rank)


def _meet(place: Place, device: torch.device, timeout: timedelta) -> None:
    """Wait until every process has come, then form the group of all."""
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store, _, _ = next(rendezvous("env://", place.rank, place.world, timeout=timeout))
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            store = _own_store(store, place, timeout)
    except (dist.DistError, ValueError, OSError) as e:
        if joined := re.search(r"(\d+)/\d+ clients joined", str(e)):
            raise _too_few(int(joined[1]), place.world, address, timeout) from None
        raise RanksError(
            f"process {place.rank} got no answer at {address} within {timeout.total_seconds():g} s: {e}",
            fix="check MASTER_ADDR and MASTER_PORT, and that the first process runs",
        ) from None
    store.add("luban/came", 1)
    until = time.monotonic() + timeout.total_seconds()
    while (n_came := store.add("luban/came", 0)) < place.world:
        if time.monotonic() > until:
            raise _too_few(n_came, place.world, address, timeout)
        time.sleep(0.05)
    own = dist.get_default_backend_for_device(device)
    backend = own if device.type == "cpu" else f"cpu:gloo,{device.type}:{own}"
    dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.world, timeout=timeout)


def _own_store(shared: Any, place: Place, timeout: timedelta) -> Any:
    """Return a store of these processes alone.

    Torchrun's is shared by all its restarts, and holds the addresses of processes that have died.
    """
    import torch.distributed as dist

    host, key = os.environ["MASTER_ADDR"], "luban/port"
    if place.rank == 0:
        own: Any = dist.TCPStore(  # type: ignore[attr-defined]
            host, 0, place.world, True, timeout, wait_for_workers=False
        )
        shared.set(key, str(own.port))
        return own
    until = time.monotonic() + timeout.total_seconds()
    while True:
        port = int(shared.get(key))  # waits until there is one; it may be that of a process that has died
        try:
            own = dist.TCPStore(  # type: ignore[attr-defined]
                host, port, place.world, False, CONNECT, wait_for_workers=False
            )
        except dist.DistError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            own.set_timeout(timeout)
            return own


def _too_few(n_came: int, n_awaited: int, address: str, timeout: timedelta) -> RanksError:
    return RanksError(
        f"{n_came} of {n_awaited} processes came to {address} within {timeout.total_seconds():g} s",
        fix="look at what the others print; start them all, or raise parallel.timeout_seconds",
    )


def _groups(sizes: list[int], device: torch.device, timeout: timedelta) -> tuple[Any, Any]:
    """Return the mesh of all processes, and the group that reads different data beside this one.

    Groups that a mesh makes by itself would wait for their backend's default time, not for ours.
    """
    from torch.distributed.device_mesh import DeviceMesh

    places = torch.arange(sizes[0] * sizes[1] * sizes[2]).view(sizes)
    lines = [places.movedim(dim, -1).flatten(0, 1).tolist() for dim in range(len(DIMS))]
    groups = [_own_group(rows, timeout) for rows in lines]
    mesh = DeviceMesh.from_group(groups, device.type, mesh=places, mesh_dim_names=DIMS)
    return mesh, _own_group(places.flatten(0, 1).T.tolist(), timeout)


def _own_group(rows: list[list[int]], timeout: timedelta) -> Any:
    """Make one group of each row of ranks, in every process; return the one this process is in."""
    import torch.distributed as dist

    groups = [dist.new_group(row, timeout=timeout) for row in rows]
    return next(group for row, group in zip(rows, groups, strict=True) if dist.get_rank() in row)
