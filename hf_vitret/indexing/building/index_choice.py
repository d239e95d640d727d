"""`choose_index`: choose the kind of index from the number of vectors, the memory and the recall."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..backends.index_plan import KINDS, IndexPlan

DEFAULT_MEMORY = 4 * 2**30
DEFAULT_RECALL = 0.95
DEFAULT_QUERIES = 1_000  # one half tunes the search; the other half measures a recall of 0.95 to one percentage point
# Exact search among this number of vectors takes a few milliseconds per query on one core, so a graph is not worth it.
MAX_FLAT = 50_000
# Building a graph of more vectors takes hours on a few cores.
MAX_HNSW = 2_000_000
_LINKS = 32  # links of a vector in the graph, twice as many on its lowest level: the usual value
_GRAPH_BYTES = 4 * 2 * _LINKS + 12  # the links, an offset and a level
_ID_BYTES = 8  # of a vector in an inverted list
_MIN_TRAINING = 256  # number of values of a code of 8 bits
_TRAINING_PER_CELL = 64  # faiss needs at least 39 and uses at most 256
# The highest target recall for which codes are chosen without a copy of the vectors to compare again.
_MAX_RECALL_OF_CODES = 0.5


@dataclass(frozen=True)
class IndexChoice:
    """The plans in their order of preference, and the plan that was chosen.

    Attributes:
        plans: All plans.
        chosen: The chosen plan.
        num_vectors: Number of vectors of the index.
        memory_budget: Number of bytes that the index may take.
        target_recall: Share of the exact neighbours that a search must find.
    """

    plans: tuple[IndexPlan, ...]
    chosen: IndexPlan
    num_vectors: int
    memory_budget: int
    target_recall: float

    def table(self) -> str:
        """Return the plans as a table, one per line."""
        rows = [("index", "bytes a vector", "MB", "verdict")]
        rows += [
            (plan.factory, f"{plan.bytes_per_vector:,}", f"{_megabytes(plan, self.num_vectors):,.1f}", plan.verdict)
            for plan in self.plans
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows]
        head = (
            f"{self.num_vectors:,} vectors, at most {self.memory_budget / 1e6:,.1f} MB, recall@10 of at least "
            f"{self.target_recall:g}"
        )
        return "\n".join([head, *lines])


def choose_index(
    num_vectors: int,
    dim: int,
    *,
    memory_budget: int = DEFAULT_MEMORY,
    target_recall: float = DEFAULT_RECALL,
    is_normalized: bool = True,
    kind: str | None = None,
) -> IndexChoice:
    """Choose a kind of index: the first that fits of exact, graph, codes with a copy to compare again, and codes.

    Args:
        num_vectors: Number of vectors of the index.
        dim: Length of a vector.
        memory_budget: Number of bytes that the index may take, without ids and metadata.
        target_recall: Share of the ten exact neighbours that a search must find, above 0, up to 1. 1 makes the search
            exact.
        is_normalized: Whether the vectors have unit norm. Without it, a search for the largest inner product in a graph
            is misled.
        kind: `"flat"`, `"hnsw"` or `"ivfpq"` chooses only among plans of this kind. None: among all.

    Returns:
        The plans and the chosen one.

    Raises:
        ValueError: A setting is outside its domain, or no plan fits the budget.

    Reference:
        "Guidelines to choose an index", github.com/facebookresearch/faiss/wiki, the rows up to ten million vectors.

    Example:
        >>> [choose_index(num, 128).chosen.factory for num in (1_000, 1_000_000, 5_000_000)]
        ['Flat', 'HNSW32,Flat', 'IVF8192,PQ32,Refine(SQfp16)']
    """
    if num_vectors < 1 or dim < 1 or memory_budget < 1 or not 0 < target_recall <= 1:
        raise ValueError(
            "expected at least one vector, dimension and byte, and a target_recall above 0, up to 1; got "
            f"num_vectors={num_vectors}, dim={dim}, memory_budget={memory_budget}, target_recall={target_recall}"
        )
    if kind is not None and kind not in KINDS:
        raise ValueError(f"expected a kind of {', '.join(KINDS)}; got {kind!r}")
    if kind == "ivfpq" and num_vectors < _MIN_TRAINING:
        raise ValueError(
            f"ivfpq learns its codes from at least {_MIN_TRAINING} vectors; got {num_vectors}: choose flat"
        )
    judged: list[IndexPlan] = []
    chosen: IndexPlan | None = None
    for plan in _plans(num_vectors, dim):
        why_not = _objection(plan, num_vectors, memory_budget, target_recall, is_normalized, kind)
        if not why_not and chosen is None:
            chosen = plan = _judged(plan, "chosen" if kind is None else "chosen, as asked for")
        else:
            plan = _judged(plan, why_not or "not needed")
        judged.append(plan)
    if chosen is None:
        chosen = _last_resort(judged, num_vectors, memory_budget, target_recall, kind)
        judged = [chosen if plan.factory == chosen.factory else plan for plan in judged]
    return IndexChoice(tuple(judged), chosen, num_vectors, memory_budget, target_recall)


def _plans(num_vectors: int, dim: int) -> list[IndexPlan]:
    plans = [
        IndexPlan("flat", "Flat", 4 * dim, 0),
        IndexPlan("hnsw", f"HNSW{_LINKS},Flat", 4 * dim + _GRAPH_BYTES, 0),
    ]
    if num_vectors < _MIN_TRAINING:
        return plans
    cells = min(2 ** round(math.log2(4 * math.sqrt(num_vectors))), max(1, num_vectors // 39))
    training = min(num_vectors, max(_TRAINING_PER_CELL * cells, 64 * _MIN_TRAINING))
    num_codes = dim // _part_length(dim)
    codes = f"IVF{cells},PQ{num_codes}"
    taken = num_codes + _ID_BYTES
    return [
        *plans,
        IndexPlan("ivfpq", f"{codes},Refine(SQfp16)", taken + 2 * dim, training),
        IndexPlan("ivfpq", f"{codes},Refine(SQ8)", taken + dim, training),
        IndexPlan("ivfpq", codes, taken, training),
    ]


def _part_length(dim: int) -> int:
    """Return the number of dimensions per byte of code: 4, or a near number that divides `dim`."""
    return next(length for length in (4, 5, 6, 3, 7, 8, 2, 1) if dim % length == 0)


def _objection(
    plan: IndexPlan, num_vectors: int, memory_budget: int, target_recall: float, is_normalized: bool, kind: str | None
) -> str:
    """Return the reason against a plan; empty if there is none."""
    if kind is not None and plan.kind != kind:
        return "not asked for"
    if plan.bytes_per_vector * num_vectors > memory_budget:
        return "too large"
    if plan.kind == "hnsw" and not is_normalized:
        return "needs vectors of unit norm"
    if target_recall == 1 and plan.kind != "flat":
        return "not exact"
    if kind is None and plan.kind == "flat" and num_vectors > MAX_FLAT and target_recall < 1:
        return f"slow: every query reads all vectors (above {MAX_FLAT:,})"
    if kind is None and plan.kind == "hnsw" and num_vectors > MAX_HNSW:
        return f"slow to build (above {MAX_HNSW:,})"
    if plan.kind == "ivfpq" and "Refine" not in plan.factory and target_recall > _MAX_RECALL_OF_CODES:
        return "codes alone may miss the target"
    return ""


def _last_resort(
    judged: list[IndexPlan], num_vectors: int, memory_budget: int, target_recall: float, kind: str | None
) -> IndexPlan:
    """Return the plan with codes only if the target recall is the only reason against it.

    Raises:
        ValueError: There are other reasons against every plan.
    """
    for plan in judged:
        if plan.verdict.startswith("codes alone"):
            return _judged(plan, "chosen: nothing else fits; may miss the target")
    able = [plan for plan in judged if plan.verdict != "not asked for"]
    smallest = min(able, key=lambda plan: plan.bytes_per_vector)
    needed = smallest.bytes_per_vector * num_vectors
    reasons = "; ".join(f"{plan.factory}: {plan.verdict}" for plan in able)
    raise ValueError(
        f"no {kind or 'index'} suits {num_vectors:,} vectors, {memory_budget / 1e6:,.1f} MB and a recall of "
        f"{target_recall:g} ({reasons}). The smallest takes {needed / 1e6:,.1f} MB: raise the memory budget, embed in "
        "fewer dimensions, or ask for less"
    )


def _judged(plan: IndexPlan, verdict: str) -> IndexPlan:
    return IndexPlan(plan.kind, plan.factory, plan.bytes_per_vector, plan.num_training, verdict)


def _megabytes(plan: IndexPlan, num_vectors: int) -> float:
    return plan.bytes_per_vector * num_vectors / 1e6
