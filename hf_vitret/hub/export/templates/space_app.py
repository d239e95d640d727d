"""Gradio app that shows the nearest neighbours of an uploaded image."""

import io
import json
from pathlib import Path
from typing import Any

import gradio as gr
import pyarrow.parquet as pq
import torch
from decoding.image_decoding import decode_image
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel

HERE = Path(__file__).resolve().parent
SETTINGS = json.loads((HERE / "space.json").read_text(encoding="utf-8"))
SOURCE = SETTINGS["model"] or str(HERE.parent)
HUB = {"revision": SETTINGS["revision"]} if SETTINGS["model"] else {}

model: Any = AutoModel.from_pretrained(SOURCE, trust_remote_code=True, **HUB)
model.eval()
processor: Any = AutoImageProcessor.from_pretrained(SOURCE, **HUB)  # type: ignore[no-untyped-call]
gallery = load_file(HERE / "embeddings.safetensors")["embeddings"]  # (N, D)
images = pq.read_table(HERE / "images.parquet")
thumbnails, labels = images["thumbnail"], images["label"].to_pylist()


@torch.inference_mode()
def neighbors(file: str | None) -> list[tuple[Image.Image, str]]:
    """Return the thumbnails of the images nearest to an image file, best first, with their labels and scores."""
    if file is None:
        return []
    try:
        image = decode_image(Path(file).read_bytes())
    except ValueError as error:
        raise gr.Error(str(error)) from error
    query = model(processor(image, return_tensors="pt")["pixel_values"]).embeddings[0]  # (D,)
    scores, rows = (gallery @ query).topk(min(SETTINGS["num_shown"], len(gallery)))
    return [
        (Image.open(io.BytesIO(thumbnails[row].as_py())), f"{labels[row]}  {score:.3f}".strip())
        for score, row in zip(scores.tolist(), rows.tolist())
    ]


with gr.Blocks(title=SETTINGS["title"]) as demo:
    gr.Markdown(f"# {SETTINGS['title']}\nUpload an image to see its nearest neighbours among {len(gallery):,} images.")
    with gr.Row():
        with gr.Column(scale=1):
            upload = gr.Image(type="filepath", image_mode=None, label="Your image", height=320)
        with gr.Column(scale=3):
            found = gr.Gallery(label="Nearest images", show_label=False, columns=4, object_fit="contain", height=None)
    upload.change(neighbors, upload, found)

# Show all neighbours without a scrolling box, and two columns on a phone, where four would be cut off.
CSS = """
.grid-wrap { max-height: none !important; overflow: visible !important; }
@media (max-width: 640px) { .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; } }
"""

if __name__ == "__main__":
    demo.launch(css=CSS)
