"""`ShortVectors`: the scores of short vectors, as a text table and as rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ShortVectorScore:
    """The scores of one dimension, reduction and precision: one cell of the table.

    Attributes:
        dim: Number of dimensions of the stored vector.
        reduction: `"pca"`, `"pca_whitened"` or `"first_d"`.
        precision: `"float32"`, `"float16"`, `"int8"`, `"binary"` or `"binary_rescored"`.
        bytes_per_vector: Number of bytes of one stored vector.
        recall_at_1: R@1 in [0, 1]; nan if no query has a positive.
        map_at_r: MAP@R in [0, 1]; nan if no query has a positive.
    """

    dim: int
    reduction: str
    precision: str
    bytes_per_vector: int
    recall_at_1: float
    map_at_r: float


@dataclass(frozen=True)
class ShortVectors:
    """R@1 and MAP@R of short vectors, by dimension, reduction and precision.

    Attributes:
        scores: The cells, by descending dimension.
        num_train: Number of rows that PCA was fitted on and int8 calibrated on.
        num_queries: Number of all queries.
        num_queries_without_positive: Number of queries that were left out of the means.
        num_gallery: Number of searched items; the queries themselves if there is no gallery.
        shortlist: Number of candidates that `binary_rescored` ranked again for each query.
        omitted: The pairs `(dim, reduction)` that are not possible: whitening beyond the rank of the train features.

    Example:
        >>> score = ShortVectorScore(64, "pca", "int8", 64, recall_at_1=0.75, map_at_r=0.5)
        >>> print(ShortVectors((score,), 100, 8, 0, 8, 100, ()).table())
        R@1 and MAP@R in percent, by bytes a vector; 8 queries in 8 items, PCA of 100 rows
                           int8
         dim reduction       R@1  MAP@R
          64 bytes            64
             pca           75.00  50.00
    """

    scores: tuple[ShortVectorScore, ...]
    num_train: int
    num_queries: int
    num_queries_without_positive: int
    num_gallery: int
    shortlist: int
    omitted: tuple[tuple[int, str], ...]

    def rows(self) -> list[dict[str, str | int | float]]:
        """Return the cells as dictionaries, for JSON or a data frame."""
        return [asdict(score) for score in self.scores]

    def table(self) -> str:
        """Return a text table in percent: a block of rows for each dimension, and two columns for each precision."""
        cells = {(score.dim, score.reduction, score.precision): score for score in self.scores}
        dims, _, precisions = (list(dict.fromkeys(values)) for values in zip(*cells, strict=True))
        # The smallest dimension has all reductions, because only too many dimensions are omitted.
        reductions = list(dict.fromkeys(score.reduction for score in self.scores if score.dim == dims[-1]))
        lines = [
            f"R@1 and MAP@R in percent, by bytes a vector; {self.num_queries:,} queries in {self.num_gallery:,} items, "
            f"PCA of {self.num_train:,} rows",
            " " * 17 + "".join(f"  {precision:<15}" for precision in precisions),
            " dim reduction   " + "    R@1  MAP@R   " * len(precisions),
        ]
        for dim in dims:
            sizes = {score.precision: score.bytes_per_vector for score in self.scores if score.dim == dim}
            lines.append(f"{dim:>4} bytes       " + "".join(f"{sizes[each]:>7}          " for each in precisions))
            for reduction in reductions:
                line = f"     {reduction:<12}"
                for precision in precisions:
                    score = cells.get((dim, reduction, precision))
                    line += (
                        f"{'-':>7}{'-':>7}   "
                        if score is None
                        else f"{100 * score.recall_at_1:>7.2f}{100 * score.map_at_r:>7.2f}   "
                    )
                lines.append(line)
        if any(score.precision == "binary_rescored" for score in self.scores):
            lines.append(f"binary_rescored: the {self.shortlist} nearest by Hamming distance, by float query and bits")
        lines += [
            f"{reduction} at {dim} (-): the features have variance in fewer dimensions"
            for dim, reduction in self.omitted
        ]
        return "\n".join(line.rstrip() for line in lines)
