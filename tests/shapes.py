"""Shapes of replicas for tests: catalogue models on catalogue devices, one knob each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from apex_opt.cost.shape import Place, Settings, Shape, even_split
from apex_opt.spec import catalog
from apex_opt.spec.pools import Network, Pool

SETTINGS = Settings(
    version="0.19",
    max_num_seqs=256,
    max_num_batched_tokens=2048,
    max_model_len=8192,
    block_size=16,
    gpu_memory_utilization=0.9,
    chunked_prefill=True,
    async_scheduling=True,
    graph_tokens=512,
    num_gpu_blocks=None,
)


def shape(
    model: str = "llama-3.1-8b",
    device: str = "h100-sxm-80gb",
    *,
    tensor: int = 1,
    pipeline: int = 1,
    expert: int = 1,
    attention_data: int = 1,
    context: int = 1,
    weights: str = "bf16",
    kv_cache: str = "bf16",
    nodes: int = 4,
    clock: float = 1.0,
    settings: Settings = SETTINGS,
    reserve: float = 0.0,
) -> Shape:
    """Return a replica of `model` on a pool of `device`."""
    found = catalog.model(model)
    return Shape(
        model=found,
        pool=Pool(name="pool", device=catalog.device(device), nodes=nodes),
        network=Network(),
        release=catalog.release("vllm", "0.19"),
        settings=settings,
        weights=catalog.weight_format(weights),
        kv_cache=catalog.kv_format(kv_cache),
        tensor=tensor,
        expert=expert,
        stage_layers=even_split(len(found.sequence()), pipeline),
        clock=clock,
        reserve_fraction=reserve,
        attention_data=attention_data,
        context=context,
    )


def unlike(one: Shape, devices: Sequence[str], layers: Sequence[int] = ()) -> Shape:
    """Return a replica with a stage on each of these devices, a pool of its own for each name."""
    names = list(dict.fromkeys(devices))
    pools = {d: Pool(name=d, device=catalog.device(d), nodes=4) for d in names}
    split = tuple(layers) or even_split(len(one.model.sequence()), len(devices))
    places = tuple(Place(pools[d], one.clock) for d in devices)
    return replace(one, pool=places[0].pool, stage_layers=split, elsewhere=places)
