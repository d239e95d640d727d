"""The table of what short vectors score, as text for people and rows for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ShortVectorScore:
    """One cell of the table.

    Attributes:
        dim: Dimensions of the stored vector.
        reduction: `"pca"`, `"pca_whitened"` or `"first_d"`.
        precision: A key of `hf_vitret.compression.quantization.PRECISIONS`.
        bytes_per_vector: Bytes of one stored vector.
        recall_at_1: In [0, 1]; nan where no query has a positive.
        map_at_r: Likewise.
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
        num_train: Rows that PCA was fitted on and int8 calibrated on.
        num_queries: All queries.
        num_queries_without_positive: Those of them that were left out of the means.
        num_gallery: Items searched; the queries themselves where there is no gallery.
        shortlist: Candidates that binary codes were rescored for.
        omitted: `(dim, reduction)` that could not be had: whitening beyond the rank of the train split's features.

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
        """Return the cells as dictionaries, fit for JSON and for a data frame."""
        return [asdict(score) for score in self.scores]

    def table(self) -> str:
        """Return the table as text, percentages: a block for each dimension, two columns for each precision."""
        cells = {(score.dim, score.reduction, score.precision): score for score in self.scores}
        dims, _, precisions = (list(dict.fromkeys(values)) for values in zip(*cells, strict=True))
        # The smallest dimension has them all: what is omitted, is so for having too many.
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
