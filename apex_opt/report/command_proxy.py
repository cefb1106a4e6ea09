"""The command that starts the proxy in front of replicas that prefill and replicas that decode.

Sources: vLLM 0.33, docs/features/nixl_connector_usage.md; SGLang 0.5.23, docs/advanced_features/
pd_disaggregation.md; TensorRT-LLM 1.2 documentation, disaggregated serving.
"""

from __future__ import annotations

from apex_opt.plan.result import Plan
from apex_opt.report.command_words import joined

FILE = "proxy.yaml"


def proxy_command(plan: Plan) -> str | None:
    """Return the shell lines that start the proxy of a plan; None where every replica does all."""
    counts = {
        role: sum(d.count for d in plan.deployments if d.replica.role == role)
        for role in ("prefill", "decode")
    }
    if not any(counts.values()):
        return None
    lines = {"vllm": _vllm, "sglang": _sglang, "tensorrt-llm": _trtllm}
    return "\n".join(lines[plan.deployments[0].replica.engine.name](counts))


def _vllm(counts: dict[str, int]) -> list[str]:
    """VLLM ships an example of a proxy, in its sources."""
    flags = [
        "--port 8000",
        "--prefiller-hosts $PREFILL_HOSTS",
        "--prefiller-ports $PREFILL_PORTS",
        "--decoder-hosts $DECODE_HOSTS",
        "--decoder-ports $DECODE_PORTS",
    ]
    file = "tests/v1/kv_connector/nixl_integration/toy_proxy_server.py"
    who = f"{counts['prefill']:,} replicas that prefill, {counts['decode']:,} that decode"
    return [
        f"# hosts and ports of {who}, in order",
        joined([f"python {file}", *flags]),
    ]


def _sglang(counts: dict[str, int]) -> list[str]:
    flags = [
        "--pd-disaggregation",
        "$(printf -- '--prefill %s ' $PREFILL_URLS)",
        "$(printf -- '--decode %s ' $DECODE_URLS)",
        "--host 0.0.0.0",
        "--port 8000",
    ]
    return [
        f"# URLs of {counts['prefill']:,} replicas that prefill, {counts['decode']:,} that decode",
        joined(["python -m sglang_router.launch_router", *flags]),
    ]


def _trtllm(counts: dict[str, int]) -> list[str]:
    said = ["hostname: 0.0.0.0", "port: 8000", "backend: pytorch"]
    for servers, role in (("context_servers", "prefill"), ("generation_servers", "decode")):
        urls = f"  urls: [${role.upper()}_URLS]"
        said += [f"{servers}:", f"  num_instances: {counts[role]}", urls]
    return [
        "# host:port of each replica, with commas between",
        f"cat > {FILE} <<END",
        *said,
        "END",
        f"trtllm-serve disaggregated -c {FILE}",
    ]
