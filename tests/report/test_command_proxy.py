import pytest

from apex_opt.report.command_proxy import proxy_command
from tests.report.samples import deployment, plan, replica

SAID = {
    "vllm": """\
# hosts and ports of 2 replicas that prefill, 1 that decode, in order
python tests/v1/kv_connector/nixl_integration/toy_proxy_server.py \\
  --port 8000 \\
  --prefiller-hosts $PREFILL_HOSTS \\
  --prefiller-ports $PREFILL_PORTS \\
  --decoder-hosts $DECODE_HOSTS \\
  --decoder-ports $DECODE_PORTS""",
    "sglang": """\
# URLs of 2 replicas that prefill, 1 that decode
python -m sglang_router.launch_router \\
  --pd-disaggregation \\
  $(printf -- '--prefill %s ' $PREFILL_URLS) \\
  $(printf -- '--decode %s ' $DECODE_URLS) \\
  --host 0.0.0.0 \\
  --port 8000""",
    "tensorrt-llm": """\
# host:port of each replica, with commas between
cat > proxy.yaml <<END
hostname: 0.0.0.0
port: 8000
backend: pytorch
context_servers:
  num_instances: 2
  urls: [$PREFILL_URLS]
generation_servers:
  num_instances: 1
  urls: [$DECODE_URLS]
END
trtllm-serve disaggregated -c proxy.yaml""",
}


def apart(engine: str):
    settings = replica().engine.model_copy(update={"name": engine})
    first, then = (replica(engine=settings, role=role) for role in ("prefill", "decode"))
    return plan(deployments=(deployment(replica=first, count=2), deployment(replica=then, count=1)))


@pytest.mark.parametrize("engine", sorted(SAID))
def test_a_proxy_stands_in_front_of_prefill_and_decode(engine: str):
    assert proxy_command(apart(engine)) == SAID[engine]


def test_replicas_that_do_all_need_none():
    assert proxy_command(plan()) is None
