"""Handler of a Hugging Face Inference Endpoint: embeds the images of a request."""

import base64
import binascii
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

sys.path.insert(0, str(Path(__file__).resolve().parent))  # where the package `decoding` is

from decoding.image_decoding import check_size, decode_image, to_rgb

MAX_IMAGES = 64  # in one request
MAX_BYTES = 20 * 2**20  # of one image file
MAX_PIXELS = 50_000_000  # of one image, which takes 150 MB when it is decoded


class EndpointHandler:
    """Load the checkpoint once, and embed the images of each request."""

    def __init__(self, path: str = "") -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model: Any = AutoModel.from_pretrained(path, trust_remote_code=True)
        self.model = model.eval().to(self.device)
        self.processor: Any = AutoImageProcessor.from_pretrained(path)  # type: ignore[no-untyped-call]

    def __call__(self, data: dict[str, Any]) -> dict[str, list[list[float]]]:
        """Embed the images of a request.

        Args:
            data: The request, with one image or a list of images as `inputs`. An image is a PIL image, the bytes of an
                image file, or those bytes in base64, also as a `data:` URI. URLs and paths are refused, so that a
                request cannot read from the network or the disk.

        Returns:
            `embeddings`: for each image a list of floats, a vector of unit L2 norm.

        Raises:
            ValueError: There is no image, there are too many, or an image is too large or unreadable.
        """
        inputs = data.get("inputs")
        images = inputs if isinstance(inputs, list) else [inputs]
        if not 1 <= len(images) <= MAX_IMAGES:
            raise ValueError(
                f"expected 1 to {MAX_IMAGES} images in inputs; got {len(images)}. Send images, in several requests if "
                "there are more"
            )
        rgb = [read_image(image) for image in images]
        pixels = self.processor(rgb, do_rescale=False, do_normalize=False, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            embeddings = self.model(pixels.to(self.device)).embeddings  # (B, D); the model normalises uint8 pixels
        return {"embeddings": embeddings.tolist()}


def read_image(source: Any) -> Image.Image:
    """Decode an image to upright sRGB, as the images of the index were decoded."""
    if isinstance(source, str):
        encoded = source.partition(",")[2] if source.startswith("data:") else source
        if len(encoded) > MAX_BYTES * 4 / 3 + 4:
            raise ValueError(
                f"expected an image of at most {MAX_BYTES} bytes; got about {len(encoded) * 3 // 4}. Send a smaller one"
            )
        try:
            source = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ValueError(
                "expected an image in base64; got other text. URLs and paths are not read: send the content of the file"
            ) from error
    if isinstance(source, Image.Image):
        check_size(source.size, MAX_PIXELS)
        upright: Image.Image = to_rgb(source)
        return upright
    if not isinstance(source, bytes):
        raise ValueError(
            f"expected a PIL image, bytes or base64; got {type(source).__name__}. Send the content of an image file"
        )
    if len(source) > MAX_BYTES:
        raise ValueError(f"expected an image of at most {MAX_BYTES} bytes; got {len(source)}. Send a smaller image")
    decoded: Image.Image = decode_image(source, max_pixels=MAX_PIXELS)
    return decoded
