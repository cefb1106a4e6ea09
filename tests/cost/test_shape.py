import pytest

from apex_opt.cost.shape import even_split, graph_tokens
from apex_opt.spec import catalog
from tests.shapes import shape


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
