"""The traffic of a spec: the requests of its trace, or requests drawn as it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from apex_opt.errors import SpecError
from apex_opt.sim.load import Load
from apex_opt.sim.steps import Int64
from apex_opt.spec.model import Model
from apex_opt.spec.workload import Workload
from apex_opt.trace.arrivals import NS
from apex_opt.trace.chance import Chance
from apex_opt.trace.draw import drawn
from apex_opt.trace.encoders import encoded, illustrated, images, once_for_samples
from apex_opt.trace.play import opened, played
from apex_opt.trace.prompts import shared


@dataclass(frozen=True)
class Traffic:
    """The requests that a plan must serve.

    Attributes:
        load: the requests, as the simulator plays them.
        description: one line for people, with what of a trace is not used.
        rate_rps: requests a second, over the time in which they arrive, all turns and no samples
            counted; None in a closed loop, and where all arrive at once.
        samples: consecutive requests of `load` that are the samples of one.
    """

    load: Load
    description: str
    rate_rps: float | None
    samples: int = 1


def traffic(workload: Workload, seed: int, folder: Path, model: Model | None = None) -> Traffic:
    """Return the traffic that `workload` describes.

    Whatever is drawn has a stream of chance of its own: to change one leaves the others as they
    were.

    Args:
        workload: as loaded, so that what its arrival needs is there.
        seed: seed of the streams, unless the workload has its own.
        folder: where the path of a trace begins.
        model: the model that serves it; None: one without an encoder.

    Raises:
        TraceError: the trace has faults.
        SpecError: the trace is shorter than asked, or the traffic goes on for over ten years.
    """
    chance = Chance.of(seed if workload.seed is None else workload.seed)
    origin, told = "", tuple[str, ...]()
    try:
        if workload.file is not None:
            trace = opened(workload, workload.file, folder)
            load = played(trace, workload)
            origin, told = f", from {trace.path.name}", trace.notes
        elif workload.lengths_from is not None:
            trace = opened(workload, workload.lengths_from, folder)
            load = drawn(workload, chance, (trace.prompt_tokens, trace.output_tokens))
            origin, told = f", lengths from {trace.path.name}", trace.notes
        else:
            load = drawn(workload, chance, None)
        count = images(workload, len(load), chance)
        if model is not None and model.vision is not None and count.any():
            load = illustrated(load, count, model.vision)
        load, notes = shared(load, workload, chance)
        found = _described(load, workload.samples, "; ".join([origin, *told, *notes]), count)
        return replace(found, load=_read(load, workload.samples, model))
    except ValueError as why:
        raise SpecError(f"workload: {why}") from None


def _read(load: Load, samples: int, model: Model | None) -> Load:
    """Return the requests with what the model's encoder reads of them."""
    if model is not None and model.encoder is not None:
        return encoded(load, model.encoder)
    return once_for_samples(load, samples) if len(load.encoder_tokens) and samples > 1 else load


def _described(load: Load, samples: int, more: str, count: Int64) -> Traffic:
    opens = load.opens
    seconds = float(load.arrival_ns[opens[-1]] - load.arrival_ns[opens[0]]) / NS
    requests = len(load) // samples
    # Later turns have no time of arrival: they come at the rate of their sessions.
    turns = len(load) / len(opens)
    rate = (len(opens) // samples - 1) / seconds * turns if seconds else None
    if load.concurrency:
        when = f" from {load.concurrency:,} clients in a closed loop"
    elif rate is None:
        when = " at once"
    else:
        when = f" over {_duration(seconds)} ({rate:.3g}/s)"
    words = [f"{requests:,} request{'' if requests == 1 else 's'}{when}"]
    if len(load.after):
        words.append(f"in {len(opens):,} session{'' if len(opens) == 1 else 's'}")
    if samples > 1:
        words.append(f"{samples:,} samples each")
    if count.any():
        words.append(f"{count.mean():.3g} images each")
    words.append(f"prompts {_lengths(load.prompt_tokens, ' mean', ' p99')}")
    words.append(f"outputs {_lengths(load.output_tokens, '', '')}")
    return Traffic(load, ", ".join(words) + more, rate, samples)


def _lengths(tokens: Int64, mean: str, p99: str) -> str:
    """Return `1,155 mean / 4,142 p99`."""
    return f"{tokens.mean():,.0f}{mean} / {np.percentile(tokens, 99):,.0f}{p99}"


def _duration(seconds: float) -> str:
    """Return a time with its natural unit: `58 min`."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
