"""Merged groups agree with a naive loop over the pairs."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_vitret.workflows.doctor.checks.disjoint_sets import DisjointSets, equal_groups


def naive_groups(size, pairs):
    groups = [{number} for number in range(size)]
    for one, other in pairs:
        first = next(group for group in groups if one in group)
        second = next(group for group in groups if other in group)
        if first is not second:
            groups.remove(second)
            first |= second
    return sorted(sorted(group) for group in groups if len(group) > 1)


@settings(deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda size: st.tuples(
            st.just(size),
            st.lists(st.lists(st.tuples(*[st.integers(0, size - 1)] * 2), max_size=8), max_size=3),
        )
    )
)
def test_joined_in_any_batches(case):
    size, batches = case
    sets = DisjointSets(size)
    for batch in batches:
        ones, others = np.array(batch, dtype=np.int64).reshape(-1, 2).T
        sets.join(ones, others)
    expected = naive_groups(size, [pair for batch in batches for pair in batch])
    assert [group.tolist() for group in sets.groups()] == expected
    for group in expected:
        assert (sets.roots[group] == group[0]).all()


def test_a_long_chain_in_the_worst_order():
    numbers = np.arange(10_000)
    sets = DisjointSets(len(numbers))
    sets.join(numbers[:-1][::-1], numbers[1:][::-1])
    assert (sets.roots == 0).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=20))
def test_equal_groups(keys):
    numbers = np.arange(len(keys)) * 3
    expected = [[3 * n for n, key in enumerate(keys) if key == one] for one in dict.fromkeys(keys)]
    found = equal_groups(np.array(keys, dtype=np.int64), numbers)
    assert [group.tolist() for group in found] == [group for group in expected if len(group) > 1]


def test_equal_groups_of_bytes_and_records():
    digests = np.array([b"b" * 16, b"\0" * 16, b"b" * 16, b"a" * 16, b"\0" * 16]).astype("S16").view("V16")
    assert [group.tolist() for group in equal_groups(digests, np.arange(5))] == [[0, 2], [1, 4]]
    records = np.rec.fromarrays([np.array([1, 1, 1, 2]), np.array([5, 6, 5, 5])])
    assert [group.tolist() for group in equal_groups(records, np.arange(4))] == [[0, 2]]
