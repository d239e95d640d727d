"""The files of a training run that hold its state, by name: what it resumes from, and a release leaves out."""

from fnmatch import fnmatch

CONTENTS_NAME = "contents.json"
LOSS_STATE_NAME = "loss_state.safetensors"
# transformers' own names.
TRAINER_STATE_NAME, ARGUMENTS_NAME, LAST_CHECKPOINT = "trainer_state.json", "training_args.bin", "last-checkpoint"
CHECKPOINT_FOLDERS = ("checkpoint-*", LAST_CHECKPOINT)
_PATTERNS = (
    *("optimizer*", "scheduler.*", "scaler.*", "rng_state*", "training_args.*"),
    *(TRAINER_STATE_NAME, LOSS_STATE_NAME, CONTENTS_NAME),
)


def is_run_state(path: str) -> bool:
    """Return whether a file is the state of a run, or lies in one of its checkpoints.

    Args:
        path: Of the file below the run's or the checkpoint's folder, with `/` between its parts.

    Example:
        >>> [is_run_state(path) for path in ("last-checkpoint/model.safetensors", "optimizer.pt", "onnx/model.onnx")]
        [True, True, False]
    """
    *folders, name = path.split("/")
    is_in_checkpoint = any(fnmatch(folder, pattern) for folder in folders for pattern in CHECKPOINT_FOLDERS)
    return is_in_checkpoint or any(fnmatch(name, pattern) for pattern in _PATTERNS)
