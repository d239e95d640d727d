"""One way to build an index: its kind, and what it takes."""

from dataclasses import dataclass

KINDS = ("flat", "hnsw", "ivfpq")


@dataclass(frozen=True)
class IndexPlan:
    """One way to build an index.

    Attributes:
        kind: One of `KINDS`.
        factory: What faiss calls it.
        bytes_per_vector: In memory, ids and metadata apart.
        num_training: Vectors that it is trained on.
        verdict: Why it is taken, or not, in words.
    """

    kind: str
    factory: str
    bytes_per_vector: int
    num_training: int
    verdict: str = ""
