"""Copies as users meet them, made from photographs: one function per kind, all seeded."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Random = np.random.Generator


def reencoded(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def resized(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((max(8, round(picture.width * factor)), max(8, round(picture.height * factor))))


def cropped(picture: Image.Image, share: float, random: Random) -> Image.Image:
    """Leave out `share` of the width and of the height, anywhere."""
    width, height = round(picture.width * (1 - share)), round(picture.height * (1 - share))
    left, top = random.integers(0, picture.width - width + 1), random.integers(0, picture.height - height + 1)
    return picture.crop((int(left), int(top), int(left) + width, int(top) + height))


def padded(picture: Image.Image, share: float) -> Image.Image:
    border = round(share * max(picture.size))
    return ImageOps.expand(picture, border, fill="white")


def letterboxed(picture: Image.Image) -> Image.Image:
    return ImageOps.pad(picture, (max(picture.size), max(picture.size)), color="black")


def shifted_colours(picture: Image.Image, random: Random) -> Image.Image:
    hsv = np.asarray(picture.convert("HSV")).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + random.choice([-1, 1]) * random.integers(10, 26)) % 256
    turned = Image.merge("HSV", [Image.fromarray(channel.astype(np.uint8)) for channel in np.moveaxis(hsv, 2, 0)])
    return ImageEnhance.Color(turned.convert("RGB")).enhance(float(random.uniform(0.5, 1.5)))


def relit(picture: Image.Image, random: Random) -> Image.Image:
    bright = ImageEnhance.Brightness(picture).enhance(float(random.uniform(0.6, 1.4)))
    return ImageEnhance.Contrast(bright).enhance(float(random.uniform(0.6, 1.4)))


def watermarked(picture: Image.Image) -> Image.Image:
    """The same translucent words all over."""
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    step = max(24, picture.width // 5)
    for y in range(0, picture.height, step):
        for x in range(0, picture.width, step):
            draw.text((x, y), "SAMPLE", fill=(255, 255, 255, 130), font_size=step // 4)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def captioned(picture: Image.Image) -> Image.Image:
    """A line of large text across the lower part, as on a meme."""
    written = picture.copy()
    draw = ImageDraw.Draw(written)
    size = max(12, picture.height // 7)
    place = (picture.width // 2, round(picture.height * 0.85))
    draw.text(place, "WHEN IT COMPILES", fill="white", anchor="mm", font_size=size, stroke_width=2, stroke_fill="black")
    return written


def screenshot(picture: Image.Image) -> Image.Image:
    """The picture inside a window: a bar above, a margin, text beside it."""
    width, height = round(picture.width * 1.25), round(picture.height * 1.25)
    screen = Image.new("RGB", (width, height), (240, 240, 242))
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, width, height // 14), fill=(50, 54, 62))
    draw.text((8, height // 40), "Photo viewer", fill="white", font_size=max(10, height // 28))
    screen.paste(picture, (round(picture.width * 0.05), round(picture.height * 0.15)))
    return screen


def on_a_phone(picture: Image.Image) -> Image.Image:
    """The screenshot of a phone: dark, nearly as wide as the picture, a clock above and words below."""
    width, height = round(picture.width * 1.06), round(picture.height * 1.9)
    screen = Image.new("RGB", (width, height), (18, 18, 20))
    draw, size = ImageDraw.Draw(screen), height // 40
    draw.text((10, height // 60), "12:41", fill="white", font_size=size)
    draw.text((round(width * 0.85), height // 60), "87%", fill="white", font_size=size)
    screen.paste(picture, (round(width * 0.03), round(height * 0.22)))
    for line in range(4):
        place = (round(width * 0.05), round(height * 0.78) + line * height // 28)
        draw.text(place, "a comment about this picture, and more", fill=(200, 200, 200), font_size=size)
    return screen


def on_a_page(picture: Image.Image) -> Image.Image:
    """The picture on a white page, below five lines of text."""
    width, height = round(picture.width * 1.4), round(picture.height * 1.7)
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    for line in range(5):
        place = (round(width * 0.05), round(height * (0.03 + 0.04 * line)))
        words = "Lorem ipsum dolor sit amet, consectetur adipiscing"
        draw.text(place, words, fill="black", font_size=round(height * 0.03))
    page.paste(picture, (round(picture.width * 0.2), round(height * 0.26)))
    return page


def hung(picture: Image.Image) -> Image.Image:
    """In a frame, with a mat between."""
    mat = ImageOps.expand(picture, round(0.06 * max(picture.size)), fill=(245, 243, 238))
    return ImageOps.expand(mat, round(0.03 * max(picture.size)), fill=(60, 40, 30))


COPIES: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "JPEG quality 90": lambda p, r: reencoded(p, 90),
    "JPEG quality 30": lambda p, r: reencoded(p, 30),
    "half the size": lambda p, r: resized(p, 0.5),
    "a quarter of the size": lambda p, r: resized(p, 0.25),
    "cropped by 10%": lambda p, r: cropped(p, 0.1, r),
    "cropped by 20%": lambda p, r: cropped(p, 0.2, r),
    "cropped by 30%": lambda p, r: cropped(p, 0.3, r),
    "white border of 10%": lambda p, r: padded(p, 0.1),
    "letterboxed": lambda p, r: letterboxed(p),
    "mirrored": lambda p, r: ImageOps.mirror(p),
    "turned by 90°": lambda p, r: p.transpose(Image.Transpose.ROTATE_90),
    "turned by 180°": lambda p, r: p.transpose(Image.Transpose.ROTATE_180),
    "colours shifted": shifted_colours,
    "brightness and contrast": relit,
    "grey": lambda p, r: ImageOps.grayscale(p).convert("RGB"),
    "blurred": lambda p, r: p.filter(ImageFilter.GaussianBlur(max(p.size) / 150)),
    "watermarked": lambda p, r: watermarked(p),
    "text over the picture": lambda p, r: captioned(p),
    "screenshot": lambda p, r: screenshot(p),
    "screenshot of a phone": lambda p, r: on_a_phone(p),
    "on a page of text": lambda p, r: on_a_page(p),
    "framed": lambda p, r: hung(p),
}
