import numpy as np
import pytest

import apex_opt
from tests.small_specs import spec

SLO = "ttft_ms = 30\nattainment = 0.5"


@pytest.fixture(scope="module")
def played():
    # Outputs of one token, of many, and prompts too long for `max_model_len`.
    work = (
        'arrival = "poisson"\nrate_rps = 50.0\nrequests = 100\n'
        'prompt_tokens = { distribution = "empirical", values = [100, 3000] }\n'
        'output_tokens = { distribution = "empirical", values = [1, 40] }'
    )
    asked = spec(workload=work, slo=SLO, engine="max_model_len = 3008")
    return apex_opt.play(asked, apex_opt.Choice(wish=apex_opt.Wish(tensor=1, replicas=2)))


def column(played, name):
    (found,) = (c for c in played.requests if c.name == name)
    return found


def test_columns_are_named_with_their_units(played):
    assert [c.name for c in played.requests] == [
        *("request", "status", "replica", "prompt_tokens", "output_tokens"),
        *("arrival_s", "start_s", "first_token_s", "last_token_s"),
        *("queue_ms", "ttft_ms", "tpot_ms", "largest_itl_ms", "e2e_ms", "preempted", "met"),
    ]


def test_a_rejected_request_has_no_times_but_its_arrival(played):
    rejected = column(played, "status").values == "rejected"
    # 3,000 + 40 tokens are more than 3,008.
    assert 0 < rejected.sum() == played.plan.prediction.rejected < 50
    assert column(played, "arrival_s").known.all()
    for name in ("start_s", "first_token_s", "last_token_s", "queue_ms", "ttft_ms", "e2e_ms"):
        assert (column(played, name).known == ~rejected).all()
    assert not column(played, "met").values[rejected].any()


def test_a_request_of_one_token_has_no_time_between_tokens(played):
    several = (column(played, "output_tokens").values > 1) & (
        column(played, "status").values == "done"
    )
    assert (column(played, "tpot_ms").known == several).all()
    assert (column(played, "largest_itl_ms").known == several).all()


def test_the_columns_are_what_the_prediction_is_made_of(played):
    shown = played.plan.prediction
    for name, statistics in (("ttft_ms", shown.ttft_ms), ("tpot_ms", shown.tpot_ms)):
        found = column(played, name)
        assert np.percentile(found.values[found.known], 99) == pytest.approx(statistics.p99)
    assert column(played, "met").values.mean() == pytest.approx(shown.attainment)
    assert set(column(played, "replica").values.tolist()) <= {-1, 0, 1}
    assert column(played, "preempted").values.sum() == shown.preemptions


def test_samples_of_a_request_are_one_row():
    work = (
        'arrival = "poisson"\nrate_rps = 5.0\nrequests = 20\nprompt_tokens = 100\n'
        "output_tokens = 10\nsamples = 3"
    )
    found = apex_opt.play(spec(workload=work), apex_opt.Choice())
    assert len(found.load) == 60
    assert [len(c.values) for c in found.requests] == [20] * len(found.requests)
    times = column(found, "ttft_ms").values
    assert times.mean() == pytest.approx(found.plan.prediction.ttft_ms.mean)
