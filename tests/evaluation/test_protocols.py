"""Every protocol against lists built independently from its definition."""

import numpy as np
import pytest
import torch

from hf_vitret.evaluation.protocols import RetrievalProtocol
from tests.evaluation.ranking_oracle import ALL_METRICS, metrics_of_list

KS = (1, 4, 20)
NUM_QUERIES, NUM_GALLERY = 15, 30
EMBEDDINGS = torch.nn.functional.normalize(
    torch.randn(NUM_GALLERY, 6, generator=torch.Generator().manual_seed(0)), dim=1
)
_GENERATOR = np.random.default_rng(0)
LABELS = [f"person {_GENERATOR.integers(5)}" for _ in range(NUM_GALLERY)]
CAMERAS = [f"camera {_GENERATOR.integers(3)}" for _ in range(NUM_GALLERY)]
PAIRS = list(zip(LABELS, CAMERAS, strict=True))
BURSTS = _GENERATOR.integers(0, 8, NUM_GALLERY)
IGNORED = [(query, item) for query in range(NUM_QUERIES) for item in range(0, NUM_GALLERY, 1 + query % 4)]
TAGS = [set(_GENERATOR.integers(0, 9, 3).tolist()) for _ in range(NUM_GALLERY)]
IS_SAME = np.array([[one == other for other in LABELS] for one in LABELS])
IS_SELF = np.eye(NUM_GALLERY, dtype=bool)


def values_by_hand(is_right, is_absent, num_queries):
    scores = (EMBEDDINGS.double() @ EMBEDDINGS.double().T).numpy()
    values = []
    for query in range(num_queries):
        ranked = [item for item in np.argsort(-scores[query]) if not is_absent[query][item]]
        ranks = [rank for rank, item in enumerate(ranked) if is_right[query][item]]
        values.append(metrics_of_list(ranks, KS) if ranks else None)
    return values


def check(protocol, is_right, is_absent, num_queries=NUM_QUERIES, has_gallery=True):
    sets = (EMBEDDINGS[:num_queries], EMBEDDINGS) if has_gallery else (EMBEDDINGS,)
    expected = values_by_hand(is_right, is_absent, num_queries)
    received = protocol.query_metrics(*sets, ks=KS, metrics=ALL_METRICS)
    means = protocol.metrics(*sets, ks=KS, metrics=ALL_METRICS)
    assert means["num_queries_without_positive"] == expected.count(None) < num_queries
    for query, values in enumerate(expected):
        ours = {name: float(each[query]) for name, each in received.items()}
        assert ours == (
            pytest.approx(values, abs=1e-12) if values else pytest.approx(dict.fromkeys(ours, np.nan), nan_ok=True)
        )
    assert means["map"] == pytest.approx(np.mean([values["map"] for values in expected if values]))


def test_leave_one_out():
    check(RetrievalProtocol(LABELS), IS_SAME, IS_SELF, NUM_GALLERY, has_gallery=False)


def test_query_against_gallery():
    check(RetrievalProtocol(LABELS[:NUM_QUERIES], LABELS), IS_SAME, np.zeros_like(IS_SELF))
    ids = range(NUM_GALLERY)
    check(RetrievalProtocol(LABELS[:NUM_QUERIES], LABELS, ids[:NUM_QUERIES], ids), IS_SAME, IS_SELF)


def test_the_own_burst_is_left_out():
    check(
        RetrievalProtocol(LABELS, query_ids=BURSTS),
        IS_SAME,
        BURSTS[:, None] == BURSTS,
        NUM_GALLERY,
        has_gallery=False,
    )


def test_the_same_person_by_the_same_camera_is_left_out_and_others_by_it_are_not():
    is_absent = np.array([[one == other for other in PAIRS] for one in PAIRS])
    check(RetrievalProtocol(LABELS[:NUM_QUERIES], LABELS, PAIRS[:NUM_QUERIES], PAIRS), IS_SAME, is_absent)


def test_ignore_lists():
    is_absent = np.zeros_like(IS_SELF)
    is_absent[tuple(np.array(IGNORED).T)] = True
    for labels in (np.array(LABELS), LABELS, torch.tensor([int(label[-1]) for label in LABELS])):
        check(RetrievalProtocol(labels[:NUM_QUERIES], labels, ignored=IGNORED), IS_SAME, is_absent)


def test_several_labels():
    overlap = np.array([[len(one & other) for other in TAGS] for one in TAGS])
    check(RetrievalProtocol(TAGS, has_several_labels=True), overlap > 0, IS_SELF, NUM_GALLERY, has_gallery=False)
    scores = RetrievalProtocol(TAGS, has_several_labels=True).metrics(EMBEDDINGS, ks=[5], metrics=["ndcg_at_k"])
    assert 0 < scores["ndcg_at_5"] < 1


def test_a_protocol_describes_itself():
    assert RetrievalProtocol(TAGS[:4], TAGS, ignored=IGNORED, has_several_labels=True).describe() == {
        "search": "query against gallery",
        "num_queries": 4,
        "num_gallery": NUM_GALLERY,
        "relevance": "shared labels",
        "left_out_of_lists": "nothing",
        "num_ignored_pairs": len(IGNORED),
    }
    assert RetrievalProtocol(LABELS).describe()["left_out_of_lists"] == "the query itself"
    assert RetrievalProtocol(LABELS, query_ids=BURSTS).describe()["left_out_of_lists"] == "images of the same id"
