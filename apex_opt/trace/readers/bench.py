"""Results of `vllm bench serve --save-detailed` and of SGLang's serving benchmark, seconds.

One JSON object holds lists with an entry for each request, in the order of the data set, not of
time. Results without `start_times` (SGLang's, up to now) do not say when requests came.

Source: vLLM 0.33, vllm/benchmarks/serve.py; SGLang 0.5.23, sglang/benchmark/serving.py with
`--output-details`.
"""

from __future__ import annotations

from collections.abc import Iterator

from apex_opt.trace.readers.layout import Cells, Layout, Record
from apex_opt.trace.readers.values import CellError, ticks


def _split(record: Record, _: float) -> Iterator[Cells]:
    """Yield the requests of a result."""
    lists = [record.get(key) for key in ("start_times", "input_lens", "output_lens")]
    starts, inputs, outputs = lists
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise CellError("input_lens and output_lens must be lists; save the result with details")
    if starts is None:
        starts = [None] * len(inputs)
    if not isinstance(starts, list) or not len(starts) == len(inputs) == len(outputs):
        raise CellError("start_times, input_lens and output_lens must be lists of one length")
    yield from zip(starts, inputs, outputs, strict=True)


BENCH = Layout(
    name="bench",
    style="nested",
    arrival="start_times",
    clock=ticks(1_000_000_000),
    prompt="input_lens",
    output="output_lens",
    others=("input_lens", "output_lens"),
    unordered=True,
    untimed=True,
    split=_split,
)
