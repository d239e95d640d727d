"""The settings of a folder of embeddings, `settings.json`, written first: a run continues only with the same ones."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..files.atomic_writes import PARTIAL_PREFIX
from ..files.json_values import write_json
from ..files.locks import one_process
from .model_identity import ModelIdentity

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS_NAME = "settings.json"
# Increase it if the same settings give other files. Folders that earlier code started are then refused.
FORMAT = 1


@dataclass(frozen=True)
class RunSettings:
    """Everything that the bytes of a folder depend on, except the arithmetic of the machine.

    Attributes:
        model: Identity of the model.
        options: Options of `write_embeddings`, by name.
        input_name: Name of the input, for messages.
        input_fingerprint: Checksum of the list of images.
        num_shards: Number of shards of the input.
    """

    model: ModelIdentity
    options: dict[str, Any]
    input_name: str
    input_fingerprint: str
    num_shards: int

    def difference(self, other: RunSettings) -> list[str]:
        """Describe the differences between these settings, which were there before, and other settings."""
        found = [f"the model: {part}" for part in self.model.difference(other.model)]
        found += [
            f"{name}: {self.options.get(name)!r}, now {value!r}"
            for name, value in other.options.items()
            if self.options.get(name) != value
        ]
        if self.input_fingerprint != other.input_fingerprint:
            found.append(
                f"the input: {self.input_name!r} in {self.num_shards} shards, now {other.input_name!r} in "
                f"{other.num_shards}: names, sizes, columns or the shard size differ"
            )
        return found


def begin_folder(folder: Path, settings: RunSettings) -> None:
    """Create the folder, or check that the existing folder was made with the same settings.

    Raises:
        ValueError: It was made with other settings; the message names them.
        FileExistsError: There is something else at this path.
    """
    noted = folder / SETTINGS_NAME
    folder.parent.mkdir(parents=True, exist_ok=True)
    with one_process(folder):
        if noted.is_file():
            _check_same(folder, json.loads(noted.read_text(encoding="utf-8")), settings)
            return
        others = not folder.is_dir() or [path for path in folder.iterdir() if not path.name.startswith(PARTIAL_PREFIX)]
        if folder.exists() and others:
            raise FileExistsError(f"{folder} exists and is no folder of embeddings; name another output_dir")
        folder.mkdir(exist_ok=True)
        content = {"format": FORMAT, **asdict(settings)}
        write_json(noted, content)


def _check_same(folder: Path, noted: dict[str, Any], settings: RunSettings) -> None:
    if noted.pop("format", None) != FORMAT:
        found = ["the format: another release of hf_vitret wrote it"]
    else:
        found = RunSettings(**{**noted, "model": ModelIdentity(**noted["model"])}).difference(settings)
    if found:
        raise ValueError(
            f"{folder} was embedded with something else: {'; '.join(found)}. Name another output_dir, remove the "
            "folder, or repeat the call as it was"
        )
