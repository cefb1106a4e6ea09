"""Infeasible specs: one a cause, then pairs, then what users report. Small: each is quick."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import apex_opt
from apex_opt.auditing.judge import Judge
from apex_opt.plan.by_hand import Wish
from tests.small_specs import spec

DEVICE = (
    'device = { base = "h100-sxm-80gb", name = "box", memory_bytes = %d_000_000_000, '
    "price_per_device_hour = 2, idle_w = 100 }"
)
WORKLOAD = 'arrival = "%s"\nrequests = 40\nprompt_tokens = %s\noutput_tokens = 20\n%s'


def timeless():
    """A judge that has no deadline: simulations are counted, seconds are not."""
    return Judge(math.inf, lambda _: None)


class Hurried(Judge):
    """A judge whose time is over after so many questions, however fast the machine is."""

    def __init__(self, most):
        self.most = most
        super().__init__(math.inf, lambda _: None)

    @property
    def deadline(self):
        return -math.inf if self.questions >= self.most else math.inf

    @deadline.setter
    def deadline(self, _):
        pass


def pool(devices=4, nodes=1, name="p", gigabytes=80, more=""):
    """A pool of devices with round figures."""
    head = f'name = "{name}"\n{DEVICE % gigabytes}\n'
    return f"{head}nodes = {nodes}\ndevices_per_node = {devices}\n{more}"


def load(rate=4, prompt=500, arrival="poisson"):
    return WORKLOAD % (arrival, prompt, f"rate_rps = {rate}")


def make(**tables):
    """A spec of the gallery: at most two stages."""
    whole = {"pools": pool(), "workload": load(), "parallelism": "max_stages = 2", **tables}
    made = spec(**whole)
    files = any(name in table for table in tables.values() for name in ("now.json", "trace.csv"))
    return made.placed(Path(folder().name), None) if files else made


@cache
def folder():
    """A folder with `now.json`, a replica of two devices that runs already, and `trace.csv`."""
    made = TemporaryDirectory()
    now = apex_opt.simulate(make(), wish=Wish(tensor=2, replicas=1))
    Path(made.name, "now.json").write_text(now.model_dump_json(), encoding="utf-8")
    rows = [f"2026-01-05 00:00:00.{n:02}0000,2000,20\n" for n in range(40)]
    text = "".join(["TIMESTAMP,ContextTokens,GeneratedTokens\n", *rows])
    Path(made.name, "trace.csv").write_text(text, encoding="utf-8")
    return made


GUESSES = (
    "max_num_batched_tokens = 1024\n"
    '[engine.speculation]\nmethod = "ngram"\ntokens = 3\nacceptance = 0.5'
)
MOSTLY_TOO_LONG = '{ distribution = "empirical", values = [200_000, 100], weights = [199, 1] }'
HUGE = {"model": 'name = "llama-3.1-70b"'}
GALLERY = {
    # memory, by component
    "weights on one device": HUGE | {"pools": pool(1, gigabytes=100)},
    "weights on one node": {"model": 'name = "llama-3.1-405b"'},
    # SGLang gives what is left over to the last stages: 26, 27 and 27 layers, then the head.
    "last stage": HUGE
    | {
        "pools": pool(gigabytes=54),
        "engine": 'name = "sglang"\nmax_num_seqs = 8\nmax_num_batched_tokens = 512',
        "parallelism": "tensor = 1\npipeline = 3\nmax_stages = 4",
    },
    "too few stages": HUGE
    | {"pools": pool(1, nodes=4, gigabytes=54), "parallelism": "tensor = 1\nmax_stages = 2"},
    "a draft model that takes the memory": {
        "pools": pool(1, gigabytes=24),
        "engine": '[engine.speculation]\nmethod = "draft_model"\nmodel = "llama-3.2-1b"\n'
        "tokens = 3\nacceptance = 0.7",
    },
    "cache of the longest request": {
        "pools": pool(1, gigabytes=24),
        "workload": load(0.01, 60_000),
        "slo": "",
    },
    "activations": {
        "pools": pool(1, gigabytes=24),
        "engine": "max_num_batched_tokens = 100_000",
    },
    "reserve": {"limits": "memory_reserve_fraction = 0.9"},
    "share of memory": {"engine": "gpu_memory_utilization = 0.1"},
    # SGLang keeps 1.5 MB free for each token of a step: no device is large enough for so many.
    "share of memory that an engine takes by itself": {
        "pools": pool(1),
        "engine": 'name = "sglang"\nmax_num_batched_tokens = 60_000',
    },
    "pinned blocks": {"engine": "num_gpu_blocks = 4"},
    # what an engine can start
    "heads": {"parallelism": "tensor = 3\nmax_stages = 1"},
    "experts of a dense model": {"parallelism": "expert = 2\nmax_stages = 1"},
    "a group larger than the stock": {"parallelism": "tensor = 8\nmax_stages = 1"},
    "a group between two nodes": {
        "pools": pool(6, nodes=3),
        "parallelism": "tensor = 8\nmax_stages = 1",
    },
    "ranks of a dense model": {"parallelism": "attention_data = 2\nmax_stages = 1"},
    "ranks in a pipeline": {
        "model": 'name = "mixtral-8x7b"',
        "parallelism": "attention_data = 2\npipeline = 2\nmax_stages = 2",
    },
    "copies of a head that nobody holds": {"parallelism": "context = 4\nmax_stages = 1"},
    "steps too small for guesses": {"engine": f"max_num_seqs = 512\n{GUESSES}"},
    "guesses of an engine that takes whole prompts with them": {
        "engine": f'version = "0.6"\nchunked_prefill = true\n{GUESSES}'
    },
    "a model that the engine does not serve": {
        "model": 'name = "t5-11b"',
        "workload": load(prompt=100),
    },
    "a cache format of other devices": {
        "pools": 'name = "p"\ndevice = "a100-sxm-80gb"\ndevices_per_node = 4',
        "quantization": 'kv_cache = "fp8"',
    },
    "a weight format of experts": {"quantization": 'weights = "mxfp4"'},
    # limits
    "budget": {"limits": "budget_per_hour = 1"},
    "devices": HUGE | {"limits": "devices = 1"},
    "replicas": {
        "pools": pool(2),
        "limits": "replicas = 1",
        "parallelism": 'max_stages = 1\ndisaggregate = "only"',
    },
    "idle power": {"limits": "power_w = 50"},
    "peak power": {"limits": "power_w = 150"},
    "power of a pool": {"pools": pool(more="power_w = 150")},
    "power of a pool that is less than that of a device": {"pools": pool(more="power_w = 1")},
    "replicas that run already": {
        "parallelism": "tensor = 1\nmax_stages = 1",
        "existing": 'plan = "now.json"\nmax_starts = 0',
    },
    "devices that may be taken away": {
        "pools": pool(more="spot = true"),
        "limits": "spot_fraction = 0.5",
    },
    "replicas that may be lost": {"pools": pool(1, more="spare_replicas = 1")},
    # levels
    "first token, alone": {"slo": "ttft_ms = { p99 = 1 }"},
    "a level in seconds": {"slo": "ttft_ms = { p99 = 0.001 }"},
    "further tokens, alone": {"slo": "tpot_ms = { mean = 0.5 }"},
    "further tokens of each": {"slo": "tpot_ms = 0.5"},
    "gaps between tokens, alone": {"pools": pool(1), "slo": "itl_ms = { p99 = 1 }"},
    "a share of requests": {
        "pools": pool(1),
        "workload": load(40),
        "slo": "ttft_ms = 30\nattainment = 0.999",
    },
    "a share of requests, alone": {
        "pools": pool(1),
        "workload": load(4, '{ distribution = "uniform", low = 400, high = 600 }'),
        "slo": "ttft_ms = 38",
    },
    "last token, alone": {"slo": "e2e_ms = { p50 = 5 }"},
    "first token under load": {
        "pools": pool(1),
        "workload": load(500, 4000),
        "slo": "ttft_ms = { p50 = 200 }",
    },
    "pools that hold the model together only": HUGE
    | {"pools": f"{pool(1, gigabytes=100)}\n[[pools]]\n{pool(1, name='q', gigabytes=90)}"},
    "roles that must be apart": {
        "pools": pool(1),
        "parallelism": 'max_stages = 2\ndisaggregate = "only"',
    },
    "a peak of phases": {
        "pools": pool(1),
        "workload": 'arrival = "piecewise"\n'
        "phases = [{ until_s = 2, rate_rps = 5 }, { until_s = 3, rate_rps = 400 }]\n"
        "prompt_tokens = 1000\noutput_tokens = 20",
        "slo": "ttft_ms = { p50 = 200 }",
    },
    "phases of which the last has no end": {
        "pools": pool(1),
        "workload": 'arrival = "piecewise"\nrequests = 60\n'
        "phases = [{ until_s = 1, rate_rps = 5 }, { rate_rps = 400 }]\n"
        "prompt_tokens = 1000\noutput_tokens = 20",
        "slo": "ttft_ms = { p50 = 200 }",
    },
    "phases of too few requests to ask for fewer": {
        "pools": pool(1),
        "workload": 'arrival = "piecewise"\nphases = [{ until_s = 0.1, rate_rps = 150 }]\n'
        "prompt_tokens = 1000\noutput_tokens = 20",
        "slo": "ttft_ms = { p50 = 100 }",
    },
    "a trace that comes too fast": {
        "pools": pool(1),
        "workload": 'arrival = "trace"\nfile = "trace.csv"',
        "slo": "ttft_ms = { p50 = 100 }",
    },
    "roles apart under a budget": {
        "limits": "budget_per_hour = 3",
        "parallelism": 'max_stages = 1\ndisaggregate = "only"',
    },
    "a role of fewer devices than a replica has": {
        "pools": pool(2, gigabytes=24),
        "limits": "decode_devices = 1",
        "workload": load(0.01, 50_000),
        "slo": "",
        "parallelism": 'max_stages = 1\ndisaggregate = "only"',
    },
    "a role of fewer devices than a level takes": {
        "limits": "decode_devices = 1",
        "slo": "tpot_ms = { mean = 6 }",
        "parallelism": 'max_stages = 1\ndisaggregate = "only"',
    },
    "roles apart of which no cache moves": {
        "pools": pool(gigabytes=12),
        "engine": "max_num_seqs = 16",
        "parallelism": 'tensor = 1\nmax_stages = 2\ndisaggregate = "only"',
    },
    "more stages than the stock has devices": {"parallelism": "pipeline = 8\ntensor = 1"},
    "roles apart under load": {
        "pools": pool(2),
        "workload": load(400, 4000),
        "slo": "ttft_ms = { p50 = 200 }",
        "parallelism": 'max_stages = 1\ndisaggregate = "only"',
    },
    "drain": {"pools": pool(1), "workload": load(5000, 4000), "slo": "drain_s = 0.5"},
    "a level once a replica is lost": {
        "pools": pool(2, more="spare_replicas = 1"),
        "workload": load(60),
        "slo": "ttft_ms = { p99 = 60 }",
    },
    "one kind of replica for the work of two": {
        "pools": f"{pool(1)}\n[[pools]]\n{pool(1, name='q')}",
        "workload": load(60, 4000),
        "slo": "ttft_ms = { p50 = 1500 }",
        "search": "max_deployments = 1",
    },
    "requests longer than the model takes": {
        "workload": WORKLOAD.replace("requests = 40", "requests = 400")
        % ("poisson", MOSTLY_TOO_LONG, "rate_rps = 4"),
    },
    "requests longer than the engine takes": {"engine": "max_model_len = 400"},
    "settings that must change together": {"engine": "max_model_len = 400\nnum_gpu_blocks = 30"},
    "clients at once": {
        "pools": pool(1),
        "workload": WORKLOAD % ("closed", 2000, "concurrency = 40"),
        "slo": "tpot_ms = { mean = 12 }",
    },
    "clients at once, a level on each request": {
        "pools": pool(1),
        "workload": WORKLOAD % ("closed", 2000, "concurrency = 40"),
        "slo": "tpot_ms = 8",
    },
    "prompts longer than a step": {
        "pools": pool(1),
        "engine": 'name = "tensorrt-llm"\nchunked_prefill = false\nmax_num_batched_tokens = 2048',
        "workload": load(4, 3000),
    },
    "one sequence at a time": {
        "pools": pool(1),
        "engine": "max_num_seqs = 1",
        "workload": load(40),
        "slo": "ttft_ms = { p99 = 400 }",
    },
    "a slow clock": {
        "pools": pool(1, more="clocks_mhz = [400]"),
        "workload": load(4, 2000),
        "slo": "ttft_ms = { p50 = 110 }",
    },
    "a power cap": {
        "pools": pool(1, more="power_cap_w = 150"),
        "workload": load(4, 2000),
        "slo": "ttft_ms = { p50 = 100 }",
    },
    "one replica, of too few stages for the load": {
        "limits": "replicas = 1",
        "workload": load(30, 2000),
        "slo": "drain_s = 0.5",
        "parallelism": "tensor = 1\nmax_stages = 1",
    },
    "replicas, formats: of help together only": {
        "pools": pool(4),
        "limits": "replicas = 1",
        "workload": load(300, 2000),
        "slo": "ttft_ms = { p50 = 200 }",
    },
    # pairs
    "memory and a level": HUGE | {"pools": pool(1, gigabytes=100), "slo": "ttft_ms = { p99 = 1 }"},
    "budget and heads": {
        "limits": "budget_per_hour = 1",
        "parallelism": "tensor = 3\nmax_stages = 1",
    },
    "power and a level": {"limits": "power_w = 50", "slo": "ttft_ms = { p99 = 1 }"},
    "a level with power and with the budget": {
        "limits": "power_w = 800\nbudget_per_hour = 2",
        "slo": "ttft_ms = { p50 = 18 }",
    },
    "memory and budget and power and two levels": HUGE
    | {
        "pools": pool(1, gigabytes=100),
        "limits": "budget_per_hour = 1\npower_w = 50",
        "slo": "ttft_ms = { p99 = 1 }\ntpot_ms = { mean = 0.5 }",
    },
    # as users report it
    "a budget of devices that is never to be exceeded": {
        "pools": pool(8),
        "limits": "devices = 1",
        "workload": load(300, 2000),
        "slo": "ttft_ms = { p50 = 200 }",
    },
    "memory is to blame, not the level": HUGE
    | {"pools": pool(1, gigabytes=100), "slo": "ttft_ms = 5000"},
    "an inventory of one": {
        "pools": pool(1),
        "workload": load(300, 4000),
        "slo": "e2e_ms = { p90 = 800 }",
    },
}
