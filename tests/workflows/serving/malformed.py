"""Malformed uploads drawn from a seed: files that are not complete images, and bodies that are not valid forms."""

import random
import struct
import zlib
from collections.abc import Iterator

from .small_server import encoded, photo

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\x24\0\0\0WEBP", b"BM", b"II*\0", b"\0")
TEXTS = (
    b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    b"<!DOCTYPE html><img src=x onerror=alert(1)>",
    b"%PDF-1.7\n",
    b"%!PS\n(/etc/passwd) (r) file\n",
    b"PK\x03\x04" + b"\0" * 40,
    b"\x80\x04\x95pickle",
    b"../../etc/passwd",
)


def png_of_size(width: int, height: int) -> bytes:
    """Make a PNG that declares a size and has only a few bytes of pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return STARTS[0] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def malformed_uploads(number: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield a description and the content of each malformed file."""
    rng = random.Random(seed)
    whole = {kind: encoded(photo(1), kind) for kind in FORMATS}
    whole["progressive"] = encoded(photo(1), "JPEG", progressive=True)
    for drawn in range(number):
        kind = rng.choice(list(whole))
        content = whole[kind]
        size = rng.choice((0, 1, 10, 1_000, 100_000))
        match drawn % 6:
            case 0:  # at most half of the file, because one without its last bytes may still be a complete image
                yield f"{kind} cut short", content[: rng.randrange(len(content) // 2)]
            case 1:
                yield f"{size} random bytes", b"\x01" + rng.randbytes(size)
            case 2:
                start = rng.choice(STARTS)
                yield f"{start!r} and {size} random bytes", start + rng.randbytes(size)
            case 3:
                text = rng.choice(TEXTS)
                yield f"{text[:8]!r} of {size} spaces", text + b" " * size
            case 4:
                side = rng.choice((1, 9_999, 2**16, 2**31 - 1))
                yield f"a PNG of {side} x 100,000 pixels", png_of_size(side, 100_000)
            case _:
                broken = bytearray(content[: len(content) // 2])
                for _ in range(rng.randrange(1, 50)):
                    broken[rng.randrange(len(broken))] = rng.randrange(256)
                yield f"{kind} changed and cut short", bytes(broken)


def multipart_bodies(seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield a description, the content type and the body of each request that is not a valid form with an image."""
    rng = random.Random(seed)
    image = encoded(photo(1))
    form = "multipart/form-data; boundary=XX"

    def part(head: bytes, content: bytes, end: bytes = b"--XX--\r\n") -> bytes:
        return b"--XX\r\n" + head + b"\r\n\r\n" + content + b"\r\n" + end

    name = b'Content-Disposition: form-data; name="image"'
    yield "no boundary", "multipart/form-data", part(name, image)
    yield "an empty boundary", "multipart/form-data; boundary=", part(name, image)
    yield "another boundary", "multipart/form-data; boundary=YY", part(name + b'; filename="a"', image)
    yield "an unknown charset", form + "; charset=x\xff", part(name, b"text")
    yield "no end", form, part(name + b'; filename="a"', image[: len(image) // 2], b"")[:-40]
    yield "text instead of a file", form, part(name, b"text")
    yield "no name", form, part(b'Content-Disposition: form-data; filename="a"', image)
    yield "no headers", form, part(b"", image)
    yield "another field", form, part(name.replace(b"image", b"file") + b'; filename="a"', image)
    yield "JSON", "application/json", b'{"image": "../../etc/passwd"}'
    yield "an image itself", "image/png", image
    yield "a form of the other kind", "application/x-www-form-urlencoded", b"image=%00%ff"
    yield "nothing", form, b""
    for size in (10, 1_000, 100_000):
        yield f"{size} random bytes", form, rng.randbytes(size)
        yield f"{size} random bytes as a header", form, b"--XX\r\n" + rng.randbytes(size)
