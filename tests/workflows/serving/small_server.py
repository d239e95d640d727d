"""A real server on this machine with a tiny model and an index of twelve random images."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import uvicorn
from PIL import Image

from hf_vitret import embed_images
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.workflows.serving.app import create_app
from hf_vitret.workflows.serving.run_server import listen, url_of
from tests.training.tiny_backbones import tiny

NUM_PHOTOS = 12
COLUMNS = {"color": ["red", "blue"] * 6, "price": list(range(12)), "secret": ["x"] * 12}


def photo(number: int, side: int = 48) -> Image.Image:
    values = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def small_index(folder: Path, model: Any) -> ImageIndex:
    """Write the images into a folder, and index them with their paths as ids, like `hf-vitret embed`."""
    paths = [f"{number:02d} ü&.png" for number in range(NUM_PHOTOS)]
    for number, path in enumerate(paths):
        photo(number).save(folder / path)
    embeddings = embed_images(model, [photo(number) for number in range(NUM_PHOTOS)], progress=False)
    metadata = pa.table({**COLUMNS, "path": paths})
    return ImageIndex.build(
        embeddings, paths, metadata=metadata, model=ModelIdentity.of(model, name="tiny"), backend="torch"
    )


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve an app with uvicorn in a thread inside the `with` block, and yield its URL."""
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="on", log_level="critical", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            end = time.monotonic() + 30
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < end
                time.sleep(0.01)
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def small_server(folder: Path, **options: Any) -> Iterator[httpx.Client]:
    """Serve the images inside the `with` block, and yield a client of the server; `client.app` is the app."""
    model = tiny(embedding_dim=8)
    index = small_index(folder, model)
    options.setdefault("dtype", "float32")
    app = create_app(index, model, identity=ModelIdentity.of(model, name="tiny"), **options)
    with running(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


def ask(client: httpx.Client, content: bytes, name: str = "a.png", **fields: Any) -> httpx.Response:
    return client.post("/search", files={"image": (name, content)}, data=fields)
