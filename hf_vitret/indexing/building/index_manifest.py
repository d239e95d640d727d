"""The manifest of an index, `index.json`: its kind, the model of its embeddings, and what was measured."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ...embedding.locations import absolute_locations, relative_locations
from ...embedding.model_identity import ModelIdentity
from ...evaluation.matching.match_rates import MatchRates
from ...files.json_values import write_json
from ..match_threshold import match_rates_of_json
from .index_quality import IndexQuality, quality_of_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANIFEST_NAME = "index.json"
# Increase it if this code can no longer read indexes that earlier code wrote.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class IndexManifest:
    """The facts of an index.

    Attributes:
        kind: `"flat"`, `"hnsw"` or `"ivfpq"`.
        factory: Its factory string in faiss.
        backend: `"faiss"` or `"torch"`.
        dim: Length of a vector.
        normalized: Whether the vectors have unit L2 norm.
        quality: What was measured when it was built.
        model: The model that made the vectors; None if unknown.
        match_rates: Thresholds at which two images match; None if they were not measured.
        files: Number of bytes and SHA-256 by file name, of an index that was saved.
        num_images: Number of images that a search can find, of an index that was saved.
        num_removed: Number of vectors of removed images, of an index that was saved.
        locations: Absolute paths of the folders of the `"model"` and of the `"images"`, if the folder of embeddings
            named them.
    """

    kind: str
    factory: str
    backend: str
    dim: int
    normalized: bool
    quality: IndexQuality
    model: ModelIdentity | None = None
    match_rates: MatchRates | None = None
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    num_images: int = 0
    num_removed: int = 0
    locations: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the manifest into a folder."""
        content = {"format_version": FORMAT_VERSION, **asdict(self)}
        write_json(folder / MANIFEST_NAME, {**content, "locations": relative_locations(self.locations, folder)})

    @classmethod
    def load(cls, folder: Path) -> IndexManifest:
        """Read the manifest of a folder.

        Raises:
            FileNotFoundError: The folder is not an index.
            ValueError: Another version of this package wrote the manifest, or it is damaged.
        """
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is no index: expected {MANIFEST_NAME} in it. Make one with hf-vitret index"
            )
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            version = content.pop("format_version")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): index again") from error
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path}: expected format_version {FORMAT_VERSION}, got {version!r}: read it with the release of "
                "hf_vitret that wrote it, or index again"
            )
        try:
            content["quality"] = quality_of_json(content["quality"])
            content["model"] = None if content["model"] is None else ModelIdentity(**content["model"])
            if content["match_rates"] is not None:
                content["match_rates"] = match_rates_of_json(content["match_rates"])
            content["locations"] = absolute_locations(content.get("locations", {}), folder)
            return cls(**content)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): index again") from error
