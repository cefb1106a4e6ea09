"""The cause of a conflict: a code that scripts can read, and a sentence with the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from apex_opt.auditing.conflict import Found
from apex_opt.auditing.dials import Range
from apex_opt.auditing.entries import Entry
from apex_opt.auditing.judge import Judge
from apex_opt.auditing.near import closest, misses
from apex_opt.auditing.replica_causes import replica_cause
from apex_opt.auditing.result import Code
from apex_opt.auditing.stands import STANDS
from apex_opt.auditing.words import both, digits
from apex_opt.plan.companions import floor_ns
from apex_opt.plan.levels import NS_PER_MS, NS_PER_S, SHARE, Metric, request_limits_ns
from apex_opt.plan.likely import alone as of_one_kind
from apex_opt.plan.power import least_w
from apex_opt.plan.problem import MILLI, Problem
from apex_opt.plan.roles import APART, why_not_apart
from apex_opt.plan.tell import NAMES, label
from apex_opt.sim.member import Role
from apex_opt.solvers.fleet_alone import alone, fewest, most
from apex_opt.solvers.fleet_data import HORIZON, Kind
from apex_opt.spec.spec import Spec

RESOURCES: tuple[Code, ...] = (
    "power", "budget", "devices", "replicas", "starts", "spot", "spares", "stock", "node",
)  # fmt: skip


def cause(judge: Judge, found: Found, spec: Spec) -> tuple[Code, str]:
    """Return the code of a conflict of `spec`, and its story."""
    if found.verdict.stage == "replica":
        code, text = replica_cause(judge, found, spec)
        return (code if found.members else "nothing_helps"), text
    code = _code(found)
    return code, _length(judge, found) if code == "length" else _text(judge, found, code, spec)


def _code(found: Found) -> Code:
    families = {e.family for e in found.members}
    if _too_long(found):
        return "length"
    if not families:
        return "nothing_helps"
    if "slo" in families:
        return "slo.load" if "demand" in families else "slo.unreachable"
    if families & {"demand", "stability"}:
        return "demand"
    return next((code for code in RESOURCES if code in families), "choices")


def _too_long(found: Found) -> list[str]:
    """Return how many requests are longer than a replica takes, where that is what is missed."""
    asked = found.verdict.asked
    return (
        sorted({m for m in asked.alone_misses if m and m.startswith("completed")}) if asked else []
    )


def _length(judge: Judge, found: Found) -> str:
    """Return how many requests are too long, how long the longest is, and what is taken."""
    told = [words.removeprefix("completed (").removesuffix(")") for words in _too_long(found)]
    spec, load = found.core, judge.traffic(found.core).load
    longest = int((load.prompt_tokens + load.output_tokens).max())
    own = spec.engine.max_model_len
    key, most = (
        ("model.max_context", spec.model.max_context)
        if own is None
        else ("engine.max_model_len", own)
    )
    if longest > most:
        told.append(f"the longest has {longest:,} tokens, `{key}` is {most:,}")
    prompt = int(load.prompt_tokens.max())
    if found.verdict.asked is not None and "max_num_batched_tokens" in told[0]:
        step = max(c.rules.max_batch_tokens for c in found.verdict.asked.candidates)
        told.append(
            f"the longest prompt has {prompt:,} tokens, `engine.max_num_batched_tokens` is {step:,}"
        )
    levels = [f"`{e.key}` asks for {e.shown}" for e in found.members if e.family == "slo"]
    return "; ".join([*told, *levels])


def _text(judge: Judge, found: Found, code: Code, spec: Spec) -> str:
    """Return the story: what was asked, and how near the best that is possible comes."""
    asked = found.verdict.asked
    if code in {"starts", "spot", "spares"}:
        return f"{STANDS[code](found)}; {_asked_for(found)}"
    if code == "nothing_helps":
        return _nothing(found)
    if asked is None:
        return _smallest(found, code)
    if code in {"slo.unreachable", "slo.load"}:
        floors = "; ".join([*_floors(judge, found, asked, spec), *_share(found, asked)])
        known = (
            _simulated(judge, found, asked, spec)
            or floors
            or _pressed(found, asked)
            or _busy(asked)
        )
        return known or f"bounds exclude every plan; {_asked_for(found)}"
    if code == "demand":
        return _simulated(judge, found, asked, spec) or _last(found, asked) or _busy(asked) or MORE
    if code == "power" and not found.verdict.missed and alone(asked.data):
        return _least_power(found, asked)
    return _simulated(judge, found, asked, spec) or _smallest(found, code)


def _nothing(found: Found) -> str:
    """Return by how much the closest plan misses with every entry at the end of its range."""
    missed = found.verdict.missed
    words = [words for _, words in closest(found.core, missed)[1]] if missed else []
    told = f"the closest plan misses: {both(words)}" if words else "bounds exclude every plan"
    return f"with every entry at the end of its range {told}"


def _asked_for(found: Found) -> str:
    """Return what the entries of the conflict ask for."""
    return both([f"`{e.key}` = {e.shown}" for e in found.members])


def _simulated(judge: Judge, found: Found, asked: Problem, spec: Spec) -> str | None:
    """Return what the closest plan misses of the conflict, where plans were simulated.

    Entries that are not of the conflict are loosened there: what it misses of them is told too.
    """
    if not found.verdict.missed:
        return None
    plan, all_misses = closest(found.core, found.verdict.missed)
    mine = [words for key, words in all_misses if any(key == e.key for e in found.members)]
    each = [f"`{e.key}`" for e in found.members if e.family == "slo"]
    if not mine and each and plan.outcome is not None:  # levels on each, told as their share
        kept = plan.outcome.prediction.attainment
        mine = [f"{kept:.2%} of the requests keep {both(each)}"]
    mine = mine or [words for _, words in all_misses]
    many = len(found.verdict.missed)
    plans = f"all {many:,} plans" if many > 1 else "the one plan"
    others: list[str] = []
    if judge.memory.knows(spec, asked, plan.counts):
        same = judge.play(spec, judge.traffic(spec), asked, plan.counts)
        known = {key for key, _ in all_misses}
        others = [words for key, words in misses(spec, same) if key and key not in known]
    rest = f"; with all else as it is also {both(others)}" if others else ""
    return (
        f"{plans} within the bounds simulated; closest is {label(asked, plan.counts)}: "
        f"{both(mine)}{rest}"
    )


NOT_OF: dict[Metric, Role] = {"ttft_ms": "decode", "tpot_ms": "prefill", "itl_ms": "prefill"}
"""Roles that have no part in a metric."""


def _floors(judge: Judge, found: Found, asked: Problem, spec: Spec) -> Iterator[str]:
    """Yield for each level the least that even a lone request takes, on the best replica.

    That is the best replica of `spec`, and beside it the best where all else is loosened.
    """
    own = judge.problem(spec)
    for entry in found.members:
        if entry.family != "slo" or entry.key == "slo.attainment":
            continue
        metric, statistic = _metric(entry)
        best = _best_floor(asked, metric, statistic)
        if best is None or (isinstance(entry.dial, Range) and best[0] <= entry.dial.value):
            continue
        mine = (None if own is None else _best_floor(own, metric, statistic)) or best
        name = NAMES[metric][0] + (f" {statistic}" if statistic else "")
        loose = f", {digits(best[0])} ms with all else loosened ({best[1]})"
        yield (
            f"{name} is at least {digits(mine[0])} ms for requests alone on idle devices "
            f"({mine[1]}){'' if mine == best else loose}; `{entry.key}` asks for {entry.shown}"
        )


def _best_floor(asked: Problem, metric: Metric, statistic: str | None) -> tuple[float, str] | None:
    """Return the least bound of a statistic, ms, of any replica alone, and its label."""
    floors = [
        (_floor(asked, r, metric, statistic), one.replica.label)
        for r, one in enumerate(asked.candidates)
        if one.role != NOT_OF.get(metric) and most(asked.data, r)
    ]
    return min(floors, key=lambda floor: floor[0], default=None)


def _last(found: Found, asked: Problem) -> str | None:
    """Return when the last requests are done, each alone, if that is later than asked for."""
    entry = next((e for e in found.members if e.key == "slo.drain_s"), None)
    left_ns, mixed = asked.traffic.left_ns, asked.data.of_role("mixed")
    if entry is None or left_ns is None or asked.traffic.refused is not None or not mixed:
        return None
    late = [
        (floor_ns(asked.bounds[r], asked.traffic.features, "e2e_ms") - left_ns).max() for r in mixed
    ]
    over_ns, r = min(zip(late, mixed, strict=True))
    if over_ns <= 0 or not isinstance(entry.dial, Range):
        return None
    return (
        "even alone on idle devices the last requests are done "
        f"{digits(entry.dial.value + over_ns / NS_PER_S)} s after the last arrival at the earliest "
        f"({asked.candidates[r].replica.label}); `slo.drain_s` asks for {entry.shown}"
    )


def _share(found: Found, asked: Problem) -> Iterator[str]:
    """Yield how many requests can keep the limits on each even alone, on the best replica."""
    levels = {e.key: f"`{e.key}` = {e.shown}" for e in found.members if e.family == "slo"}
    least = levels.pop("slo.attainment", None)
    mixed = asked.data.of_role("mixed")
    if least is None or not levels or not mixed:
        return
    kept, r = max((_kept(found.core, asked, r), r) for r in mixed)
    if kept < found.core.slo.attainment:
        yield (
            f"at most {kept:.2%} of the requests keep {both(list(levels.values()))} alone on idle "
            f"devices ({asked.candidates[r].replica.label}); {least}"
        )


def _kept(spec: Spec, asked: Problem, r: int) -> float:
    """Return which share of the requests keep the limits on each where replica `r` serves alone."""
    late = np.zeros(asked.traffic.features.served, np.bool_)
    for metric, limit in request_limits_ns(spec.slo).items():
        late |= floor_ns(asked.bounds[r], asked.traffic.features, metric) > limit
    return float(np.count_nonzero(~late)) / asked.traffic.requests


def _metric(entry: Entry) -> tuple[Metric, str | None]:
    metric: Metric = entry.loc[1]  # type: ignore[assignment]  # a level stands under slo.<metric>
    return metric, str(entry.loc[2]) if len(entry.loc) > 2 else None


def _floor(asked: Problem, r: int, metric: Metric, statistic: str | None) -> float:
    """Return a bound of a statistic where replica `r` serves alone, ms; None: of the fastest."""
    floors = floor_ns(asked.bounds[r], asked.traffic.features, metric)
    known = floors[~np.isnan(floors)] / NS_PER_MS
    if statistic is None:
        return float(known.min())
    return float(known.mean() if statistic == "mean" else np.quantile(known, SHARE[statistic]))


Load = tuple[float, int, int]
"""How much is asked of a fleet of one kind, the kind and the number of replicas."""


def _strongest(asked: Problem, load: Callable[[Kind], float]) -> Load | None:
    """Return the least load of any fleet of one kind within the limits; None: there is no fleet.

    Of roles that are apart it is that of the role that has more to do.
    """
    data, found = asked.data, []
    roles: tuple[Role, ...] = ("mixed",) if data.of_role("mixed") else APART
    for role in roles:
        numbers = [(r, most(data, r)) for r in data.of_role(role)]
        fleets = [(load(data.kinds[r]) / n, r, n) for r, n in numbers if n]
        if fleets:
            found.append(min(fleets))
    return max(found, default=None)


def _pressed(found: Found, asked: Problem) -> str | None:
    """Return how far the strongest fleet falls short of what levels ask to be done in time."""
    known = _strongest(
        asked, lambda kind: max((sum(d.work) - d.late for d in kind.due), default=0) / HORIZON
    )
    if known is None or known[0] <= 1:
        return None
    ratio, r, n = known
    levels = both([f"`{e.key}` = {e.shown}" for e in found.members if e.family == "slo"])
    return (
        f"to keep {levels}, the strongest fleet of one kind that the limits allow, {n:,} x "
        f"{asked.candidates[r].replica.label}, needs at least {digits(ratio)} times the time that "
        "there is"
    )


MORE = "the traffic is more than what any fleet within the limits serves in time"


def _busy(asked: Problem) -> str | None:
    """Return how long the strongest fleet of one kind works on what arrives; None: no longer."""
    horizon_s, span_s = asked.traffic.horizon_s, asked.traffic.span_s
    known = _strongest(
        asked, lambda kind: max((sum(row) for row in kind.work), default=0) / HORIZON
    )
    if known is None or horizon_s is None:
        return MORE
    seconds = known[0] * horizon_s
    if seconds <= span_s:
        return None
    return (
        f"what arrives in {digits(span_s)} s is work for at least {digits(seconds)} s on the "
        f"strongest fleet of one kind that the limits allow, {known[2]:,} x "
        f"{asked.candidates[known[1]].replica.label}"
    )


def _least_power(found: Found, asked: Problem) -> str:
    """Return the least peak of power of any fleet of one kind that may carry the traffic."""
    data = asked.data
    able = [r for r in data.of_role("mixed") if data.kinds[r].companions is None]
    fleets = [(fewest(data, r), r) for r in able or data.of_role("mixed")]
    watts, n, r = min((n * data.kinds[r].power_mw / MILLI, n, r) for n, r in fleets)
    return (
        f"the fleet that draws least, {label(asked, of_one_kind(asked, r, n))}, draws at least "
        f"{digits(watts)} W at its peak; {_asked_for(found)}"
    )


def _smallest(found: Found, code: Code) -> str:
    """Return what the replica takes that takes the least of a resource, or two that are apart."""
    legal = [shape for shape, _ in found.verdict.found.legal]
    apart = found.core.parallelism.disaggregate == "only"
    shapes = [s for s in legal if why_not_apart(s) is None] if apart else legal
    if not shapes:
        return f"{why_not_apart(legal[0])}; {_asked_for(found)}"
    keys = {e.key for e in found.members}
    does = next((does for key, does in OF_A_ROLE.items() if key in keys), None)
    two = apart and does is None
    times = 2 if two else 1
    if code == "budget":
        least, s = min(((s.price_per_hour, s) for s in shapes), key=lambda x: x[0])
        taken = f"cost{'' if two else 's'} {digits(times * least)} USD/h"
    elif code == "power":
        least, s = min(((sum(least_w(found.core, s)), s) for s in shapes), key=lambda x: x[0])
        watts, rated = f"{digits(times * least)} W", found.core.limits.power_by == "rated"
        idle = f"draw{'' if two else 's'} {watts} when idle"
        taken = f"{'are' if two else 'is'} rated for {watts}" if rated else idle
    else:
        s = min(shapes, key=lambda s: s.devices)
        devices = times * s.devices
        taken = f"take{'' if two else 's'} {devices:,} device{'' if devices == 1 else 's'}"
    name = f"{s.pool.name} TP{s.tensor}" + (f" PP{s.pipeline}" if s.pipeline > 1 else "")
    who = f"the smallest replica{f' that {does}' if does else ''}, {name} {s.weights.name},"
    if two:
        who = f"prefill and decode apart are 2 replicas at least; 2 x {name} {s.weights.name}"
    return f"{who} {taken}; {_asked_for(found)}"


OF_A_ROLE = {"limits.prefill_devices": "prefills", "limits.decode_devices": "decodes"}
"""Limits on the replicas of one role, and what these do."""
