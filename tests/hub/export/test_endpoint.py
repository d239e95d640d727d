"""The endpoint handler gives the model's embeddings of the images of a request, and refuses invalid requests."""

import base64
import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hf_vitret import embed_images
from hf_vitret.hub.export.endpoint import write_endpoint_handler
from tests.training.runs import draw
from tests.training.tiny_backbones import tiny


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Import the handler from a checkpoint's folder, as an endpoint does."""
    folder = tmp_path_factory.mktemp("endpoint")
    tiny(embedding_dim=5).save_pretrained(folder)
    spec = importlib.util.spec_from_file_location("endpoint_handler", write_endpoint_handler(folder))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def handler(module: Any) -> Any:
    return module.EndpointHandler(str(Path(module.__file__).parent))


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def test_every_form_of_an_image_gives_the_model_s_embedding(handler: Any) -> None:
    image = draw(1, 0).resize((60, 40))
    base = base64.b64encode(encoded(image)).decode()
    answer = handler({"inputs": [image, encoded(image), base, f"data:image/png;base64,{base}"]})
    expected = embed_images(tiny(embedding_dim=5), [image], progress=False)
    torch.testing.assert_close(torch.tensor(answer["embeddings"]), expected.expand(4, -1), atol=1e-5, rtol=0)
    assert len(handler({"inputs": image})["embeddings"]) == 1


def test_orientation_and_transparency_are_those_of_the_package(handler: Any) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = draw(2, 0).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    deep = np.random.default_rng(0).integers(0, 2**16, (40, 50), dtype=np.uint16)
    sources = [
        encoded(draw(1, 0).resize((60, 40)), "PNG", exif=turned),
        encoded(clear),
        encoded(draw(3, 0).convert("P")),
        encoded(Image.fromarray(deep)),
    ]
    expected = embed_images(
        tiny(embedding_dim=5), [Image.open(io.BytesIO(source)) for source in sources], progress=False
    )
    torch.testing.assert_close(torch.tensor(handler({"inputs": sources})["embeddings"]), expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "expected 1 to 64 images in inputs; got 0"),
        ([b""] * 65, "got 65"),
        (None, "got NoneType"),
        ("http://127.0.0.1/secret.png", "expected an image in base64; got other text. URLs and paths are not read"),
        ("/etc/passwd", "URLs and paths are not read|expected an image; the file has no known format"),
        (b"no image", "expected an image; the file has no known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n{} loop\n", "the file is PostScript, which is a program"),
        (encoded(Image.new("L", (2, 6_000))), "expected sides of at most 50 to 1; got 2 x 6000 pixels"),
        (Image.new("L", (2, 6_000)), "expected sides of at most 50 to 1; got 2 x 6000 pixels"),
        (encoded(draw(0, 0).resize((300, 300)), "BMP")[:-9000], "OSError: image file is truncated"),
    ],
)
def test_what_a_request_must_not_bring_is_refused(handler: Any, inputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        handler({"inputs": inputs})


def test_large_images_are_refused_before_they_are_decoded(
    handler: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(draw(0, 0))
    monkeypatch.setattr(module, "MAX_PIXELS", 32 * 32 - 1)
    with pytest.raises(ValueError, match=r"expected at most 1,023 pixels; got 32 x 32"):
        handler({"inputs": content})
    monkeypatch.setattr(module, "MAX_BYTES", len(content) - 9)
    for source in (content, base64.b64encode(content).decode()):
        with pytest.raises(ValueError, match=r"expected an image of at most"):
            handler({"inputs": source})


def test_no_checkpoint_no_handler(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"it has no config\.json"):
        write_endpoint_handler(tmp_path)
