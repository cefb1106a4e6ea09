"""What the encoder of a model reads of the requests: their images, a fixed input, or the prompt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apex_opt.sim.load import Load, Prefixes, nothing
from apex_opt.sim.steps import Int64
from apex_opt.spec.model import Encoder, Model, Vision
from apex_opt.spec.workload import Workload
from apex_opt.trace.chance import Chance
from apex_opt.trace.lengths import lengths


def images(workload: Workload, n: int, chance: Chance) -> Int64:
    """Return how many images each of n requests, or messages, has."""
    if workload.images_per_request is None:
        return np.zeros(n, np.int64)
    drawn = lengths(workload.images_per_request, n, chance.images)
    return np.where(chance.images.random(n) < workload.image_share, drawn, 0)


def illustrated(load: Load, count: Int64, vision: Vision) -> Load:
    """Return `load` with so many images of each request: in its prompt, and to be encoded.

    What was said before in a session has its images too, which were encoded then.
    """
    added = count * vision.tokens
    for later in np.flatnonzero(load.after >= 0).tolist():
        added[later] += added[load.after[later]]
    prompt = load.prompt_tokens + added
    return replace(load, prompt_tokens=prompt, encoder_tokens=count * vision.patches)


def once_for_samples(load: Load, samples: int) -> Load:
    """Return `load` with images encoded for the first sample of each request alone."""
    first = np.arange(len(load)) % samples == 0
    return replace(load, encoder_tokens=np.where(first, load.encoder_tokens, 0))


def encoded(load: Load, encoder: Encoder) -> Load:
    """Return `load` as an encoder-decoder model takes it; what prompts share is of no use to it.

    Where the encoder reads the prompt, the decoder begins with a token of its own.

    Raises:
        ValueError: requests follow others in a session.
    """
    if len(load.after):
        raise ValueError("an encoder-decoder model has no sessions; leave out `later_turns`")
    load = replace(load, prefix=nothing(), prefixes=Prefixes())
    if encoder.tokens is not None:
        return replace(load, encoder_tokens=np.full(len(load), encoder.tokens, np.int64))
    one = np.ones_like(load.prompt_tokens)
    return replace(load, prompt_tokens=one, encoder_tokens=load.prompt_tokens)


def prompts(load: Load, model: Model) -> Int64:
    """Return (n,) the tokens of each prompt, whether decoder or encoder reads it."""
    return load.encoder_tokens if model.reads_prompt else load.prompt_tokens
