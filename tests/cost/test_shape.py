import pytest

from apex_opt.cost.shape import even_split, graph_tokens
from apex_opt.spec import catalog
from tests.shapes import shape, unlike


@pytest.mark.parametrize(
    ("layers", "stages", "expected"),
    [
        (80, 1, (80,)),
        (80, 4, (20, 20, 20, 20)),
        (61, 2, (31, 30)),
        (61, 4, (15, 15, 16, 15)),
        (62, 4, (15, 16, 16, 15)),
        (63, 4, (16, 16, 16, 15)),
    ],
)
def test_layers_left_over_go_to_the_stages_before_the_last(layers, stages, expected):
    assert even_split(layers, stages) == expected


def test_a_stage_is_known_by_its_counts_of_each_kind():
    stages = shape("deepseek-v3", tensor=8, pipeline=2, weights="fp8-block").stage_counts()
    assert [sum(s.values()) for s in stages] == [31, 30]
    assert sorted(stages[0].values()) == [3, 28]
    assert list(stages[1].values()) == [30]


@pytest.mark.parametrize(
    ("seqs", "budget", "largest"),
    [(256, 2048, 512), (50, 2048, 96), (140, 2048, 272), (128, 250, 248), (3, 64, 4), (1, 1, 1)],
)
def test_the_largest_graph_is_one_of_vllms_sizes(seqs, budget, largest):
    assert graph_tokens(catalog.release("vllm", "0.19"), seqs, budget) == largest


@pytest.mark.parametrize(
    ("engine", "largest"), [("vllm", 512), ("sglang", 4 * 512), ("tensorrt-llm", 4 * 128)]
)
def test_graphs_hold_so_many_tokens_of_vllm_and_so_many_sequences_with_guesses_of_others(
    engine, largest
):
    assert graph_tokens(catalog.release(engine), 1024, 8192, 4) == largest


def test_a_stage_is_looked_at_as_if_all_stood_where_it_does():
    plain = shape("llama-2-70b", pipeline=3)
    mixed = unlike(plain, ["a100-sxm-40gb", "l4", "a100-sxm-40gb"], (40, 10, 30))
    assert [mixed.at(s).pool.name for s in range(3)] == ["a100-sxm-40gb", "l4", "a100-sxm-40gb"]
    assert mixed.at(1).stage_layers == (40, 10, 30)
    assert mixed.at(1).elsewhere == ()
    assert [(pool.name, n) for pool, n in mixed.pools()] == [("a100-sxm-40gb", 2), ("l4", 1)]
    assert plain.at(2) is plain
    assert [(pool.name, n) for pool, n in plain.pools()] == [("pool", 3)]


def test_the_price_of_a_replica_is_that_of_its_devices_in_each_pool():
    mixed = unlike(shape("llama-2-70b", tensor=2, pipeline=3), ["a100-sxm-40gb", "l4", "l4"])
    costly, cheap = (pool.price for pool, _ in mixed.pools())
    assert mixed.price_per_hour == pytest.approx(2 * costly + 4 * cheap)
    assert costly > cheap > 0
