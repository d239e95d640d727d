"""Where a run goes: a finished run and an interrupted one are left as they are, unless something else is asked for."""

from pathlib import Path

import pytest

from hf_vitret.workflows.finetune.output_folder import choose_output_dir, default_output_dir, remove_checkpoints


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def finished(folder: str) -> None:
    (Path(folder) / "final").mkdir(parents=True)
    (Path(folder) / "final" / "config.json").write_text("{}")


def begun(folder: str) -> None:
    (Path(folder) / "checkpoint-5").mkdir(parents=True)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("photos", "outputs/photos"),
        ("user/shoes 2026", "outputs/shoes-2026"),
        ("Möbel & Co.csv", "outputs/Möbel-Co.csv"),
        ("..", "outputs/run"),
        ("a/../b", "outputs/b"),
    ],
)
def test_the_default_is_named_after_the_data(title: str, expected: str) -> None:
    assert default_output_dir(title) == expected
    assert choose_output_dir(None, title, overwrite=False, resumes=False) == (expected, None)


def test_the_next_free_number() -> None:
    (Path("outputs") / "photos").mkdir(parents=True)  # without a run
    assert choose_output_dir(None, "photos", overwrite=False, resumes=False) == ("outputs/photos", None)
    finished("outputs/photos")
    folder, reason = choose_output_dir(None, "photos", overwrite=False, resumes=False)
    assert folder == "outputs/photos-2"
    assert reason == (
        "outputs/photos holds a finished run, so this one goes to outputs/photos-2 (--overwrite replaces it)"
    )
    begun("outputs/photos-2")
    finished("outputs/photos-3")
    assert choose_output_dir(None, "photos", overwrite=False, resumes=False)[0] == "outputs/photos-4"
    assert choose_output_dir(None, "photos", overwrite=True, resumes=False) == ("outputs/photos", None)


def test_a_folder_that_was_asked_for() -> None:
    finished("one")
    begun("two runs")
    assert choose_output_dir("three", "photos", overwrite=False, resumes=False) == ("three", None)
    with pytest.raises(FileExistsError, match="one holds a finished run: --overwrite replaces it; or name another"):
        choose_output_dir("one", "photos", overwrite=False, resumes=False)
    how = "two runs holds a run that was interrupted: --resume_from_checkpoint true --output_dir 'two runs' goes on"
    with pytest.raises(FileExistsError, match=how):
        choose_output_dir("two runs", "photos", overwrite=False, resumes=False)
    for name in ("one", "two runs"):
        assert choose_output_dir(name, "photos", overwrite=True, resumes=False) == (name, None)


def test_going_on_takes_the_folder_of_the_interrupted_run_and_no_finished_one() -> None:
    begun("outputs/photos")
    assert choose_output_dir(None, "photos", overwrite=False, resumes=True) == ("outputs/photos", None)
    assert choose_output_dir("outputs/photos", "x", overwrite=False, resumes=True) == ("outputs/photos", None)
    finished("outputs/photos")
    for given in (None, "outputs/photos"):
        with pytest.raises(FileExistsError, match="outputs/photos holds a finished run: --overwrite replaces it"):
            choose_output_dir(given, "photos", overwrite=False, resumes=True)
        assert choose_output_dir(given, "photos", overwrite=True, resumes=True) == ("outputs/photos", None)


def test_checkpoints_are_removed_and_nothing_else() -> None:
    begun("run")
    finished("run")
    (Path("run") / "run.yaml").touch()
    remove_checkpoints(Path("run"))
    assert {path.name for path in Path("run").iterdir()} == {"final", "run.yaml"}
    remove_checkpoints(Path("nowhere"))
