"""Retrieval metrics by their definitions, query by query, with every score in float64 and every list sorted."""

import math
from itertools import groupby

import numpy as np

TIE_TOLERANCE = 2e-6
ALL_METRICS = ("recall_at_k", "precision_at_k", "map_at_k", "map_at_r", "r_precision", "map", "mrr")


def sorted_positive_ranks(
    queries, labels, gallery=None, gallery_labels=None, query_ids=None, gallery_ids=None, ties="pessimistic"
):
    """Return the 0-based ranks of each query's positives, where a negative that ties with a positive is ahead of it.

    With `ties="optimistic"`, the negative is behind it.
    """
    queries = np.asarray(queries, dtype=np.float64)
    if gallery is None:
        gallery, gallery_labels = queries, labels
        query_ids = gallery_ids = range(len(queries))
    gallery = np.asarray(gallery, dtype=np.float64)
    tolerance = TIE_TOLERANCE if ties == "pessimistic" else -TIE_TOLERANCE
    gallery_labels, gallery_ids = np.asarray(gallery_labels), np.asarray(gallery_ids)
    lists = []
    for row, query in enumerate(queries):
        seen = np.arange(len(gallery)) if query_ids is None else np.flatnonzero(gallery_ids != query_ids[row])
        is_right = gallery_labels[seen] == labels[row]
        norms = np.linalg.norm(query) * np.linalg.norm(gallery[seen], axis=1)
        keys = gallery[seen] @ query - np.where(is_right, tolerance * norms, 0.0)
        second = is_right if ties == "pessimistic" else ~is_right
        lists.append(np.flatnonzero(is_right[np.lexsort((second, -keys))]))
    return lists


def metrics_of_list(ranks, ks=(1, 10, 100, 1000), num_positives=None):
    """Return every metric of one query by name, from a loop over its list; `ranks` are those of the positives found."""
    num_positives = len(ranks) if num_positives is None else num_positives
    length = max([num_positives, *ks, *(rank + 1 for rank in ranks)])
    hits = [0] * length
    for rank in ranks:
        hits[rank] = 1
    num_hits, hits_up_to, precisions_up_to, total = 0, [0], [0.0], 0.0
    for length_so_far, hit in enumerate(hits, start=1):
        num_hits += hit
        total += hit * num_hits / length_so_far
        hits_up_to.append(num_hits)
        precisions_up_to.append(total)
    values = {}
    for k in ks:
        values[f"recall_at_{k}"] = float(hits_up_to[k] > 0)
        values[f"precision_at_{k}"] = hits_up_to[k] / k
        values[f"map_at_{k}"] = precisions_up_to[k] / min(k, num_positives)
    values["map_at_r"] = precisions_up_to[num_positives] / num_positives
    values["r_precision"] = hits_up_to[num_positives] / num_positives
    values["map"] = total / num_positives
    values["mrr"] = next((1 / rank for rank, hit in enumerate(hits, start=1) if hit), 0.0)
    return values


def expected_metrics_of_list(scores, is_right, ks=(1, 10, 100, 1000)):
    """Return the expected value of every metric of one query, from a loop over its list; only equal scores tie."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    pairs = [(scores[item], bool(is_right[item])) for item in order]
    num_right, length = sum(right for _, right in pairs), len(pairs)
    chance_of_right, precision, chance_of_best = [], [], []
    before = 0
    for _, group in groupby(pairs, key=lambda pair: pair[0]):
        rights = [right for _, right in group]
        size, right = len(rights), sum(rights)
        for position in range(size):
            chance_of_right.append(right / size)
            ahead = before + (position * (right - 1) / (size - 1) if size > 1 and right else 0)
            precision.append((ahead + 1) / (len(precision) + 1))
            is_first = not before and right > 0 and position <= size - right
            chance = math.comb(size - 1 - position, right - 1) / math.comb(size, right) if is_first else 0.0
            chance_of_best.append(chance)
        before += right
    hits = np.cumsum([0.0, *chance_of_right])
    sums = np.cumsum([0.0, *(chance * each for chance, each in zip(chance_of_right, precision, strict=True))])
    best = np.cumsum([0.0, *chance_of_best])
    values = {}
    for k in ks:
        last = min(k, length)
        values[f"recall_at_{k}"] = best[last]
        values[f"precision_at_{k}"] = hits[last] / k
        values[f"map_at_{k}"] = sums[last] / min(k, num_right)
    values["map_at_r"] = sums[num_right] / num_right
    values["r_precision"] = hits[num_right] / num_right
    values["map"] = sums[-1] / num_right
    values["mrr"] = sum(chance / rank for rank, chance in enumerate(chance_of_best, start=1))
    return values


def names_of(metrics, ks):
    """Return the names of the values, in order."""
    return [key for name in metrics for key in ([f"{name[:-1]}{k}" for k in ks] if name.endswith("_k") else [name])]


def metrics_by_sorting(*args, ks=(1, 10, 100, 1000), metrics=("recall_at_k", "map_at_r", "r_precision"), **kwargs):
    """Return the means of metrics, by the names of `retrieval_metrics`."""
    lists = sorted_positive_ranks(*args, **kwargs)
    found = [metrics_of_list(ranks.tolist(), ks) for ranks in lists if len(ranks)]
    return {
        **{
            name: float(np.mean([each[name] for each in found])) if found else math.nan
            for name in names_of(metrics, ks)
        },
        "num_queries": len(lists),
        "num_queries_without_positive": len(lists) - len(found),
    }
