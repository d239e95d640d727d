import pytest

from hf_vitret.indexing.building.index_choice import MAX_FLAT, MAX_HNSW, choose_index

MB = 10**6


@pytest.mark.parametrize(
    ("num_vectors", "budget", "recall", "is_normalized", "expected"),
    [
        (1, 4_000 * MB, 0.95, True, "flat"),
        (MAX_FLAT, 4_000 * MB, 0.95, True, "flat"),
        (MAX_FLAT + 1, 4_000 * MB, 0.95, True, "hnsw"),
        (MAX_FLAT + 1, 4_000 * MB, 0.95, False, "ivfpq"),  # a graph needs unit norm
        (1_000_000, 4_000 * MB, 1.0, True, "flat"),
        (1_000_000, 700 * MB, 0.95, True, "ivfpq"),
        (1_000_000, 700 * MB, 1.0, True, "flat"),
        (MAX_HNSW + 1, 4_000 * MB, 0.95, True, "ivfpq"),
        (40_000, 15 * MB, 0.95, True, "ivfpq"),
    ],
)
def test_the_rules_in_their_order(num_vectors, budget, recall, is_normalized, expected):
    choice = choose_index(num_vectors, 128, memory_budget=budget, target_recall=recall, is_normalized=is_normalized)
    assert choice.chosen.kind == expected
    assert choice.chosen.bytes_per_vector * num_vectors <= budget
    assert [plan.verdict for plan in choice.plans].count("chosen") == 1


def test_codes_take_what_copy_fits():
    copies = [
        choose_index(1_000_000, 128, memory_budget=budget * MB, kind="ivfpq").chosen.factory
        for budget in (296, 295, 168, 167, 40)
    ]
    sizes = ["IVF4096,PQ32,Refine(SQfp16)", "IVF4096,PQ32,Refine(SQ8)", "IVF4096,PQ32"]
    assert copies == [sizes[0], sizes[1], sizes[1], sizes[2], sizes[2]]


def test_codes_alone_are_said_to_be_a_risk():
    choice = choose_index(1_000_000, 128, memory_budget=50 * MB)
    assert choice.chosen.verdict == "chosen: nothing else fits; may miss the target"
    assert "may miss the target" in choice.table().splitlines()[-1]


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 16, 30, 67, 384, 768])
def test_codes_divide_any_dimension(dim):
    [*_, last] = choose_index(10_000, dim).plans
    assert dim % int(last.factory.rpartition("PQ")[2]) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_vectors": 0}, "at least one vector"),
        ({"target_recall": 0}, "above 0, up to 1"),
        ({"target_recall": 1.1}, "above 0, up to 1"),
        ({"kind": "lsh"}, "flat, hnsw, ivfpq; got 'lsh'"),
        ({"kind": "ivfpq", "num_vectors": 255}, "at least 256 vectors; got 255"),
        ({"memory_budget": 30 * MB}, "The smallest takes 40.0 MB"),
        ({"kind": "hnsw", "memory_budget": 30 * MB}, "The smallest takes 780.0 MB"),
        ({"kind": "hnsw", "target_recall": 1.0}, "not exact"),
        ({"kind": "hnsw", "is_normalized": False}, "unit norm"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        choose_index(**({"num_vectors": 1_000_000, "dim": 128} | settings))


def test_the_table():
    lines = choose_index(1_000_000, 128, memory_budget=600 * MB).table().splitlines()
    assert lines[0] == "1,000,000 vectors, at most 600.0 MB, recall@10 of at least 0.95"
    assert lines[1].split() == ["index", "bytes", "a", "vector", "MB", "verdict"]
    assert [line.split()[:3] for line in lines[2:4]] == [["Flat", "512", "512.0"], ["HNSW32,Flat", "780", "780.0"]]
    assert lines[3].endswith("too large")
    assert lines[4].endswith("chosen")
