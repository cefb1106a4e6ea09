"""Results made by hand, with numbers that are easy to follow through a report."""

from __future__ import annotations

from typing import Any

from apex_opt.plan.result import (
    Band,
    Binding,
    Check,
    Deployment,
    End,
    EngineSettings,
    Ground,
    Memory,
    Placement,
    Plan,
    Prediction,
    Proof,
    Rejected,
    Replica,
    Result,
    Statistics,
)

GIB = 2**30


def statistics(mean: float) -> Statistics:
    """A distribution whose percentiles are round multiples of its mean."""
    return Statistics(mean=mean, p50=0.8 * mean, p90=1.5 * mean, p95=2 * mean, p99=4 * mean)


def replica(**changes: Any) -> Replica:
    engine = EngineSettings(
        name="vllm",
        version="0.19",
        max_num_seqs=1024,
        max_num_batched_tokens=8192,
        max_model_len=15008,
        block_size=16,
        gpu_memory_utilization=0.9,
        chunked_prefill=True,
        prefix_caching=False,
        async_scheduling=True,
        cuda_graphs=True,
    )
    memory = Memory(
        total=80 * GIB,
        weights=35 * GIB,
        activations=2 * GIB,
        graphs=GIB // 2,
        other=GIB // 100,
        reserve=8 * GIB,
        kv_cache=30 * GIB,
        free=80 * GIB - 75 * GIB - GIB // 2 - GIB // 100,
    )
    base: dict[str, Any] = {
        "pool": "h100",
        "device": "h100-sxm-80gb",
        "tensor": 4,
        "pipeline": 1,
        "expert": 1,
        "weights": "bf16",
        "kv_cache": "bf16",
        "engine": engine,
        "stage_layers": (80,),
        "devices": 4,
        "kv_blocks": 24_576,
        "kv_tokens": 393_216,
        "memory": memory,
    }
    return Replica(**{**base, **changes})


def deployment(count: int = 2, **changes: Any) -> Deployment:
    base: dict[str, Any] = {
        "replica": replica(),
        "count": count,
        "weight": 1,
        "share": 1.0,
        "nodes": ((Placement(node=0, stage=0, devices=4),),) * count,
    }
    return Deployment(**{**base, **changes})


def prediction(**changes: Any) -> Prediction:
    base: dict[str, Any] = {
        "requests": 2000,
        "completed": 2000,
        "rejected": 0,
        "preemptions": 3,
        "ttft_ms": statistics(120.0),
        "tpot_ms": statistics(9.0),
        "itl_ms": statistics(9.5),
        "e2e_ms": statistics(3000.0),
        "queue_ms": statistics(0.25),
        "duration_s": 500.0,
        "drain_s": 4.5,
        "drain_limit_s": 110.0,
        "stable": True,
        "requests_per_s": 4.0,
        "prompt_tokens_per_s": 4620.0,
        "output_tokens_per_s": 844.0,
        "goodput_rps": 4.0,
        "attainment": 1.0,
        "mean_batch": 6.5,
        "busy": 0.97,
        "mfu": 0.081,
        "mbu": 0.42,
        "kv_use_mean": 0.034,
        "kv_use_peak": 0.12,
        "energy_j": 1.5e6,
        "energy_j_per_request": 750.0,
        "energy_j_per_output_token": 3.55,
        "power_mean_w": 3000.0,
        "power_peak_w": 5234.0,
        "cost_per_hour": 23.6,
        "cost_per_million_output_tokens": 7.767,
    }
    return Prediction(**{**base, **changes})


def band(found: Prediction, low: float = 0.8, high: float = 1.5) -> Band:
    """A band whose ends are so many times the figures of a prediction."""

    def end(factor: float) -> End:
        values = {name: getattr(found, name) for name in End.model_fields}
        return End.model_validate({name: _times(value, factor) for name, value in values.items()})

    grounds = (
        Ground(what="TPOT of vllm 0.19, other models measured", half_width=0.155, source="runs"),
        Ground(what="kernels of h100-sxm-80gb, measured", half_width=0.09, source="kernels"),
    )
    return Band(low=end(low), high=end(high), rests_on=grounds)


def _times(value: float | Statistics, factor: float) -> float | Statistics:
    if isinstance(value, Statistics):
        return Statistics(**{k: v * factor for k, v in value.model_dump().items()})
    return value * factor


def checks() -> tuple[Check, ...]:
    return (
        Check(metric="ttft_ms", statistic="p99", limit=2000.0, value=480.0, met=True),
        Check(metric="tpot_ms", statistic="p99", limit=40.0, value=36.0, met=True),
        Check(metric="completed", statistic="share", limit=0.99, value=1.0, met=True),
        Check(metric="drain_s", statistic="end", limit=110.0, value=4.5, met=True),
    )


def plan(**changes: Any) -> Plan:
    base: dict[str, Any] = {
        "rank": 1,
        "deployments": (deployment(),),
        "devices": 8,
        "cost_per_hour": changes.get("prediction", prediction()).cost_per_hour,
        "objective": 23.6,
        "prediction": prediction(),
        "checks": checks(),
        "limits": (Binding(limit="pools.h100.devices", value=8.0, used=8.0, unit="devices"),),
    }
    return Plan(**{**base, **changes})


def result(**changes: Any) -> Result:
    tp8 = deployment(1, replica=replica(tensor=8, devices=8, weights="fp8", kv_cache="fp8"))
    base: dict[str, Any] = {
        "apexopt_version": "0.1.0",
        "model": "llama-3.1-70b",
        "objective": "minimize cost",
        "unit": "USD/h",
        "seed": 0,
        "traffic": "2,000 requests over 8.3 min (4/s), prompts 1,155 mean / 4,100 p99, "
        "outputs 211 / 900",
        "proof": Proof(
            status="optimal",
            objective="cost",
            best=23.6,
            bound=23.6,
            gap=0.0,
            simulated=6,
            space=40,
            replicas=12,
            ranked=3,
            text="proved optimal for this traffic and seed: 6 plans simulated, 40 in the space",
        ),
        "plans": (plan(), plan(rank=2, deployments=(tp8,), objective=29.5)),
        "rejected": (Rejected(label="1 x h100 TP4 bf16", reason="TTFT p99 2,400 ms > 2,000 ms"),),
        "spec": {"model": {"aliases": ["llama", "meta-llama/Llama-3.1-70B"]}},
        "solve_s": 1.5,
    }
    return Result(**{**base, **changes})
