"""Fetching a run's checkpoint from the Hub, and removing local paths from one before it is pushed."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ...files.atomic_folders import begin_folder, commit_folder
from ...files.atomic_writes import partial_path
from ...files.run_state import CONTENTS_NAME, LAST_CHECKPOINT, TRAINER_STATE_NAME
from .checkpoint_contents import check_whole, write_contents

logger = logging.getLogger(__name__)


def fetch_checkpoint(
    repo_id: str, output_dir: str | os.PathLike[str], *, revision: str | None = None, token: str | None = None
) -> Path:
    """Download the newest checkpoint that a run has pushed, for `train(resume_from_checkpoint=...)`.

    Args:
        repo_id: The repository that the run pushed to, with `hub_strategy` "checkpoint" or "all_checkpoints".
        output_dir: Output folder of the run. The checkpoint is written to `checkpoint-N` in it, completely or not at
            all.
        revision: Branch, tag or commit of the repository; `None` is the main branch.
        token: A token of the Hub with read access; `None` takes that of `hf auth login` or of HF_TOKEN.

    Returns:
        The folder of the checkpoint. If the best checkpoint before it is not in `output_dir`, the run chooses the best
        from this checkpoint on.

    Raises:
        FileNotFoundError: There is no checkpoint on the Hub, or it is incomplete.
        OSError: The Hub cannot be reached, or refuses this token.
    """
    files = HfApi(token=token).list_repo_files(repo_id, revision=revision)
    folders = {path.split("/")[0] for path in files if path.endswith(f"/{CONTENTS_NAME}")}
    numbered = [folder for folder in folders if folder.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-").isdecimal()]
    newest = max(numbered, key=lambda folder: int(folder.rpartition("-")[2]), default=None)
    source = LAST_CHECKPOINT if LAST_CHECKPOINT in folders else newest
    if source is None:
        raise FileNotFoundError(
            f"expected {LAST_CHECKPOINT} or {PREFIX_CHECKPOINT_DIR}-N in {repo_id}; there is neither. Train with "
            "--hub_strategy checkpoint to push one, or leave --resume_from_checkpoint out to start a new run"
        )
    download = begin_folder(Path(output_dir) / f"download-{source}")
    snapshot_download(repo_id, revision=revision, token=token, local_dir=download, allow_patterns=f"{source}/*")
    check_whole(download / source)
    step = int(json.loads((download / source / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["global_step"])
    target = Path(output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{step}"
    begin_folder(target).rmdir()
    (download / source).rename(partial_path(target))
    find_best(partial_path(target), Path(output_dir), target.name)
    commit_folder(target)
    shutil.rmtree(download)
    return target


def forget_paths(checkpoint: Path) -> None:
    """Replace the path of the best checkpoint in a checkpoint's state by its folder name, valid on any machine."""
    best = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["best_model_checkpoint"]
    if best is not None:
        _rewrite_state(checkpoint, best_model_checkpoint=Path(best).name)


def find_best(checkpoint: Path, output_dir: Path, own_name: str) -> None:
    """Write the local path of the best checkpoint into the state of a downloaded checkpoint.

    Args:
        checkpoint: The folder of the downloaded checkpoint, which may still have a temporary name.
        output_dir: The output folder of the run, in which the best checkpoint is looked for.
        own_name: The final folder name of the downloaded checkpoint.
    """
    best = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["best_model_checkpoint"]
    if best is None:
        return
    local = output_dir / Path(best).name
    if local.name == own_name or local.is_dir():
        _rewrite_state(checkpoint, best_model_checkpoint=str(local))
        return
    logger.warning(
        "the best checkpoint so far (%s) is not on this machine: the run chooses the best from here on", local.name
    )
    _rewrite_state(checkpoint, best_model_checkpoint=None, best_metric=None, best_global_step=None)


def _rewrite_state(checkpoint: Path, **changes: Any) -> None:
    """Change fields of Trainer's state, in new files because the old ones may be links to another checkpoint."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8")) | changes
    for name in (TRAINER_STATE_NAME, CONTENTS_NAME):
        (checkpoint / name).unlink()
    (checkpoint / TRAINER_STATE_NAME).write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_contents(checkpoint)
