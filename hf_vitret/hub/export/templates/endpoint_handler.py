"""Handler of a Hugging Face Inference Endpoint: embeds the images of a request."""

import base64
import binascii
import io
from typing import Any

import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModel

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
    """Decode an image to upright RGB, with transparent pixels on a white background."""
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
    if isinstance(source, bytes):
        if len(source) > MAX_BYTES:
            raise ValueError(f"expected an image of at most {MAX_BYTES} bytes; got {len(source)}. Send a smaller image")
        try:
            source = Image.open(io.BytesIO(source))
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"expected the bytes of an image file; they cannot be opened: {error}. Send another file"
            ) from error
    if not isinstance(source, Image.Image):
        raise ValueError(
            f"expected a PIL image, bytes or base64; got {type(source).__name__}. Send the content of an image file"
        )
    width, height = source.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"expected at most {MAX_PIXELS} pixels; got {width} x {height}. Send a smaller image")
    try:
        image = ImageOps.exif_transpose(source)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            background = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(background, image)
        return image.convert("RGB")
    except OSError as error:  # raised by the decoder if the file ends too early
        raise ValueError(f"expected a complete image file; it cannot be decoded: {error}. Send another file") from error
