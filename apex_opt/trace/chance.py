"""Where chance comes from: a stream for each thing that is drawn, so that one leaves the others."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Chance:
    """Streams of chance. New ones go to the end: the others stay as they were.

    Attributes:
        arrivals: times of arrival.
        prompts: lengths of prompts.
        outputs: lengths of outputs.
        pairs: requests of a trace whose lengths are taken.
        groups: groups of shared beginnings.
        turns: turns of sessions.
        pauses: think times.
        priorities: priorities.
        samples: lengths of the samples of a request but for its first.
        images: how many images each request has.
    """

    arrivals: np.random.Generator
    prompts: np.random.Generator
    outputs: np.random.Generator
    pairs: np.random.Generator
    groups: np.random.Generator
    turns: np.random.Generator
    pauses: np.random.Generator
    priorities: np.random.Generator
    samples: np.random.Generator
    images: np.random.Generator

    @staticmethod
    def of(seed: int) -> Chance:
        """Return the streams of a seed."""
        seeds = np.random.SeedSequence(seed).spawn(len(fields(Chance)))
        return Chance(*map(np.random.default_rng, seeds))
