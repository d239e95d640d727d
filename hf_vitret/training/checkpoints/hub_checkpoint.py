"""A run's checkpoint on its way to the Hub and back: whole, and with no path of a machine in it."""

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
        repo_id: Where the run has pushed to, with `hub_strategy` "checkpoint" or "all_checkpoints".
        output_dir: Folder of the run: the checkpoint becomes `checkpoint-N` in it, whole or not at all.
        revision: Branch, tag or commit.
        token: A token of the Hub that may read it; default: that of `hf auth login` or HF_TOKEN.

    Returns:
        The checkpoint. Where the best one before it is not in `output_dir`, the best is chosen anew from here on.

    Raises:
        FileNotFoundError: There is no checkpoint on the Hub, or not a whole one.
        OSError: The Hub cannot be reached, or does not let this token read.
    """
    files = HfApi(token=token).list_repo_files(repo_id, revision=revision)
    folders = {path.split("/")[0] for path in files if path.endswith(f"/{CONTENTS_NAME}")}
    numbered = [folder for folder in folders if folder.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-").isdecimal()]
    newest = max(numbered, key=lambda folder: int(folder.rpartition("-")[2]), default=None)
    source = LAST_CHECKPOINT if LAST_CHECKPOINT in folders else newest
    if source is None:
        raise FileNotFoundError(
            f"expected {LAST_CHECKPOINT} or {PREFIX_CHECKPOINT_DIR}-N in {repo_id}; there is neither: train with "
            "--hub_strategy checkpoint to have one, or leave --resume_from_checkpoint out to start anew"
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
    """Leave of the best checkpoint's path its name: the rest is this machine's."""
    best = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["best_model_checkpoint"]
    if best is not None:
        _rewrite_state(checkpoint, best_model_checkpoint=Path(best).name)


def find_best(checkpoint: Path, output_dir: Path, own_name: str) -> None:
    """Let a downloaded checkpoint know where the best one is on this machine."""
    best = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["best_model_checkpoint"]
    if best is None:
        return
    here = output_dir / Path(best).name
    if here.name == own_name or here.is_dir():
        _rewrite_state(checkpoint, best_model_checkpoint=str(here))
        return
    logger.warning("the best checkpoint so far (%s) is not on this machine: the best is chosen anew", here.name)
    _rewrite_state(checkpoint, best_model_checkpoint=None, best_metric=None, best_global_step=None)


def _rewrite_state(checkpoint: Path, **changes: Any) -> None:
    """Change fields of Trainer's state; in new files, as the old ones may be links."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8")) | changes
    for name in (TRAINER_STATE_NAME, CONTENTS_NAME):
        (checkpoint / name).unlink()
    (checkpoint / TRAINER_STATE_NAME).write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_contents(checkpoint)
