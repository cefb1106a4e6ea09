"""Options that say which plan is meant: one that `solve` wrote, or one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from apex_opt.errors import CallError

if TYPE_CHECKING:
    from apex_opt.plan.by_hand import Wish
    from apex_opt.plan.simulate import Choice
    from apex_opt.spec.routing import Router

PlanFile = Annotated[
    str | None, typer.Option("--plan", metavar="PLAN.json", help="A plan of `solve` or `simulate`.")
]
Rank = Annotated[int, typer.Option(min=1, max=100, help="Which plan of the file.")]
Tensor = Annotated[int | None, typer.Option(min=1, help="Tensor parallel degree.")]
Pipeline = Annotated[int | None, typer.Option(min=1, help="Pipeline stages.")]
Expert = Annotated[int | None, typer.Option(min=1, help="Expert parallel degree.")]
AttentionData = Annotated[
    int | None,
    typer.Option(min=1, max=65_536, help="Ranks with attention of their own that share experts."),
]
Context = Annotated[
    int | None,
    typer.Option(min=1, max=65_536, help="Devices that share out the tokens of a key-value head."),
]
Replicas = Annotated[
    int | None, typer.Option(min=1, help="Copies; default: as many as fit the pool and the limits.")
]
PoolName = Annotated[str | None, typer.Option(help="Pool; default: the first.")]
Stages = Annotated[
    str | None,
    typer.Option(
        metavar="STAGES",
        help='Pool and layers of each pipeline stage, such as "a100=40,l4=20,l4=20".',
    ),
]
Weights = Annotated[str | None, typer.Option(help="Weight format.")]
KvCache = Annotated[str | None, typer.Option(help="KV-cache format.")]
Prefill = Annotated[
    str | None,
    typer.Option(
        metavar="WISH", help='Replicas that compute prompts, such as "tensor=4,replicas=2".'
    ),
]
Decode = Annotated[
    str | None, typer.Option(metavar="WISH", help="Replicas that decode what --prefill began.")
]
RouterName = Annotated[
    str | None,
    typer.Option(
        "--router",
        metavar="NAME",
        help="round_robin, random, least_outstanding, least_kv or prefix_affinity; default: the "
        "plan's, else the spec's.",
    ),
]


def choice(
    plan: str | None,
    rank: int,
    wish: dict[str, Any],
    roles: tuple[str | None, str | None],
    router: str | None,
) -> Choice:
    """Return the plan that the options mean.

    Args:
        plan: a file.
        rank: of the plan in it.
        wish: what each option of a wish says.
        roles: wishes for prefill and decode, as text.
        router: its name.

    Raises:
        CallError: they contradict each other, or one of them means nothing.
    """
    from apex_opt.plan.by_hand import Wish
    from apex_opt.plan.plan_file import read_plan
    from apex_opt.plan.simulate import Choice

    own = Wish(**wish)
    named = own != Wish()
    if plan is not None and (named or roles != (None, None)):
        raise CallError("--plan names the whole plan; leave out --tensor and the like")
    if plan is None and rank != 1:
        raise CallError(f"--rank {rank} is of the plans in a file; name it with --plan")
    if named and roles != (None, None):
        raise CallError("--prefill and --decode name the whole plan; leave out --tensor and so on")
    if (roles[0] is None) != (roles[1] is None):
        raise CallError("--prefill and --decode need each other")
    prefill, decode = roles
    return Choice(
        plan=None if plan is None else read_plan(plan, rank),
        wish=own if named else None,
        prefill=None if prefill is None else read_wish(prefill, "--prefill"),
        decode=None if decode is None else read_wish(decode, "--decode"),
        router=None if router is None else read_router(router),
    )


def read_router(text: str) -> Router:
    """Return the router of this name; `-` is as good as `_`.

    Raises:
        CallError: there is none.
    """
    from typing import get_args

    from apex_opt.spec.routing import Router
    from apex_opt.spec.words import name, nearest

    known: dict[str, Router] = {router: router for router in get_args(Router)}
    found = known.get(text.replace("-", "_"))
    if found is None:
        told = f"--router: unknown {name(text)}; known are {', '.join(known)}"
        raise CallError(f"{told}{nearest(text, known)}")
    return found


def read_stages(text: str | None) -> tuple[tuple[str, int], ...]:
    """Return pool and layers of each stage, from a text such as `a100=40,l4=20,l4=20`.

    Raises:
        CallError: a stage is no `pool=layers`.
    """
    from apex_opt.spec.words import name

    stages = []
    for item in (text or "").split(",") if text is not None else ():
        pool, _, layers = (part.strip() for part in item.partition("="))
        if not pool or not (layers.isascii() and layers.isdigit() and 1 <= int(layers) <= 10_000):
            raise CallError(f"--stages: {name(item)} is no `pool=layers` such as `a100=40`")
        stages.append((pool, int(layers)))
    return tuple(stages)


def read_wish(text: str, option: str) -> Wish:
    """Return the wish that a list of `key=value` means.

    Args:
        text: such as `tensor=4,replicas=2`.
        option: what messages call it.

    Raises:
        CallError: a key is unknown or named twice, a number is none or below 1.
    """
    from dataclasses import fields

    from apex_opt.plan.by_hand import Wish
    from apex_opt.spec.words import name, nearest

    words = {"pool", "weights", "kv_cache"}
    known = [field.name for field in fields(Wish) if field.name != "stages"]
    found: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        key = key.replace("-", "_")
        if key not in known or not equals or not value:
            told = f"{option}: {name(item)} is no `key=value`; keys are {', '.join(known)}"
            raise CallError(f"{told}{nearest(key, known) if key not in known else ''}")
        if key in found:
            raise CallError(f"{option}: `{key}` stands there twice")
        if key not in words and not (value.isascii() and value.isdigit() and int(value) >= 1):
            raise CallError(
                f"{option}: `{key}` must be a whole number from 1 on, got {name(value)}"
            )
        found[key] = value if key in words else int(value)
    return Wish(**found)
