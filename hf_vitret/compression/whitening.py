"""Learned whitening: a projection, learned from matching pairs, that shrinks the directions in which they differ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ..files.tensor_fields import TensorFields
from ..search.inner_products import check_embeddings

# Rows converted to float64 at once: 8,192 of 2,048 dimensions are 128 MiB.
_ROWS = 8_192
# An eigenvalue below this share of the largest one is rounding error, and cannot be divided by.
_RANK_TOLERANCE = 1e-12


@dataclass(frozen=True)
class LearnedWhitening(TensorFields):
    """A mean, and directions that whiten the differences of matching pairs, ordered by the variance of the features.

    With S the second moment of the differences, `components` is `V^T S^(-1/2)`, where V are the principal directions of
    `S^(-1/2) (x - mean)`. Its first rows are the components of fewer dimensions.

    Attributes:
        mean: `(width,)` float64, the mean of the anchors.
        components: `(num_components, width)` float64. In each row the entry of the largest magnitude is positive.
        explained_variance: `(num_components,)` float64, descending: the variance of the features on each component, in
            units of the second moment of a pair's difference.
        shrinkage: `()` float64, from 0 to 1: the weight of the multiple of the identity that S was averaged with.

    Reference:
        Mikolajczyk and Matas, ICCV 2007; Radenovic et al., arXiv 1711.02512, section 3.3 and `whitenlearn` in its code.
        In that code `S^(-1/2)` is the inverse of the Cholesky factor of S. It is another root of S, and the second step
        rotates both to the same result. Deviation: where S has no Cholesky factor, that code adds to the diagonal; here
        S is shrunk.

    Example:
        >>> features = torch.tensor([[3.0, 0.0], [5.0, 0.5], [-5.0, 0.5], [-3.0, 0.0]])
        >>> whitening = LearnedWhitening.fit(features, torch.tensor([0, 2]), torch.tensor([1, 3]), shrinkage=0.5)
        >>> whitening.transform(torch.tensor([[0.0, 0.25], [9.0, 0.25]]), dim=1)
        tensor([[1.],
                [1.]])
    """

    mean: torch.Tensor
    components: torch.Tensor
    explained_variance: torch.Tensor
    shrinkage: torch.Tensor

    def __post_init__(self) -> None:
        """Check that the shapes of the tensors match.

        Raises:
            ValueError: They do not match.
        """
        shape = tuple(self.components.shape)
        others = (tuple(self.mean.shape), tuple(self.explained_variance.shape))
        if len(shape) != 2 or others != (shape[1:], shape[:1]):
            raise ValueError(
                "expected mean (width,), components (num_components, width) and explained_variance (num_components,); "
                f"got {others[0]}, {shape} and {others[1]}: use LearnedWhitening.fit or .load to make one"
            )

    @classmethod
    @torch.no_grad()
    def fit(
        cls,
        features: torch.Tensor,
        anchors: torch.Tensor,
        positives: torch.Tensor,
        *,
        shrinkage: float | None = None,
        dim: int | None = None,
    ) -> LearnedWhitening:
        """Learn a whitening, in float64, from features and pairs of them that show the same object.

        Args:
            features: `(num_rows, width)` float, on CPU or CUDA. For `with_projection`, which projects before the norm,
                features that are not normalised (`embed_images(normalize=False)`).
            anchors: `(num_pairs,)` int64, the row of the first image of each pair.
            positives: `(num_pairs,)` int64, the row of the second image of each pair. Pairs may be repeated.
            shrinkage: S becomes `(1 - shrinkage) S + shrinkage tr(S) / width I`, from 0 to 1. None: the estimate of
                Ledoit and Wolf for this number of pairs, which falls to 0 as the number grows.
            dim: Number of components to keep. None: the width of the features.

        Returns:
            The whitening, on the device of the features.

        Raises:
            TypeError: The features are not floats.
            ValueError: A feature is not finite, there are no pairs, a pair is out of range, the images of each pair are
                equal, the shrinkage is not from 0 to 1, dim is larger than the width, or S has no inverse without
                shrinkage.

        Reference:
            Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, section 3.
        """
        check_embeddings(features, "features")
        num_rows, width = features.shape
        anchors, positives = (_checked_rows(rows, num_rows, features.device) for rows in (anchors, positives))
        if len(anchors) != len(positives) or not len(anchors):
            raise ValueError(
                f"expected as many anchors as positives, at least one; got {len(anchors)} and {len(positives)}: pass "
                "the two rows of each pair"
            )
        if shrinkage is not None and not 0 <= shrinkage <= 1:
            raise ValueError(f"expected a shrinkage from 0 to 1, or None; got {shrinkage}: None estimates it")
        if dim is not None and not 1 <= dim <= width:
            raise ValueError(f"expected a dim from 1 to {width}, the width of the features; got {dim}: lower it")
        mean = torch.zeros(width, dtype=torch.float64, device=features.device)
        moment, fourth = mean.new_zeros(width, width), mean.new_zeros(())
        for some, others in zip(torch.split(anchors, _ROWS), torch.split(positives, _ROWS), strict=True):
            rows = features[some].double()
            mean += rows.sum(dim=0) / len(anchors)
            differences = rows - features[others].double()  # (pairs, width)
            moment += differences.T @ differences / len(anchors)
            fourth += differences.square().sum(dim=1).square().sum() / len(anchors)
        if not moment.any():
            raise ValueError(
                "expected pairs that differ; in all pairs the features are equal: the model has collapsed, or both "
                "rows of each pair are the same"
            )
        if shrinkage is None:
            shrinkage = _ledoit_wolf(moment, float(fourth), len(anchors))
        identity = torch.eye(width, dtype=torch.float64, device=mean.device)
        root = _inverse_root((1 - shrinkage) * moment + shrinkage * moment.trace() / width * identity)
        covariance = torch.zeros_like(moment)
        for rows in torch.split(features, _ROWS):
            whitened = (rows.double() - mean) @ root  # (rows, width)
            covariance += whitened.T @ whitened / num_rows
        variance, vectors = torch.linalg.eigh(covariance)  # ascending
        components = (vectors.T.flip(0) @ root)[:dim]
        largest = components.abs().argmax(dim=1, keepdim=True)
        components = components * components.gather(1, largest).sign()
        return cls(mean, components, variance.flip(0)[:dim].clamp(min=0.0), mean.new_tensor(shrinkage))

    @torch.no_grad()
    def project(self, features: torch.Tensor, dim: int | None = None) -> torch.Tensor:
        """Project features on the first components, without normalisation.

        Args:
            features: `(num_rows, width)` float, on any device.
            dim: Number of components. None: all.

        Returns:
            `(num_rows, dim)` float32, on the device of the features. A smaller `dim` gives the first columns of a
            larger one.

        Raises:
            TypeError: The features are not floats.
            ValueError: A feature is not finite, the width is not that of the features of `fit`, or dim is larger than
                the number of components.
        """
        check_embeddings(features, "features")
        most, width = self.components.shape
        if features.shape[1] != width:
            raise ValueError(
                f"expected features of {width} dimensions, as fitted; got {features.shape[1]}: embed with the same "
                "model"
            )
        if dim is not None and not 1 <= dim <= most:
            raise ValueError(f"expected a dim from 1 to {most}; got {dim}: fit with more components")
        mean, columns = self.mean.to(features.device), self.components[:dim].to(features.device).T  # (width, dim)
        return torch.cat([((rows.double() - mean) @ columns).float() for rows in torch.split(features, _ROWS)])

    def transform(self, features: torch.Tensor, dim: int | None = None) -> torch.Tensor:
        """Whiten features to unit-norm vectors: project them on the first components, then normalise.

        Args:
            features: `(num_rows, width)` float, on any device.
            dim: Number of components. None: all.

        Returns:
            `(num_rows, dim)` float32, unit L2 norm, on the device of the features; 0 for a row equal to the mean.

        Raises:
            TypeError: The features are not floats.
            ValueError: A feature is not finite, the width is not that of the features of `fit`, or dim is larger than
                the number of components.
        """
        return F.normalize(self.project(features, dim), dim=1)


def _checked_rows(rows: torch.Tensor, num_rows: int, device: torch.device) -> torch.Tensor:
    rows = torch.as_tensor(rows, device=device)
    if rows.ndim != 1 or rows.is_floating_point() or rows.dtype == torch.bool:
        raise ValueError(
            f"expected pairs as (num_pairs,) int64 rows; got {rows.dtype} of shape {tuple(rows.shape)}: pass the row "
            "numbers of the anchors and of the positives"
        )
    outside = rows[(rows < 0) | (rows >= num_rows)]
    if len(outside):
        raise ValueError(
            f"expected rows from 0 to {num_rows - 1} in the pairs; got {int(outside[0])}: number the rows of the "
            "features from 0"
        )
    return rows.long()


def _ledoit_wolf(moment: torch.Tensor, fourth: float, num_pairs: int) -> float:
    """Estimate the best shrinkage of a second moment about zero; `fourth` is the mean fourth power of the lengths."""
    target = torch.eye(len(moment), dtype=moment.dtype, device=moment.device) * (moment.trace() / len(moment))
    spread = float((moment - target).square().sum())
    noise = (fourth - float(moment.square().sum())) / num_pairs
    return min(1.0, max(0.0, noise / spread)) if spread > 0 else 1.0


def _inverse_root(moment: torch.Tensor) -> torch.Tensor:
    """Return the symmetric inverse square root of a symmetric matrix.

    Raises:
        ValueError: It has none, because it is singular.
    """
    values, vectors = torch.linalg.eigh(moment)
    num_flat = int((values <= _RANK_TOLERANCE * values[-1]).sum())
    if num_flat:
        raise ValueError(
            f"expected pairs that differ in all {len(moment)} directions; in {num_flat} they do not (there are fewer "
            "pairs than dimensions, or a LayerNorm removes one): ask for a shrinkage above 0"
        )
    root: torch.Tensor = (vectors / values.sqrt()) @ vectors.T
    return root
