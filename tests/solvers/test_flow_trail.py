from ortools.sat.python.cp_model import INFEASIBLE, CpSolver

from apex_opt.solvers.flow_sites import ANYWHERE, by_site
from apex_opt.solvers.flow_trail import Block, trail
from tests.solvers.flows import apart

ONE, OTHER = (1, 0), (0, 1)
WAYS = 3.0  # what each of the links between the two sites carries; a row carries 6


def row(blocks, layers=4, rate=6.0):
    """The blocks of a row of that many layers, or None; each may be used twice."""
    sites = by_site(apart((0, 0, 1, 1), link=WAYS), 10.0)
    t = trail(blocks, [2] * len(blocks), sites, rate)
    t.model.add(t.totals([block.length for block in blocks]) == layers)
    solver = CpSolver()
    if solver.solve(t.model) == INFEASIBLE:
        return None
    value = [[solver.value(x) for x in role] for role in t.z]
    return [*t.row(value, [solver.boolean_value(x) for *_, x in t.arcs])]


def block(site, length, gate=float("inf")):
    use = (0, 0) if site == ANYWHERE else (ONE, OTHER)[site]
    return Block(length, 6.0, use, ((0, 0, 1), (0, 1, length)), site, gate)


def test_blocks_of_one_site_follow_each_other():
    plain = block(0, 2)
    assert row([plain]) == [plain, plain]


def test_no_row_leads_from_site_to_site_without_a_gate():
    assert row([block(0, 3), block(1, 1)], 4) is None


def test_before_or_behind_a_gate_a_row_goes_on_at_the_other_site():
    # From one machine to two, each over a link of 3, or from two to one.
    before, behind = block(0, 3), block(1, 4, WAYS)
    assert row([before, behind], 7) in ([before, behind], [behind.backwards, before])
    # Machines that carry 6 would need a link that does.
    assert row([before, block(1, 4, 6.0)], 7) is None


def test_a_block_before_a_gate_is_turned_round():
    turned = block(1, 3, WAYS).backwards
    assert turned.parts == ((0, 2, 3), (0, 0, 2))


def test_blocks_of_no_site_join_sites():
    one, free, other = block(0, 1), block(ANYWHERE, 2), block(1, 4)
    assert sorted(b.length for b in row([one, free, other], 7)) == [1, 2, 4]
    assert row([one, free, other], 7)[1] == free


def test_blocks_of_no_site_make_a_row_alone():
    free = block(ANYWHERE, 2)
    assert row([free]) == [free, free]


def test_a_block_behind_a_gate_may_stand_inside_its_site():
    gated = block(0, 2, WAYS)
    assert row([gated]) == [gated, gated]
