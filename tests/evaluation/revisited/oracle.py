"""A literal and slow implementation of the rules of the revisited benchmarks, image by image for each list."""

import math

LEVELS = {
    "easy": (["easy"], ["junk", "hard"]),
    "medium": (["easy", "hard"], ["junk"]),
    "hard": (["hard"], ["junk", "easy"]),
}


def metrics_of_query(ranking: list[int], wanted: set[int], junk: set[int], ks: tuple[int, ...]) -> list[float]:
    """Return AP and P@k of one list; nan if nothing is wanted."""
    if not wanted:
        return [math.nan] * (1 + len(ks))
    kept = [image for image in ranking if image not in junk]
    average_precision, num_found, last = 0.0, 0, 0
    for rank, image in enumerate(kept):
        if image in wanted:
            before = 1.0 if rank == 0 else num_found / rank
            num_found += 1
            at = num_found / (rank + 1)
            average_precision += (before + at) / 2 / len(wanted)
            last = rank + 1
    if num_found < len(wanted):
        last = math.inf  # a positive that was not found comes after all others
    precisions = []
    for k in ks:
        length = min(last, k)
        precisions.append(sum(image in wanted for image in kept[:length]) / length)
    return [average_precision, *precisions]


def metrics_of_queries(rankings, truth, ks: tuple[int, ...]) -> dict[str, list[float]]:
    values = {}
    for level, (wanted, junk) in LEVELS.items():
        sets = [
            [{int(row) for name in names for row in getattr(truth, name)[query]} for names in (wanted, junk)]
            for query in range(len(rankings))
        ]
        rows = [
            metrics_of_query(list(map(int, ranking)), *own, ks) for ranking, own in zip(rankings, sets, strict=True)
        ]
        names = [f"{level}_map", *(f"{level}_precision_at_{k}" for k in ks)]
        values |= dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return values
