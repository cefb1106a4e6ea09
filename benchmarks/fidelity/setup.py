"""A case as apexopt plans it: the spec of its run, the replica that ran, the requests it served."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from apex_opt.errors import CallError
from apex_opt.plan.by_hand import Wish, from_wish
from apex_opt.plan.solve import longest_request
from apex_opt.plan.use import Part
from apex_opt.sim.load import Load
from apex_opt.spec import catalog
from apex_opt.spec.device_link import Link
from apex_opt.spec.engine import Engine, EngineRelease, Overheads
from apex_opt.spec.goals import Limits
from apex_opt.spec.model import Model
from apex_opt.spec.pools import Device, Pool
from apex_opt.spec.quantization import Quantization
from apex_opt.spec.spec import Spec
from apex_opt.spec.speculation import Speculation
from apex_opt.spec.workload import Prefix, Workload
from apex_opt.trace.traffic import traffic
from benchmarks.fidelity import clients, formats, recipes
from benchmarks.fidelity.case import Case, known
from benchmarks.fidelity.degrees import Degrees, counted_once, degrees, dense, flagged, ranked
from benchmarks.fidelity.recipe import DEFAULTS, Recipe

SETTINGS = frozenset(Engine.model_fields) - {"name", "version"}
CUSTOM = "custom_all_reduce"
"""A setting of the machine's collectives: without it engines call NCCL for all-reduces."""

ASSUMED = ("max_num_batched_tokens", "max_num_seqs", "gpu_memory_utilization")

SEED = 0


@dataclass(frozen=True)
class Run:
    """What is simulated for a case.

    Attributes:
        spec: its spec.
        part: the replicas.
        load: the requests.
        recipe: what was assumed of its settings.
    """

    spec: Spec
    part: Part
    load: Load
    recipe: Recipe = DEFAULTS

    @property
    def alike(self) -> bool:
        """Whether its ranks wait for each other's prompts, so that one stands for all."""
        return self.recipe.balanced_steps > 0


def passed_over(case: Case) -> tuple[str, ...]:
    """Return the engine settings of a case that have no counterpart in a spec."""
    return tuple(sorted(case.engine.keys() - SETTINGS - {"name", "version", CUSTOM}))


def engine(case: Case, recipe: Recipe = DEFAULTS) -> Engine:
    """Return the engine of a case. A version without a number (`nightly-…`) is the newest known."""
    version = case.engine.get("version")
    numbered = version is not None and catalog.version_key(version) is not None
    assumed = {key: getattr(recipe, key) for key in ASSUMED}
    chosen = known(assumed) | {k: value for k, value in case.engine.items() if k in SETTINGS}
    if recipe.guesses:
        chosen["speculation"] = Speculation(
            method="mtp", tokens=recipe.guesses, acceptance=recipe.acceptance
        )
    for key in ("max_num_seqs", "max_num_batched_tokens"):
        if key in chosen:
            chosen[key] = (chosen[key],)
    return Engine(name=case.engine["name"], version=version if numbered else None, **chosen)


def workload(case: Case, ranks: int = 1) -> Workload:
    """Return the traffic of a case; of each of its `ranks`, where one stands for all.

    Raises:
        CallError: it arrives in a way that is not known here.
    """
    given = case.workload
    if given["arrival"] == "trace":
        return Workload(arrival="trace", file=given["file"])
    prompt, output = round(given["prompt_tokens"]), round(given["output_tokens"])
    if given["arrival"] == "closed":
        return clients.closed(
            case.engine["name"],
            (prompt, output),
            -(-clients.total(case.parallel, given["concurrency"]) // ranks),
        )
    if given["arrival"] != "constant":
        raise CallError(f"arrival `{given['arrival']}` is none of constant, trace, closed")
    shared = round(given.get("shared_prefix_tokens") or 0)
    prefix = Prefix(groups=given.get("prefix_groups") or 1, tokens=shared) if shared else None
    return Workload(
        arrival="constant",
        rate_rps=given["rate_rps"],
        requests=round(given["rate_rps"] * given["duration_s"]),
        prompt_tokens=clients.lengths(prompt, spread=False),
        output_tokens=clients.lengths(output, spread=False),
        prefix=prefix,
        distinct_prompts=given.get("distinct_prompts"),
    )


def nccl_only(device: Device) -> Link:
    """Return the link of a device whose engine has no all-reduce of its own."""
    own = device.link.collectives.get("all_reduce")
    if own is None:
        return device.link
    return device.link.model_copy(update={key: getattr(own, key) for key in type(own).model_fields})


def pool(case: Case, shape: Degrees) -> Pool:
    """Return a pool that holds just the replicas of a case."""
    device = catalog.device(case.device)
    each = shape.stage_devices * shape.pipeline
    inside = min(device.devices_per_node, each)
    link = None if case.engine.get(CUSTOM, True) else nccl_only(device)
    nodes = -(-each // inside) * shape.replicas
    return Pool(name="measured", device=device, nodes=nodes, devices_per_node=inside, link=link)


def prepare(case: Case) -> Run:
    """Return what is simulated for a case: the first way to read its degrees that can be started.

    Devices that a record may count twice are counted once; else it stands as it is; else whole
    experts are spread where it has them split, if an engine refuses to split them. A dense model
    has neither experts nor ranks. Formats of weights: see `formats.readings`.

    Raises:
        ApexError, ValueError: the case cannot be predicted, with the reason.
    """
    model, written = catalog.model(case.model), degrees(case.parallel)
    blocks = formats.reads_blocks(case.engine["name"], case.engine.get("version"))
    shapes = [counted_once(case.parallel), written]
    if formats.routed(model):
        shapes = [flagged(case.parallel), *shapes, replace(written, expert=True)]
    else:
        shapes = [shape and dense(shape) for shape in shapes]
    readings = formats.readings(model, case.weights, blocks=blocks)
    refused: list[CallError] = []
    for shape, weights in product(filter(None, shapes), readings):
        run = _attempt(case, shape, model, weights)
        if isinstance(run, Run):
            return run
        refused.append(run)
    raise refused[0]


def _attempt(case: Case, written: Degrees, model: Model, weights: str) -> Run | CallError:
    """Return what is simulated with these degrees and weights, or why it cannot be started."""
    try:
        return _prepared(case, written, model, weights)
    except CallError as why:
        return why


def _prepared(case: Case, written: Degrees, model: Model, weights: str) -> Run:
    recipe = recipes.recipe(case, weights)
    shape = written if recipe.ranks is None else ranked(written, recipe.ranks)
    if recipe.spread is not None:
        shape = replace(shape, expert=recipe.spread)
    offered = workload(case, shape.attention_data if recipe.balanced_steps else 1)
    spec = Spec(
        model=model,
        pools=(pool(case, shape),),
        quantization=Quantization(
            weights=(catalog.weight_format(weights),),
            kv_cache=(catalog.kv_format(case.kv_cache or recipe.kv_cache),),
        ),
        engine=engine(case, recipe),
        workload=offered,
        limits=Limits(memory_reserve_fraction=0.0),
    )
    requests = traffic(offered, SEED, case.folder, model)
    wish = Wish(
        tensor=shape.tensor,
        pipeline=shape.pipeline,
        expert=shape.stage_devices if shape.expert else 1,
        attention_data=shape.attention_data,
        replicas=shape.replicas,
    )
    (part,) = from_wish(spec, wish, longest_request(spec, requests))
    if offered.arrival == "closed":
        part = _late(part)
    return Run(spec, _captured(part, recipe), requests.load, recipe)


def with_overheads(part: Part, overheads: Overheads) -> Part:
    """Return a part whose engine has other overheads."""
    release = part.candidate.shape.release
    return with_release(part, release.model_copy(update={"overheads": overheads}))


def with_release(part: Part, release: EngineRelease) -> Part:
    """Return a part of another release of its engine."""
    old = part.candidate
    return replace(part, candidate=replace(old, shape=replace(old.shape, release=release)))


def _late(part: Part) -> Part:
    """Return a part whose first tokens come as late as in closed loops."""
    shape = part.candidate.shape
    late_ms = clients.LATE_MS.get((shape.settings.engine, shape.release.version), 0.0)
    own = shape.release.overheads
    total = own.model_copy(update={"request_ms": own.request_ms + late_ms})
    return with_overheads(part, total)


def _captured(part: Part, recipe: Recipe) -> Part:
    """Return a part whose CUDA graphs take as much as is assumed, if anything is."""
    old, most = part.candidate, recipe.graph_tokens
    if recipe.graph_sequences is not None:
        most = recipe.graph_sequences * (recipe.guesses + 1)
    if most is None:
        return part
    most = min(most, old.shape.settings.max_num_batched_tokens)
    shape = replace(old.shape, settings=replace(old.shape.settings, graph_tokens=most))
    return replace(part, candidate=replace(old, shape=shape))
