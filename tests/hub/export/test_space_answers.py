"""The Space, which runs without this package, finds what `search_by_image` finds in the same index."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as PillowImage
from safetensors.torch import load_file

from hf_vitret import ImageIndex, load_model, search_by_image
from hf_vitret.hub.export.space import write_space
from tests.training.runs import draw
from tests.training.tiny_backbones import tiny
from tests.warm_process import run_warm

COUNT, SHOWN = 20, 7
# Gradio draws the page around the function that is asked here: any object stands in for it.
ASK = """
import json, runpy, sys
from unittest.mock import MagicMock
sys.modules["hf_vitret"], sys.modules["gradio"] = None, MagicMock()
neighbors = runpy.run_path("app.py", run_name="app")["neighbors"]
print(json.dumps([[caption for _, caption in neighbors(path)] for path in sys.argv[1:]]))
print(json.dumps(neighbors(None)))
"""


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write a picture as PNG, in grey, in a palette, cut out, of 16 bits, wide, and as a turned JPEG."""
    folder = tmp_path_factory.mktemp("queries")
    picture = draw(3, 1)
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    picture.save(folder / "plain.png")
    picture.convert("L").save(folder / "grey.png")
    picture.quantize(16).save(folder / "palette.png")
    picture.resize((90, 41)).save(folder / "wide.png")
    picture.putalpha(PillowImage.linear_gradient("L").resize(picture.size))
    picture.save(folder / "cut_out.png")
    deep = np.random.default_rng(0).integers(0, 2**16, (40, 50), dtype=np.uint16)
    PillowImage.fromarray(deep).save(folder / "deep.png")
    draw(5, 0).resize((70, 44)).rotate(90, expand=True).save(folder / "turned.jpg", exif=exif)
    return sorted(folder.iterdir())


def test_its_answers_are_those_of_search_by_image(tmp_path: Path, queries: list[Path]) -> None:
    tiny(embedding_dim=6).save_pretrained(tmp_path)
    names = [f"picture {number:02d}" for number in range(COUNT)]
    rows = {"image": [draw(number // 2, number) for number in range(COUNT)], "label": names}
    dataset = Dataset.from_dict(rows, features=Features(image=Image(), label=Value("string")))
    space = write_space(tmp_path, dataset, title="Pictures", num_shown=SHOWN)
    index = ImageIndex.build(load_file(space / "embeddings.safetensors")["embeddings"], names)

    process = run_warm(ASK, *queries, folder=space)
    assert process.returncode == 0, process.stderr
    captions, without_image = map(json.loads, process.stdout.splitlines())
    assert without_image == []

    answers = search_by_image(index, load_model(tmp_path, device="cpu"), queries, SHOWN)
    for answer, shown in zip(answers, captions, strict=True):
        assert [caption.rpartition("  ")[0] for caption in shown] == [hit.image_id for hit in answer.hits]
        scores = [float(caption.rpartition("  ")[2]) for caption in shown]
        np.testing.assert_allclose(scores, [hit.score for hit in answer.hits], atol=6e-4)  # three digits are shown
    assert len({answer.hits[0].image_id for answer in answers}) > 1
