"""`EmbeddingMap`: affine maps between the embeddings of two models, to search an old index with a new model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from ...embedding.model_identity import ModelIdentity
from ...files.atomic_writes import whole_file
from ...search.inner_products import check_embeddings
from .map_choices import DEFAULT_RIDGE, METHODS

if TYPE_CHECKING:
    from os import PathLike

MAP_NAME = "map.safetensors"
_ROWS = 8_192  # turned into float64 at once
_TENSORS = ("new_weight", "new_offset", "old_weight", "old_offset")


@dataclass(frozen=True)
class EmbeddingMap:
    """Affine maps from old embeddings to new embeddings and back, each followed by L2 normalisation.

    Attributes:
        new_weight: `(old_dim, new_dim)` float32, weight of the map from old to new embeddings.
        new_offset: `(new_dim,)` float32, offset of the map from old to new embeddings.
        old_weight: `(new_dim, old_dim)` float32, weight of the map from new to old embeddings.
        old_offset: `(old_dim,)` float32, offset of the map from new to old embeddings.
        old_model: The model that made the old embeddings; None if unknown.
        new_model: The model that made the new embeddings; None if unknown.

    Example:
        >>> old = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> turned = EmbeddingMap.fit(old, old.flip(1), method="orthogonal")
        >>> turned.to_new(torch.tensor([[0.8, 0.6]])).round(decimals=4)
        tensor([[0.6000, 0.8000]])
    """

    new_weight: torch.Tensor
    new_offset: torch.Tensor
    old_weight: torch.Tensor
    old_offset: torch.Tensor
    old_model: ModelIdentity | None = None
    new_model: ModelIdentity | None = None

    @classmethod
    @torch.no_grad()
    def fit(
        cls,
        old: torch.Tensor,
        new: torch.Tensor,
        *,
        method: str = "ridge",
        ridge: float = DEFAULT_RIDGE,
        old_model: ModelIdentity | None = None,
        new_model: ModelIdentity | None = None,
    ) -> EmbeddingMap:
        """Learn both maps, in float64, from images that both models have embedded.

        Args:
            old: `(num_images, old_dim)` float, unit norm.
            new: `(num_images, new_dim)` float, unit norm: the same images in the same order.
            method: `"ridge"`: each map is a least-squares fit. `"orthogonal"`: a rotation, whose inverse is its
                transpose; it keeps all scores among the old embeddings, and needs fewer images.
            ridge: Value that is added to the diagonal of the covariance of the inputs, in units of their mean variance,
                at least 0. `"orthogonal"` does not use it.
            old_model: The model that made the old embeddings.
            new_model: The model that made the new embeddings.

        Returns:
            The maps.

        Raises:
            TypeError: The embeddings are not floats.
            ValueError: An embedding is not finite, the numbers of images differ, a setting is outside its domain, or
                the ridge is 0 and there is no unique best map.

        Reference:
            Schönemann, "A generalized solution of the orthogonal Procrustes problem", 1966.
        """
        check_embeddings(old, "old")
        check_embeddings(new, "new")
        if len(old) != len(new):
            raise ValueError(
                f"expected old and new embeddings of the same images; got {len(old):,} old and {len(new):,} new ones"
            )
        if method not in METHODS:
            raise ValueError(f"expected a method of {', '.join(METHODS)}; got {method!r}")
        if not 0 <= ridge < float("inf"):
            raise ValueError(f"expected a ridge of 0 or more; got {ridge}")
        if method == "orthogonal":
            left, _, right = torch.linalg.svd(_moment(old, new), full_matrices=False)
            weight = (left @ right).float().contiguous()
            offsets = torch.zeros(weight.shape[1]), torch.zeros(weight.shape[0])
            return cls(weight, offsets[0], weight.T.contiguous(), offsets[1], old_model, new_model)
        return cls(*_least_squares(old, new, ridge), *_least_squares(new, old, ridge), old_model, new_model)

    @torch.no_grad()
    def to_new(self, old: torch.Tensor) -> torch.Tensor:
        """Map old embeddings to the space of the new embeddings.

        Args:
            old: `(num_rows, old_dim)` float.

        Returns:
            `(num_rows, new_dim)` float32, unit norm.

        Raises:
            TypeError: The embeddings are not floats.
            ValueError: An embedding is not finite, or has another dimension than `old_dim`.
        """
        return _apply(old, self.new_weight, self.new_offset, "old")

    @torch.no_grad()
    def to_old(self, new: torch.Tensor) -> torch.Tensor:
        """Map new embeddings to the space of the old embeddings.

        Args:
            new: `(num_rows, new_dim)` float.

        Returns:
            `(num_rows, old_dim)` float32, unit norm.

        Raises:
            TypeError: The embeddings are not floats.
            ValueError: An embedding is not finite, or has another dimension than `new_dim`.
        """
        return _apply(new, self.old_weight, self.old_offset, "new")

    def check_new_model(self, model: ModelIdentity) -> None:
        """Check that a model is the one whose embeddings `to_old` takes.

        Args:
            model: The model that made the embeddings.

        Raises:
            ValueError: It is another model; the message says what differs.
        """
        if self.new_model is None:
            return
        differences = self.new_model.difference(model)
        if differences:
            raise ValueError(
                f"expected embeddings of the map's new model, {self.new_model.name or 'without a name'}; got those "
                f"of {model.name or 'a model without a name'}: {'; '.join(differences)}. Fit a map for it"
            )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the maps to a safetensors file, completely or not at all, with both models in its header.

        Args:
            path: The file to write.
        """
        from safetensors.torch import save_file

        target = Path(path)
        models = {
            name: json.dumps(None if model is None else asdict(model))
            for name, model in (("old_model", self.old_model), ("new_model", self.new_model))
        }
        tensors = {name: getattr(self, name).cpu().contiguous() for name in _TENSORS}
        with whole_file(target) as partial:
            save_file(tensors, partial, metadata=models)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> EmbeddingMap:
        """Read the maps that `save` wrote.

        Args:
            path: The file, or the folder that `hf-vitret upgrade` wrote, with `map.safetensors` in it.

        Returns:
            The maps.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file has other contents.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path) / MAP_NAME if Path(path).is_dir() else Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"expected a map that hf-vitret upgrade wrote; there is no file {str(path)!r}")
        try:
            with safe_open(str(path), framework="pt") as file:
                names, header = sorted(file.keys()), file.metadata() or {}
                if names != sorted(_TENSORS) or {"old_model", "new_model"} - set(header):
                    raise ValueError(
                        f"expected the tensors {', '.join(_TENSORS)} and two models in {path}; got {names}: give a "
                        "file that EmbeddingMap.save wrote"
                    )
                tensors = [file.get_tensor(name) for name in _TENSORS]
            models = [json.loads(header[name]) for name in ("old_model", "new_model")]
            known = [None if model is None else ModelIdentity(**model) for model in models]
        except (SafetensorError, TypeError) as error:
            raise ValueError(f"expected a file that EmbeddingMap.save wrote; {path} is another: {error}") from error
        dims = tensors[0].shape
        shapes = [tuple(tensor.shape) for tensor in tensors]
        if len(dims) != 2 or shapes != [tuple(dims), (dims[1],), (dims[1], dims[0]), (dims[0],)]:
            raise ValueError(
                f"expected a map from one dimension to another and its inverse in {path}; got the shapes {shapes}"
            )
        return cls(*tensors, *known)


def _moment(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the mean over all rows of the outer product of both sides, `(left_dim, right_dim)` float64."""
    parts = zip(torch.split(left, _ROWS), torch.split(right, _ROWS), strict=True)
    return sum((a.double().T @ b.double() for a, b in parts), torch.zeros((), dtype=torch.float64)) / len(left)


def _least_squares(inputs: torch.Tensor, outputs: torch.Tensor, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight `(input_dim, output_dim)` and the offset that map inputs to outputs with the least error."""
    means = [rows.double().mean(dim=0) for rows in (inputs, outputs)]
    covariance = _moment(inputs, inputs) - torch.outer(means[0], means[0])
    cross = _moment(inputs, outputs) - torch.outer(means[0], means[1])
    covariance.diagonal().add_(ridge * covariance.trace() / len(covariance))
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if int(failed):
        raise ValueError(
            f"expected images whose embeddings vary in all {len(covariance)} dimensions; got {len(inputs):,} images "
            "that do not: give more images, or a ridge above 0"
        )
    weight = torch.cholesky_solve(cross, factor)
    return weight.float().contiguous(), (means[1] - means[0] @ weight).float()


def _apply(rows: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor, name: str) -> torch.Tensor:
    check_embeddings(rows, name)
    if rows.shape[1] != len(weight):
        raise ValueError(
            f"expected {name} embeddings of {len(weight)} dimensions, for which the map was fitted; got {rows.shape[1]}"
        )
    weight, offset = weight.to(rows.device), offset.to(rows.device)
    return torch.cat([F.normalize(part.float() @ weight + offset, dim=1) for part in torch.split(rows, _ROWS)])
