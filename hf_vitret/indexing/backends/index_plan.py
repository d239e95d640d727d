"""`IndexPlan`: a kind of index, with its memory and training."""

from dataclasses import dataclass

KINDS = ("flat", "hnsw", "ivfpq")


@dataclass(frozen=True)
class IndexPlan:
    """A kind of index, with its memory and training.

    Attributes:
        kind: One of `KINDS`.
        factory: Its factory string in faiss.
        bytes_per_vector: Bytes of memory per vector, without ids and metadata.
        num_training: Number of vectors on which it is trained.
        verdict: Why it was chosen or not.
    """

    kind: str
    factory: str
    bytes_per_vector: int
    num_training: int
    verdict: str = ""
