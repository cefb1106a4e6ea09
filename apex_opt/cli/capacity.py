"""`apexopt capacity SPEC`: how much a plan carries."""

from __future__ import annotations

from typing import Annotated

import typer

from apex_opt.cli import choice as options
from apex_opt.cli.solve import JsonTarget, Quiet, Seed, SpecFile

Seeds = Annotated[
    int, typer.Option(min=1, max=1000, metavar="N", help="Draws of the traffic to play.")
]
Tolerance = Annotated[
    float,
    typer.Option(min=1e-6, max=0.5, metavar="SHARE", help="How well the limit is to be known."),
]


def capacity(
    spec: SpecFile,
    plan: options.PlanFile = None,
    rank: options.Rank = 1,
    tensor: options.Tensor = None,
    pipeline: options.Pipeline = None,
    expert: options.Expert = None,
    attention_data: options.AttentionData = None,
    context: options.Context = None,
    replicas: options.Replicas = None,
    pool: options.PoolName = None,
    weights: options.Weights = None,
    kv_cache: options.KvCache = None,
    prefill: options.Prefill = None,
    decode: options.Decode = None,
    router: options.RouterName = None,
    seeds: Seeds = 5,
    tolerance: Tolerance = 0.01,
    json: JsonTarget = None,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Find the highest rate at which a plan keeps the service levels of SPEC and is stable.

    The requests of SPEC are played faster and faster, up a grid to the first rate that does not
    hold, then by bisection; in a closed loop, from more and more clients. Exit status: 0 found,
    which may be a rate of 0; 2 the spec or the call is wrong.
    """
    from rich.console import Console

    from apex_opt import api
    from apex_opt.cli import output
    from apex_opt.report.capacity import render_capacity
    from apex_opt.report.progress import progress

    wish = {"tensor": tensor, "pipeline": pipeline, "expert": expert, "replicas": replicas}
    wish |= {"attention_data": attention_data, "context": context}
    formats = {"pool": pool, "weights": weights, "kv_cache": kv_cache}
    chosen = options.choice(plan, rank, {**wish, **formats}, (prefill, decode), router)
    if json is not None:
        output.check(json)
    with progress(quiet=quiet) as listen:
        accuracy = api.Accuracy(tolerance, seeds)
        found = api.capacity(api.load(spec), chosen, accuracy=accuracy, seed=seed, listen=listen)
    if json is not None:
        output.write(found.model_dump_json(indent=2), json)
    if json != "-":
        render_capacity(found, Console(highlight=False))
