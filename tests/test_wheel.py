"""The built wheel in a bare environment, away from the checkout: from training to a search, and the demo."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests import ROOT
from tests.embedding.photographs import noise

SETTINGS = "--image_size 32 --max_steps 2 --per_device_train_batch_size 8 --images_per_class 2 --memory_size 8"
SETTINGS += " --eval_steps 2 --save_steps 2 --test_fraction 0.5"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the sources, so that nothing is written to the checkout."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("hf_vitret", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*line, "--wheel-dir", built, source], check=True, cwd=built)
    (made,) = built.glob("hf_vitret-*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Install the wheel, and nothing else, into a new environment, which finds the other packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    line = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*line, wheel], check=True, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is searched, and the .pth files inside it are not read: the checkout, which an editable
    # installation names in one of them, is not found.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


@pytest.fixture(scope="module")
def work(tmp_path_factory, environment):
    """Make a folder with photographs in class folders and a tiny backbone; return how to run a program there."""
    import torch
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("work")
    for number in range(32):
        path = folder / "photos" / "abcdefgh"[number // 4] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(number).save(path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(folder / "tiny")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}

    def run(line, *further):
        program, *arguments = line.split()
        command = [environment / program, *arguments, *further]
        process = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert process.returncode == 0, f"{line}\n{process.stdout}\n{process.stderr}"
        return process.stdout

    run.folder = folder
    return run


def test_the_package_is_that_of_the_wheel(work, environment):
    found = Path(work("python -c", "import hf_vitret; print(hf_vitret.__file__)").strip())
    assert found.is_relative_to(environment.parent)
    assert not found.is_relative_to(ROOT)


def test_all_files_of_the_package_are_in_the_wheel(work, environment):
    """Pages, templates and stubs, not modules alone."""
    (packages,) = environment.parent.glob("lib/python*/site-packages")
    installed = {path.relative_to(packages) for path in (packages / "hf_vitret").rglob("*")}
    kept = {path.relative_to(ROOT) for path in (ROOT / "hf_vitret").rglob("*") if path.is_file()}
    assert {path for path in kept if path.suffix != ".pyc"} <= installed


# Commands in one process, which imports the libraries once; the first command and the demo run the program itself.
RUN = """
import shlex, sys
from hf_vitret.cli.main import main
for line in sys.argv[1:]:
    status = main(shlex.split(line))
    assert status == 0, (line, status)
"""


def test_from_photographs_to_a_search(work):
    work(f"hf-vitret train photos --model tiny --output_dir run --device cpu {SETTINGS}")
    assert (work.folder / "run" / "final" / "README.md").is_file()
    printed = work(
        "python -c",
        RUN,
        "evaluate photos --model run/final --test_fraction 0.5 --output_dir evaluation --quiet",
        "embed photos --model run/final --output_dir embeddings --quiet",
        "index embeddings --output_dir index --quiet",
        "export run/final --endpoint --sentence_transformers --quiet",
        "search index photos/c/9.png -k 1 --quiet",
    )
    assert (work.folder / "evaluation" / "evaluation.json").is_file()
    assert "c/9.png" in printed.splitlines()[-1]
    assert (work.folder / "run" / "final" / "handler.py").is_file()
    assert (work.folder / "run" / "final" / "modules.json").is_file()


def test_the_demo(work):
    """Icons from an installed package; the card has its curves."""
    printed = work("hf-vitret demo --model tiny --max_steps 2 --min_drawings 9 --output_dir icons")
    assert "hf-vitret search" in printed.splitlines()[-1]
    final = work.folder / "icons" / "final"
    card = (final / "README.md").read_text()
    pictures = [path.name for path in final.glob("*.png")]
    assert "curves.png" in pictures
    assert "curves.png" in card
    assert (work.folder / "icons" / "found.html").is_file()


def test_the_module_runs_as_the_program(work):
    assert work("python -m hf_vitret --version") == work("hf-vitret --version")
