"""The pairs and the pool that an epoch draws, and the tuples that it yields."""

import doctest
from typing import Any

import numpy as np
import pytest

from hf_vitret.training.tuples import sampler as module
from hf_vitret.training.tuples.sampler import TupleSampler

CLUSTERS = np.repeat(np.arange(10), 4)  # (40,)
PAIRS = np.array([(row, row + 1) for row in range(40) if row % 4 < 3])  # (30, 2)


def sampler(**changes: Any) -> TupleSampler:
    settings = {"num_negatives": 2, "pairs_per_epoch": 11, "pool_size": 30, "seed": 3}
    return TupleSampler(**{"pairs": PAIRS, "clusters": CLUSTERS, "batch_size": 12, **settings, **changes})


def test_an_epoch_draws_pairs_of_the_list_in_whole_steps_and_a_pool_without_repetition() -> None:
    drawn = sampler().draw(epoch=4)
    assert drawn.pairs.shape == (9, 2)  # three steps of three tuples; two pairs are left over
    assert len(sampler()) == 9 * 4
    rows = {tuple(pair) for pair in drawn.pairs.tolist()}
    assert len(rows) == 9
    assert rows <= {tuple(pair) for pair in PAIRS.tolist()}
    assert len(set(drawn.pool.tolist())) == 30


def test_the_draw_depends_on_seed_and_epoch() -> None:
    def drawn(epoch: int, seed: int) -> str:
        return str([part.tolist() for part in sampler(seed=seed).draw(epoch)])

    assert drawn(4, 3) == drawn(4, 3)
    assert len({drawn(4, 3), drawn(5, 3), drawn(4, 2)}) == 3


def test_all_are_drawn_if_there_are_fewer_than_requested() -> None:
    drawn = sampler(pairs_per_epoch=2_000, pool_size=22_000).draw(0)
    assert sorted(map(tuple, drawn.pairs.tolist())) == sorted(map(tuple, PAIRS.tolist()))
    assert sorted(drawn.pool.tolist()) == list(range(40))


def test_it_yields_only_tuples_of_its_own_epoch() -> None:
    tuples = np.arange(36).reshape(9, 4)
    drawing = sampler()
    drawing.use(tuples, epoch=2)
    with pytest.raises(RuntimeError, match=r"mined for epoch 0; got those of 2\. Call use"):
        next(iter(drawing))
    drawing.set_epoch(2)
    assert list(drawing) == list(range(36))
    with pytest.raises(
        ValueError, match=r"9 tuples of 4 rows; got \(8, 4\), of a run with another pairs_per_epoch.*\. Resume with"
    ):
        drawing.use(tuples[:8], epoch=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 10}, "batch_size must be a multiple of 4"),
        (
            {"batch_size": 48},
            r"at least the 12 pairs of one step in an epoch; got 11 \(30 pairs, pairs_per_epoch 11\)\. Lower",
        ),
        ({"pairs": PAIRS + 39}, r"rows from 0 to 39, .* got rows from 39 to 78\. Pass the pairs of this data set"),
        ({"pairs": PAIRS[:27] + 3}, r"two images of one cluster; 9 of 27 are not, the first rows 3 and 4\. Pass the"),
        ({"pairs": PAIRS[:, [0, 0]]}, "two images of one cluster; 30 of 30 are not"),
        ({"pairs": PAIRS[:, 0]}, r"shape \(num_pairs, 2\), anchor and positive, at least one; got \(30,\)"),
        ({"pairs": PAIRS[:6], "clusters": CLUSTERS[:8], "batch_size": 4}, "2 clusters beside the anchor's.* holds 1"),
        ({"pool_size": 1}, "Enlarge pool_size"),
    ],
)
def test_settings_that_give_no_tuples_are_refused_by_the_constructor(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampler(**changes)


def test_example() -> None:
    assert doctest.testmod(module, extraglobs={"np": np})[0] == 0
