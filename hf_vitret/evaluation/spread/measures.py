"""`measure_spread`: energy of principal components, cosines of pairs and nearest distances of embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...compression.pca import PCA
from ...search.exact_codes import Identifiers, exact_codes
from ...search.inner_products import check_embeddings
from ...search.neighbors import nearest_neighbors

# Number of pairs scored at once: 16,384 pairs of 384 dimensions are 48 MiB of float32.
_PAIRS = 16_384


@dataclass(frozen=True)
class Spread:
    """The spread of the embeddings of a data set by one model.

    Attributes:
        cumulative_energy: `(min(dim, num_items - 1),)` float64, ascending to 1: the share of the variance in the first
            1, 2, ... principal components.
        positive_cosines: `(num_bins,)` int64, a histogram of the cosines of pairs of the same class.
        negative_cosines: `(num_bins,)` int64, a histogram of the cosines of pairs of different classes.
        bin_edges: `(num_bins + 1,)` float64, the edges of the bins, cosines from -1 to 1. A bin includes its lower
            edge, the last bin both edges.
        mean_positive_cosine: Mean cosine of the pairs of the same class; nan if there are none.
        mean_negative_cosine: Mean cosine of the pairs of different classes; nan if there are none.
        nearest_distances: `(num_items,)` float32, the Euclidean distance of each item to its nearest other item of any
            class, from 0 to 2.
    """

    cumulative_energy: torch.Tensor
    positive_cosines: torch.Tensor
    negative_cosines: torch.Tensor
    bin_edges: torch.Tensor
    mean_positive_cosine: float
    mean_negative_cosine: float
    nearest_distances: torch.Tensor

    def num_components(self, energy: float) -> int:
        """Count the principal components that hold a share of the variance.

        Args:
            energy: The share, above 0 and up to 1.

        Returns:
            The smallest number of components that hold at least this share.

        Raises:
            ValueError: The share is outside its range.
        """
        if not 0 < energy <= 1:
            raise ValueError(
                f"energy must be a share of the variance, above 0 and up to 1; got {energy}. Pass 0.9 for 90 percent"
            )
        enough = self.cumulative_energy >= energy - 1e-12  # the last sum may be below 1 by a rounding error
        return int(enough.double().argmax()) + 1

    def summary(self) -> dict[str, float | int]:
        """Return a few numbers to compare models by, as JSON values.

        Returns:
            `components_for_90_percent`, `components_for_99_percent`, `mean_positive_cosine`, `mean_negative_cosine` and
            `mean_nearest_distance`.
        """
        return {
            "components_for_90_percent": self.num_components(0.9),
            "components_for_99_percent": self.num_components(0.99),
            "mean_positive_cosine": self.mean_positive_cosine,
            "mean_negative_cosine": self.mean_negative_cosine,
            "mean_nearest_distance": float(self.nearest_distances.double().mean()),
        }


@torch.no_grad()
def measure_spread(
    embeddings: torch.Tensor,
    labels: Identifiers,
    *,
    num_bins: int = 100,
    max_pairs: int = 1_000_000,
    seed: int = 0,
) -> Spread:
    """Measure the spread of embeddings: energy of principal components, cosines of pairs, nearest distances.

    Args:
        embeddings: `(num_items, dim)` float, unit L2 norm, at least two rows, on CPU or CUDA.
        labels: `(num_items,)` integers or strings, the class of each item. Floats are refused.
        num_bins: Number of bins of the histograms, at least 1.
        max_pairs: Largest number of pairs of the same class, and of different classes, that are used, at least 1. If
            there are more, this many are drawn with replacement.
        seed: Seed of the draw.

    Returns:
        The spread, on the CPU.

    Raises:
        TypeError: Embeddings are not floats, or labels are floats.
        ValueError: An embedding is NaN, infinite or not of unit norm, there are fewer than two rows, all rows are
            equal, the labels do not match the embeddings in number, or a setting is below 1.

    Reference:
        El-Nouby et al., arXiv 2102.05644: energy in figures 2 and 3, cosines in figure 5, the nearest distance in
        equation 4.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> spread = measure_spread(rows, ["mug", "mug", "cup"], num_bins=4)
        >>> spread.positive_cosines, spread.negative_cosines
        (tensor([0, 0, 0, 1]), tensor([0, 0, 1, 1]))
        >>> spread.nearest_distances
        tensor([0.6325, 0.6325, 0.8944])
    """
    check_embeddings(embeddings, "embeddings")
    (codes,) = exact_codes(labels, name="labels")
    if len(codes) != len(embeddings):
        raise ValueError(
            f"labels must have one label for each of the {len(embeddings)} embeddings, got {len(codes)}. Pass the "
            "labels of these embeddings."
        )
    for name, value in (("num_bins", num_bins), ("max_pairs", max_pairs)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}. Leave it out for the default.")
    norms = torch.linalg.vector_norm(embeddings.float(), dim=1)
    if bool(((norms - 1).abs() > 1e-2).any()):
        raise ValueError(
            f"expected embeddings of unit norm; got norms from {float(norms.min()):.3g} to {float(norms.max()):.3g}. "
            "Normalise them first, as embed_images does"
        )
    variance = PCA.fit(embeddings).explained_variance.cpu()
    edges = torch.linspace(-1, 1, num_bins + 1, dtype=torch.float64)
    pairs = _Pairs(codes, np.random.default_rng(seed), max_pairs)
    positive, mean_positive = _histogram(embeddings, pairs.positive(), edges)
    negative, mean_negative = _histogram(embeddings, pairs.negative(), edges)
    return Spread(
        variance.cumsum(dim=0) / variance.sum(),
        positive,
        negative,
        edges,
        mean_positive,
        mean_negative,
        _nearest_distances(embeddings),
    )


def _histogram(
    embeddings: torch.Tensor, pairs: tuple[torch.Tensor, torch.Tensor], edges: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Return the histogram of the cosines of pairs, and their mean."""
    counts, total = torch.zeros(len(edges) - 1, dtype=torch.int64), 0.0
    for first, second in zip(*(torch.split(side, _PAIRS) for side in pairs), strict=True):
        rows, others = (embeddings[side.to(embeddings.device)].float() for side in (first, second))  # (pairs, dim)
        cosines = torch.nn.functional.cosine_similarity(rows, others).double().clamp(-1, 1).cpu()
        bins = (torch.searchsorted(edges, cosines, right=True) - 1).clamp(max=len(counts) - 1)
        counts += bins.bincount(minlength=len(counts))
        total += float(cosines.sum())
    return counts, total / len(pairs[0]) if len(pairs[0]) else float("nan")


def _nearest_distances(embeddings: torch.Tensor) -> torch.Tensor:
    """Return the distance of each row to the nearest other row, `(num_items,)` float32."""
    rows = torch.arange(len(embeddings))
    _, nearest = nearest_neighbors(embeddings, embeddings, 1, query_ids=rows, gallery_ids=rows)
    distances = []
    for own, other in zip(torch.split(rows, _PAIRS), torch.split(nearest[:, 0], _PAIRS), strict=True):
        # The distance is not computed from the score, because 2 - 2 * score has no digits left if two rows are near
        # each other.
        difference = embeddings[own.to(embeddings.device)].double() - embeddings[other].double()
        distances.append(torch.linalg.vector_norm(difference, dim=1).float().cpu())
    return torch.cat(distances)


class _Pairs:
    """Unordered pairs of rows of the same class, and of different classes: all of them, or some drawn at random.

    Args:
        codes: `(num_items,)` int64 labels.
        rng: Random number generator of the draw.
        most: Largest number of pairs.
    """

    def __init__(self, codes: torch.Tensor, rng: np.random.Generator, most: int) -> None:
        classes = np.unique(codes.numpy(), return_inverse=True)[1]
        self._order = np.argsort(classes, kind="stable")  # rows by class
        sizes = np.bincount(classes)
        self._ends = sizes.cumsum()
        self._starts = self._ends - sizes
        self._class = classes[self._order]
        self._rng, self._most = rng, most

    def positive(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows of pairs of the same class, `(num_pairs,)` int64 each."""
        # In the order of classes, an item forms a pair with each later item of its class.
        return self._pairs(self._ends[self._class])

    def negative(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows of pairs of different classes, `(num_pairs,)` int64 each."""
        num_items = len(self._class)
        return self._pairs(np.full(num_items, num_items), self._ends[self._class])

    def _pairs(self, stops: np.ndarray, firsts: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Number the pairs of each position in the order with the positions `firsts:stops`; return all or some."""
        firsts = np.arange(1, len(stops) + 1) if firsts is None else firsts
        ends = (stops - firsts).cumsum()
        total = int(ends[-1])
        chosen = np.arange(total) if total <= self._most else self._rng.integers(total, size=self._most)
        position = np.searchsorted(ends, chosen, side="right")
        other = chosen - (ends[position] - (stops - firsts)[position]) + firsts[position]
        return torch.from_numpy(self._order[position]), torch.from_numpy(self._order[other])
