"""Retrieval metrics by the book: every score in float64, every list sorted, one query after another."""

import math

import numpy as np

TIE_TOLERANCE = 2e-6


def sorted_positive_ranks(queries, labels, gallery=None, gallery_labels=None, query_ids=None, gallery_ids=None):
    """Return the 0-based ranks of each query's positives, a wrong item that ties with a right one ahead of it."""
    queries = np.asarray(queries, dtype=np.float64)
    if gallery is None:
        gallery, gallery_labels = queries, labels
        query_ids = gallery_ids = range(len(queries))
    gallery = np.asarray(gallery, dtype=np.float64)
    lists = []
    for row, query in enumerate(queries):
        seen = [i for i in range(len(gallery)) if query_ids is None or query_ids[row] != gallery_ids[i]]
        is_right = np.array([gallery_labels[i] == labels[row] for i in seen], dtype=bool)
        norms = np.linalg.norm(query) * np.linalg.norm(gallery[seen], axis=1)
        keys = gallery[seen] @ query - np.where(is_right, TIE_TOLERANCE * norms, 0.0)
        lists.append(np.flatnonzero(is_right[np.lexsort((is_right, -keys))]))
    return lists


def metrics_by_sorting(*args, ks=(1, 10, 100, 1000), **kwargs):
    lists = sorted_positive_ranks(*args, **kwargs)
    found = [ranks for ranks in lists if len(ranks)]
    average_precisions, precisions = [], []
    for ranks in found:
        num_positives = len(ranks)
        is_right = np.zeros(num_positives)
        is_right[ranks[ranks < num_positives]] = 1
        precision_at = np.cumsum(is_right) / np.arange(1, num_positives + 1)
        average_precisions.append((precision_at * is_right).sum() / num_positives)
        precisions.append(is_right.mean())

    def mean(values):
        return float(np.mean(values)) if found else math.nan

    return {
        **{f"recall_at_{k}": mean([ranks[0] < k for ranks in found]) for k in ks},
        "map_at_r": mean(average_precisions),
        "r_precision": mean(precisions),
        "num_queries": len(lists),
        "num_queries_without_positive": len(lists) - len(found),
    }
