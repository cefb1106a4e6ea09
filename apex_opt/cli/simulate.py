"""`apexopt simulate SPEC`: play the traffic of a spec on a plan of your choice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apex_opt.cli import choice as options
from apex_opt.cli.solve import JsonTarget, Quiet, Seed, SpecFile
from apex_opt.errors import CallError

SPARKS = 240
"""Rows of the time line where only people look at it."""

Timeline = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=100_000,
        metavar="ROWS",
        help="Most rows of the time line in the JSON, 0: none; default 500.",
    ),
]
Requests = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Write a row a request, as .csv or .parquet (extra `parquet`)."
    ),
]


def simulate(
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
    stages: options.Stages = None,
    weights: options.Weights = None,
    kv_cache: options.KvCache = None,
    prefill: options.Prefill = None,
    decode: options.Decode = None,
    router: options.RouterName = None,
    timeline: Timeline = None,
    requests: Requests = None,
    json: JsonTarget = None,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Simulate the traffic of SPEC on a plan: one that `solve` wrote, or --tensor, --replicas.

    --prefill and --decode put prompts and the rest on different replicas. Exit status: 0
    simulated, whether or not the service levels are met; 2 the spec or the call is wrong.
    """
    from rich.console import Console

    from apex_opt import api
    from apex_opt.cli import output
    from apex_opt.report.command import checkpoint
    from apex_opt.report.progress import progress
    from apex_opt.report.requests import encoder
    from apex_opt.report.simulation import render_plan

    wish = {"tensor": tensor, "pipeline": pipeline, "expert": expert, "replicas": replicas}
    wish |= {"attention_data": attention_data, "context": context}
    formats = {"pool": pool, "weights": weights, "kv_cache": kv_cache}
    own = {**wish, **formats, "stages": options.read_stages(stages)}
    chosen = options.choice(plan, rank, own, (prefill, decode), router)
    encode = None if requests is None else encoder(requests)
    for target in filter(None, (json, requests)):
        output.check(target)
    if (
        requests is not None
        and json is not None
        and Path(requests).resolve() == Path(json).resolve()
    ):
        raise CallError(f"the plan and its requests cannot both go to {json}")
    rows = (500 if json is not None else SPARKS) if timeline is None else timeline
    with progress(quiet=quiet) as listen:
        loaded = api.load(spec)
        played = api.play(loaded, chosen, rows=rows, seed=seed, listen=listen)
    if encode is not None and requests is not None:
        output.write_bytes(encode(played.requests), requests)
    if json is not None:
        output.write(played.plan.model_dump_json(indent=2), json)
    if json != "-":
        model = checkpoint(loaded.model.name, loaded.model.aliases)
        render_plan(played.plan, Console(highlight=False), model)
