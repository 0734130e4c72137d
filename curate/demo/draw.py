"""The pictures of the demo: digits as pen on paper, copies and damage of them, and pictures of no digit."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 32  # pixels, both sides
COPY_STYLES = ("re-encoded", "shifted by a pixel", "lighter", "cropped by a pixel")
OFF_TOPIC_STYLES = ("photograph", "shape", "noise")


def draw_digit(ink: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Draw an 8×8 digit, ink from 0 to 16, as dark pen on light paper with a little grain."""
    side = int(rng.integers(27, 31))
    pen = Image.fromarray((ink * (255 / 16)).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    cover = np.zeros((SIZE, SIZE, 1), np.float32)
    top, left = rng.integers(0, SIZE - side + 1, size=2)
    cover[top : top + side, left : left + side, 0] = _crisp(np.asarray(pen, np.float32) / 255)
    paper = rng.uniform([222, 218, 200], [250, 248, 240])
    ink_colour = rng.uniform([10, 10, 30], [45, 45, 95])
    grain = rng.normal(0, 4, (SIZE, SIZE, 1))
    return _image(paper + cover * (ink_colour - paper) + grain)


def damage(image: Image.Image, defect: str) -> Image.Image:
    """Return the image as a bad exposure or a shaky hand would have made it: dark, bright or blurred."""
    pixels = np.asarray(image, np.float32)
    if defect == "dark":
        return _image(pixels * 0.12)
    if defect == "bright":
        return _image(255 - (255 - pixels) * 0.04)
    if defect == "blurred":
        return image.filter(ImageFilter.GaussianBlur(2.5))
    raise ValueError(f"unknown damage {defect!r}")


def near_copy(image: Image.Image, style: str) -> Image.Image:
    """Return the same shot, changed as one of `COPY_STYLES` says; saving it as JPEG changes it a little more."""
    if style == "re-encoded":
        return image
    if style == "shifted by a pixel":
        return image.transform(image.size, Image.Transform.AFFINE, (1, 0, 1, 0, 1, 0), fillcolor=image.getpixel((0, 0)))
    if style == "lighter":
        return _image(np.asarray(image, np.float32) * 0.9 + 25)
    if style == "cropped by a pixel":
        return image.crop((1, 1, SIZE - 1, SIZE - 1)).resize(image.size, Image.Resampling.BICUBIC)
    raise ValueError(f"unknown style of copy {style!r}")


def off_topic(style: str, photos: list[np.ndarray], rng: np.random.Generator) -> Image.Image:
    """Draw a picture that shows no digit; `photos` are RGB arrays to cut photographs from."""
    if style == "photograph":
        return _photo_crop(photos[int(rng.integers(len(photos)))], rng)
    if style == "shape":
        return _shape(rng)
    if style == "noise":
        coarse = rng.uniform(0, 255, (*rng.integers(4, SIZE, size=2), 3))
        return _image(coarse).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    raise ValueError(f"unknown style of picture {style!r}")


def encode(image: Image.Image, kind: str) -> bytes:
    """Return the file's bytes; `kind` is png, or jpg for quality 80."""
    buffer = io.BytesIO()
    if kind == "png":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _crisp(cover: np.ndarray) -> np.ndarray:
    """Steepen the edges of enlarged strokes; as they are, plain digits look as blurred as the planted ones."""
    return np.clip((cover - 0.5) * 1.8 + 0.5, 0, 1)


def _photo_crop(photo: np.ndarray, rng: np.random.Generator) -> Image.Image:
    side = int(rng.integers(90, 200))
    top = int(rng.integers(photo.shape[0] - side + 1))
    left = int(rng.integers(photo.shape[1] - side + 1))
    crop = Image.fromarray(photo[top : top + side, left : left + side])
    return crop.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _shape(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (SIZE, SIZE), _colour(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(3):
        x0, y0 = rng.integers(0, SIZE // 2, size=2)
        x1, y1 = rng.integers(SIZE // 2, SIZE, size=2)
        draw = (pen.rectangle, pen.ellipse)[int(rng.integers(2))]
        draw((int(x0), int(y0), int(x1), int(y1)), fill=_colour(rng))
    return image


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, size=3).tolist()
    return red, green, blue


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
