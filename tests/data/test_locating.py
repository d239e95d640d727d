"""What the name of a data set stands for: names, paths and ids on the Hub, in this order, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from hf_vitret.data.loading import DATASETS
from hf_vitret.data.locating import NAMED, OWN, PAIRS, DatasetLocation, locate_dataset


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder that holds `photos/`, `sop/`, `user/photos/`, `table.csv` and an empty home."""
    for folder in ("photos", "sop", "user/photos", "home/pictures"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "table.csv").write_text("image,label\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("data", "data_dir", "expected", "title"),
    [
        ("icons", None, ("icons", None, None), "icons"),
        ("sop", "x", ("sop", "x", None), "sop"),  # whatever is at data_dir: the loader says what it misses
        ("sop", Path("x"), ("sop", "x", None), "sop"),
        ("sfm120k", "x/y", ("sfm120k", "x/y", None), "sfm120k"),
        ("./sop", None, ("catalogue", "sop", None), "sop"),  # a folder, not the benchmark
        ("photos", None, ("catalogue", "photos", None), "photos"),
        ("photos/", None, ("catalogue", "photos", None), "photos"),
        (Path("photos"), None, ("catalogue", "photos", None), "photos"),
        ("user/photos", None, ("catalogue", "user/photos", None), "photos"),  # a path that exists comes before an id
        ("table.csv", None, ("catalogue", "table.csv", None), "table.csv"),
        ("~/pictures", None, ("catalogue", "{home}/pictures", None), "pictures"),
        ("user/elsewhere", None, ("catalogue", None, "user/elsewhere"), "user/elsewhere"),
        ("a.b/c-d_e.f", None, ("catalogue", None, "a.b/c-d_e.f"), "a.b/c-d_e.f"),
        ("user/sop", None, ("catalogue", None, "user/sop"), "user/sop"),
    ],
)
def test_what_a_name_stands_for(workplace: Path, data, data_dir, expected, title: str) -> None:
    name, path, hub_id = expected
    found = locate_dataset(data, data_dir)
    path = path and path.replace("{home}", str(workplace / "home"))
    assert found == DatasetLocation(name, data_dir=path, hub_id=hub_id)
    assert found.title == title


def test_the_title_of_the_current_folder_is_its_name(workplace: Path) -> None:
    assert locate_dataset(".").title == workplace.name
    assert locate_dataset("photos/..").title == workplace.name


@pytest.mark.parametrize(
    ("data", "nearest"),
    [
        ("nowhere", None),
        ("inshoop", "inshop"),
        ("SOP", None),
        ("sfm-120k", "sfm120k"),
        ("a/b/c", None),
        ("/user/x", None),
        ("nobody/", None),
        ("user/x y", None),
        ("-user/x", None),
        ("user/table.csv", None),  # a table that is missing is no data set on the Hub
        ("user/table.TSV", None),
        ("user/table.jsonl", None),
        ("user/table.parquet", None),
        ("catalogue", None),  # the name of a loader, not of data
    ],
)
def test_what_stands_for_nothing(workplace: Path, data: str, nearest: str | None) -> None:
    with pytest.raises(FileNotFoundError) as error:
        locate_dataset(data)
    message = str(error.value)
    assert message.startswith(f"expected images in {data!r}, and found none: {workplace} has no file or folder of this")
    assert f"no data set by name ({', '.join(sorted([*NAMED, PAIRS]))})" in message
    assert "no id on the Hub, which is written user/name" in message
    assert message.endswith(f"Did you mean {nearest}?" if nearest else "user/name")


def test_an_empty_name_stands_for_nothing() -> None:  # an unset variable of a shell is not the current folder
    with pytest.raises(FileNotFoundError, match="expected images in '', and found none"):
        locate_dataset("")


@pytest.mark.parametrize("name", sorted([*NAMED, PAIRS]))
def test_data_dir_is_asked_for_where_it_is_needed(name: str) -> None:
    if name == "icons":
        with pytest.raises(
            ValueError, match="expected no --data_dir with icons, which an installed package draws: leave"
        ):
            locate_dataset(name, "x")
        return
    with pytest.raises(ValueError, match=rf"expected --data_dir with {name}: .*(folder|list_eval_partition)"):
        locate_dataset(name)


@pytest.mark.parametrize("data", ["photos", "user/elsewhere", "nowhere", "./sop"])
def test_data_dir_with_anything_but_a_known_name(data: str) -> None:
    with pytest.raises(
        ValueError,
        match=rf"with the name of a data set only \(cars, cub, .*, sop\); got it with '{data}': leave --data_dir",
    ):
        locate_dataset(data, "x")


def test_every_loader_has_a_name() -> None:
    assert {*NAMED, OWN} == set(DATASETS)
    assert PAIRS not in DATASETS


def test_locating_imports_no_heavy_library() -> None:
    code = (
        "import sys, hf_vitret.data.locating as locating; locating.locate_dataset('user/x');"
        "print(*{'datasets', 'pyarrow', 'pandas', 'torch'}.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
