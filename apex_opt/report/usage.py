"""What a plan does and what it takes: throughput, load, energy, power, price."""

from __future__ import annotations

from apex_opt.plan.result import Plan, Prediction
from apex_opt.report.band import ends, inside
from apex_opt.report.layout import Section, pairs, section
from apex_opt.report.numbers import figure, money, percent, plural, power, quota


def usage(plan: Plan) -> Section:
    """Return lines on what the simulation of a plan shows beside latency."""
    found = plan.prediction
    rows = {
        "requests": _requests(found),
        "throughput": _throughput(found),
        "goodput": _goodput(found),
        **_hits(found),
        "engine": f"mean batch {figure(found.mean_batch)} sequences, busy {percent(found.busy)}",
        "hardware": f"MFU {percent(found.mfu)}, MBU {percent(found.mbu)}",
        "KV cache": f"{percent(found.kv_use_mean)} used, {percent(found.kv_use_peak)} at the peak",
        "energy": _energy(found),
        "power": _power(found),
        "price": _price(found),
    }
    return section("Throughput and use", pairs(rows.items()))


def _hits(found: Prediction) -> dict[str, str]:
    """Return the line of the prefix cache, where it found anything."""
    if not found.hit_tokens_share:
        return {}
    return {"prefix cache": f"{percent(found.hit_tokens_share)} of the prompt tokens found in it"}


def _throughput(found: Prediction) -> str:
    prompt, output = figure(found.prompt_tokens_per_s), figure(found.output_tokens_per_s)
    near = inside(ends(found, "requests_per_s"))
    rate = f"{figure(found.requests_per_s)} requests/s{near}"
    return f"{rate}, {prompt} prompt + {output} output tokens/s"


def _goodput(found: Prediction) -> str:
    share = quota(found.attainment)
    near = inside(ends(found, "goodput_rps"))
    rate = f"{figure(found.goodput_rps)} requests/s{near}"
    return f"{rate} meet their limits, {share} of all requests"


def _energy(found: Prediction) -> str:
    request, token = figure(found.energy_j_per_request), figure(found.energy_j_per_output_token)
    near = inside(ends(found, "energy_j_per_request"))
    return f"{request} J a request{near}, {token} J an output token"


def _power(found: Prediction) -> str:
    mean, peak = (inside(ends(found, f"power_{which}_w"), power) for which in ("mean", "peak"))
    words = [f"{power(found.power_mean_w)} mean{mean}", f"{power(found.power_peak_w)} peak{peak}"]
    if found.power_window_w is not None:
        words.append(f"{power(found.power_window_w)} over the window")
    rated = "" if found.power_rated_w is None else f"; {power(found.power_rated_w)} rated"
    return ", ".join(words) + rated


def _price(found: Prediction) -> str:
    if not found.cost_per_hour:
        return "none given"
    tokens = money(found.cost_per_million_output_tokens)
    extra = found.extra_cost_per_hour
    more = f", and {money(extra)} an hour for lost quality and starts" if extra else ""
    return f"{money(found.cost_per_hour)} an hour, {tokens} a million output tokens{more}"


def _requests(found: Prediction) -> str:
    text = f"{found.completed:,} of {found.requests:,} completed"
    text += f", {found.rejected:,} rejected" if found.rejected else ", none rejected"
    text += f", {plural(found.preemptions, 'preemption')}"
    return text + ("" if found.stable else "; NOT STABLE, the backlog grows")
