"""PCA: principal components of a train split, by which the paper shortens vectors."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch.nn import functional as F

from ..files.tensor_fields import TensorFields
from ..search.inner_products import check_embeddings

# Rows converted to float64 at once: 8,192 of 2,048 dimensions are 128 MiB.
_ROWS = 8_192
# A variance below this share of the largest one is rounding error. The last LayerNorm of a ViT-S removes one dimension:
# in its float32 output the variance there is 8e-16 of the largest, and the smallest other variance is 6e-5 of it.
_RANK_TOLERANCE = 1e-12


@dataclass(frozen=True)
class PCA(TensorFields):
    """Principal components: a mean, and the directions of largest variance around it.

    Fit it on features of the train split before the L2 norm (`embed_images(normalize=False)`): the order of the paper
    is pooling, PCA, norm. The paper does not whiten.

    Attributes:
        mean: `(width,)` float64.
        components: `(num_components, width)` float64, orthonormal rows, by descending variance. In each row the entry
            of the largest magnitude is positive.
        explained_variance: `(num_components,)` float64, the variance of each component, descending, with the divisor
            `num_rows - 1`.

    Reference:
        El-Nouby et al., arXiv 2102.05644, section 3: PCA before normalising, for dimensions below the model's.

    Example:
        >>> pca = PCA.fit(torch.tensor([[3.0, 1.0], [1.0, 1.5], [-1.0, 0.5], [1.0, 1.0]]))
        >>> pca.explained_variance
        tensor([2.7103, 0.1230], dtype=torch.float64)
        >>> pca.transform(torch.tensor([[5.0, 2.0], [0.0, 1.0]]), dim=1)
        tensor([[ 1.],
                [-1.]])
    """

    mean: torch.Tensor
    components: torch.Tensor
    explained_variance: torch.Tensor

    def __post_init__(self) -> None:
        """Check that the shapes of the three tensors match.

        Raises:
            ValueError: They do not match.
        """
        shapes = [tuple(getattr(self, field.name).shape) for field in fields(self)]
        if len(shapes[1]) != 2 or shapes[0] != shapes[1][1:] or shapes[2] != shapes[1][:1]:
            raise ValueError(
                "expected mean (width,), components (num_components, width) and explained_variance (num_components,); "
                f"got {shapes[0]}, {shapes[1]} and {shapes[2]}: use PCA.fit or PCA.load to make one"
            )

    @classmethod
    @torch.no_grad()
    def fit(cls, features: torch.Tensor, dim: int | None = None) -> PCA:
        """Compute the principal components from the covariance in float64, summed over chunks of rows.

        Args:
            features: `(num_rows, width)` float, on CPU or CUDA, not normalised.
            dim: Number of components to keep. None: all, `min(width, num_rows - 1)`.

        Returns:
            The PCA, on the device of the features.

        Raises:
            TypeError: The features are not floats.
            ValueError: A feature is not finite, there are fewer than two rows, all rows are equal, or dim is larger
                than the number of components.
        """
        check_embeddings(features, "features")
        num_rows, width = features.shape
        if num_rows < 2:
            raise ValueError("expected at least two rows to fit a PCA on; got 1: one row has no variance, fit on more")
        most = min(width, num_rows - 1)
        if dim is not None and not 1 <= dim <= most:
            mend = "fit on more rows" if most < width else "ask for fewer dimensions"
            raise ValueError(
                f"expected a dim from 1 to {most}, the number of components of {num_rows} rows with {width} "
                f"dimensions; got {dim}: {mend}"
            )
        if all(bool((rows == features[0]).all()) for rows in torch.split(features, _ROWS)):
            raise ValueError(
                f"expected rows that differ; all {num_rows} are equal: the model has collapsed, use an earlier "
                "checkpoint"
            )
        mean = torch.stack([rows.double().sum(dim=0) for rows in torch.split(features, _ROWS)]).sum(dim=0) / num_rows
        covariance = mean.new_zeros(width, width)
        for rows in torch.split(features, _ROWS):
            centred = rows.double() - mean  # (rows, width)
            covariance += centred.T @ centred
        variance, vectors = torch.linalg.eigh(covariance / (num_rows - 1))  # ascending
        components = vectors.T.flip(0)[: dim or most]
        largest = components.abs().argmax(dim=1, keepdim=True)
        components = components * components.gather(1, largest).sign()
        return cls(mean, components.contiguous(), variance.flip(0)[: dim or most].clamp(min=0.0).contiguous())

    @property
    def rank(self) -> int:
        """The number of components whose variance is more than rounding error.

        For a backbone that ends in a LayerNorm it is the width - 1, because LayerNorm subtracts the mean of each row.
        """
        return int((self.explained_variance > _RANK_TOLERANCE * self.explained_variance[0]).sum())

    @torch.no_grad()
    def project(self, features: torch.Tensor, dim: int | None = None, *, whiten: bool = False) -> torch.Tensor:
        """Project features on the first components, without normalisation.

        Args:
            features: `(num_rows, width)` float, on any device.
            dim: Number of components. None: all.
            whiten: Whether to divide each component by its standard deviation on the rows of `fit`.

        Returns:
            `(num_rows, dim)` float32, on the device of the features. A smaller `dim` gives the first columns of a
            larger one.

        Raises:
            TypeError: The features are not floats.
            ValueError: A feature is not finite, the width is not that of the rows of `fit`, dim is larger than the
                number of components, or, if `whiten`, larger than `rank`.
        """
        check_embeddings(features, "features")
        (width,) = self.mean.shape
        if features.shape[1] != width:
            raise ValueError(
                f"expected features of {width} dimensions, as fitted; got {features.shape[1]}: embed with the same "
                "model"
            )
        most = self.rank if whiten else len(self.components)
        dim = len(self.components) if dim is None else dim
        if not 1 <= dim <= most:
            reason = (
                f"the other {len(self.components) - most} components have no variance to divide by (a LayerNorm "
                "removes that of one); ask for fewer dimensions, or do not whiten"
                if whiten
                else "fit with more components, on more rows or wider features"
            )
            raise ValueError(f"expected a dim from 1 to {most}; got {dim}: {reason}")
        components = self.components[:dim]
        if whiten:
            components = components / self.explained_variance[:dim].sqrt().unsqueeze(1)
        mean, columns = self.mean.to(features.device), components.to(features.device).T  # (width, dim)
        projected = torch.empty(len(features), dim, device=features.device)
        for rows, out in zip(torch.split(features, _ROWS), torch.split(projected, _ROWS), strict=True):
            out.copy_((rows.double() - mean) @ columns)
        return projected

    def transform(self, features: torch.Tensor, dim: int | None = None, *, whiten: bool = False) -> torch.Tensor:
        """Shorten features to unit-norm vectors: project them on the first components, then normalise.

        Args:
            features: `(num_rows, width)` float, on any device.
            dim: Number of components. None: all.
            whiten: Whether to divide each component by its standard deviation on the rows of `fit`.

        Returns:
            `(num_rows, dim)` float32, unit L2 norm, on the device of the features; 0 for a row equal to the mean.

        Raises:
            TypeError: The features are not floats.
            ValueError: A feature is not finite, the width is not that of the rows of `fit`, dim is larger than the
                number of components, or, if `whiten`, larger than `rank`.
        """
        return F.normalize(self.project(features, dim, whiten=whiten), dim=1)
