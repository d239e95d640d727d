"""Names, cut-offs and rules of a choice of metrics, and the ranks that it asks for."""

import pytest

from hf_vitret.evaluation.metrics.metric_choice import METRICS, MetricChoice


def test_names_come_in_the_order_asked_for_with_ascending_cut_offs():
    choice = MetricChoice(["mrr", "precision_at_k", "map"], [10, 1, 10])
    assert choice.keys == ("mrr", "precision_at_1", "precision_at_10", "map")
    assert MetricChoice("map_at_r").keys == ("map_at_r",)
    assert MetricChoice(["recall_at_k", "mrr"], ()).keys == ("mrr",)


@pytest.mark.parametrize(
    ("metrics", "ks", "ties", "every_rank", "best_only", "cutoffs"),
    [
        (("recall_at_k", "map_at_r", "r_precision"), (1, 1000), "pessimistic", False, False, (1, 1000)),
        (("recall_at_k",), (1, 10), "pessimistic", False, True, (1, 10)),
        (("recall_at_k", "mrr"), (1, 10), "pessimistic", False, True, None),
        (("map_at_r", "mrr"), (1,), "pessimistic", False, False, None),
        (("precision_at_k", "map_at_k"), (1,), "pessimistic", False, True, (1,)),
        (("precision_at_k",), (1, 2), "pessimistic", True, False, None),
        (("map_at_k",), (2,), "pessimistic", True, False, None),
        (("map",), (1,), "pessimistic", True, False, None),
        (("recall_at_k",), (1,), "expected", True, False, None),
    ],
)
def test_ranks_are_asked_for_only_where_they_count(metrics, ks, ties, every_rank, best_only, cutoffs):
    wanted = MetricChoice(metrics, ks, ties).wanted_ranks
    assert wanted == {"every_rank": every_rank, "best_only": best_only, "cutoffs": cutoffs}


@pytest.mark.parametrize(
    ("metrics", "received"),
    [(("recall", "mrr"), "recall, mrr"), (("mrr", "mrr"), "mrr, mrr"), ((), "none"), ("recall_at_1", "recall_at_1")],
)
def test_wrong_metrics_are_named_beside_those_there_are(metrics, received):
    with pytest.raises(ValueError, match=f"some of {', '.join(METRICS)}, each once; got {received}"):
        MetricChoice(metrics)


def test_unknown_rules_for_ties_are_named():
    with pytest.raises(ValueError, match="one of pessimistic, expected; got 'optimistic'"):
        MetricChoice(ties="optimistic")
