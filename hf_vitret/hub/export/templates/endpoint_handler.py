"""Images to embeddings, as an Inference Endpoint asks for them."""

import base64
import binascii
import io
from typing import Any

import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModel

MAX_IMAGES = 64  # a request
MAX_BYTES = 20 * 2**20  # of one encoded image
MAX_PIXELS = 50_000_000  # of one image: 150 MB decoded


class EndpointHandler:
    """Loads the checkpoint once, and embeds the images of each request."""

    def __init__(self, path: str = "") -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model: Any = AutoModel.from_pretrained(path, trust_remote_code=True)
        self.model = model.eval().to(self.device)
        self.processor: Any = AutoImageProcessor.from_pretrained(path)  # type: ignore[no-untyped-call]

    def __call__(self, data: dict[str, Any]) -> dict[str, list[list[float]]]:
        """Embed the images of a request.

        Args:
            data: `inputs`: one image or a list of them, each a PIL image, the bytes of an image file, or those bytes
                in base64 (also as a `data:` URI). Nothing is fetched: neither URLs nor paths are taken.

        Returns:
            `embeddings`: a list of floats for each image, unit L2 norm.

        Raises:
            ValueError: There is no image, there are too many, or one is too large or unreadable.
        """
        inputs = data.get("inputs")
        images = inputs if isinstance(inputs, list) else [inputs]
        if not 1 <= len(images) <= MAX_IMAGES:
            raise ValueError(f"expected 1 to {MAX_IMAGES} images in inputs; got {len(images)}")
        rgb = [read_image(image) for image in images]
        pixels = self.processor(rgb, do_rescale=False, do_normalize=False, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            embeddings = self.model(pixels.to(self.device)).embeddings  # (B, D); the model normalises bytes
        return {"embeddings": embeddings.tolist()}


def read_image(source: Any) -> Image.Image:
    """Decode an image to upright RGB, transparent pixels on white."""
    if isinstance(source, str):
        encoded = source.partition(",")[2] if source.startswith("data:") else source
        if len(encoded) > MAX_BYTES * 4 / 3 + 4:
            raise ValueError(f"expected an image of at most {MAX_BYTES} bytes; got about {len(encoded) * 3 // 4}")
        try:
            source = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ValueError("expected an image in base64; URLs and paths are not taken") from error
    if isinstance(source, bytes):
        if len(source) > MAX_BYTES:
            raise ValueError(f"expected an image of at most {MAX_BYTES} bytes; got {len(source)}")
        try:
            source = Image.open(io.BytesIO(source))
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"expected the bytes of an image file: {error}") from error
    if not isinstance(source, Image.Image):
        raise ValueError(f"expected a PIL image, bytes or base64; got {type(source).__name__}")
    width, height = source.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"expected at most {MAX_PIXELS} pixels; got {width} x {height}")
    try:
        image = ImageOps.exif_transpose(source)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image)
        return image.convert("RGB")
    except OSError as error:  # a file that ends too early is noticed when it is decoded
        raise ValueError(f"expected a whole image file: {error}") from error
