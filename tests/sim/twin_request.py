"""The twin's requests and batches: objects that hold all they are asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from apex_opt.sim.load import Load
from tests.sim.twin_cache import Block, Path, paths


@dataclass(eq=False)
class Request:
    index: int
    arrival: int
    prompt: int
    output: int
    priority: int
    path: Path
    opens: bool = True  # waits for no other request
    follower: Request | None = None  # the next of its session
    think: int = 0
    rejected: bool = False
    number: int = -1  # its place in the order in which requests joined the queue
    computed: int = 0
    decoding: bool = False
    blocks: int = 0  # all that it holds, shared ones too
    shared: list[Block] = field(default_factory=list)  # those of them that are in the cache
    flights: int = 0
    start: int = -1
    times: list[int] = field(default_factory=list)
    preempted: int = 0
    encoder: int = 0  # tokens that the encoder reads for it
    crossed: int = 0  # of them, those that it keeps in the cache

    @property
    def tokens(self) -> int:
        return self.prompt + len(self.times)

    @property
    def left(self) -> int:
        return self.output - len(self.times)

    @property
    def over(self) -> bool:
        return not self.left

    @property
    def gaps(self) -> list[int]:
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]

    @property
    def own(self) -> int:
        return self.blocks - len(self.shared)


def requests(load: Load) -> list[Request]:
    """Return the requests of a load, sessions linked."""
    priority = load.priority if len(load.priority) else [0] * len(load)
    rows = zip(load.arrival_ns, load.prompt_tokens, load.output_tokens, priority, strict=True)
    made = [
        Request(i, *(int(x) for x in row), path)
        for i, (row, path) in enumerate(zip(rows, paths(load), strict=True))
    ]
    for i, tokens in enumerate(load.encoder_tokens):
        made[i].encoder = int(tokens)
    for i, before in enumerate(load.after):
        if before >= 0:
            made[i].opens = False
            made[i].think = int(load.think_ns[i])
            made[before].follower = made[i]
    return made


@dataclass
class Batch:
    """Tokens of sequences that run together, and when each stage has them."""

    cohort: list[Request]
    parts: list[tuple[Request, int]] = field(default_factory=list)
    calm: bool = True  # nobody was preempted for it
    promised: int = 0  # tokens that those admitted in it have still to sample
    loaded: int = 0
    read: list[int] = field(default_factory=list)  # tokens that the encoder reads, by request
    passes: list[int] = field(default_factory=list)  # the same, by pass of the encoder
    begin: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    hop: list[int] = field(default_factory=list)
    joules: float = 0.0
    decodes: int = 0
    prompt_tokens: int = 0
    context: int = 0
    pairs: int = 0
    history: int = 0
    heads: int = 0  # tokens for which the model's head runs
    rows: int = 0  # tokens sampled

    @property
    def tokens(self) -> int:
        return sum(n for _, n in self.parts)

    @property
    def finish(self) -> int:
        return self.end[-1] + self.hop[-1]

    def count(self, budget: int) -> None:
        """Count what the step costs, before its tokens are computed."""
        read = sum(self.read)
        self.passes = [min(budget, read - start) for start in range(0, read, budget)]
        decodes = [(r, n) for r, n in self.parts if r.decoding]
        chunks = [(r, n) for r, n in self.parts if not r.decoding]
        self.decodes = len(decodes)
        self.prompt_tokens = sum(n for _, n in chunks)
        self.context = sum(r.crossed + r.computed + n for r, n in decodes)
        self.pairs = sum(r.computed + i + 1 for r, n in chunks for i in range(n))
        self.history = sum(r.computed for r, _ in chunks)
        completed = sum(1 for r, n in chunks if r.computed + n == r.tokens)
        self.heads = sum(n for _, n in decodes) + completed
