"""Take the screenshots of docs/review-app.md on crops of scikit-image's photographs (NASA's, and CC0).

    python docs/screenshots.py

Needs the extra `review`, scikit-image, a mongod and Debian's chromium. Writes docs/images/app-*.png, 1400 pixels wide.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image, ImageEnhance

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from app_process import App, ask  # noqa: E402

PICTURES = {  # file to class
    "astronaut.png": "astronaut",
    "coffee.png": "coffee",
    "hubble_deep_field.jpg": "galaxies",
    "chelsea.png": "cat",
    "retina.jpg": "retina",
    "rocket.jpg": "rocket",
}
CROPS = 45  # of each
SIZE = {"width": 1400, "height": 860}
SETTLED = 3000  # milliseconds for pictures and panel to be drawn
COLOURS = 256  # of the palette: keeps each file small
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def main() -> None:
    from playwright.sync_api import sync_playwright

    (HERE / "images").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        draw(Path(folder) / "photos")
        workspace = Path(folder) / "ws"
        ask("ingest", Path(folder) / "photos", "-w", workspace, "--json")
        subprocess.run([sys.executable, "-m", "curate", "report", "-w", str(workspace)], check=True)  # makes the map
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        with App(workspace, reviewer="anna") as app:
            label_issues(opened(chromium, app, "label-issues"))
            duplicates(opened(chromium, app, "duplicates"))
            open_sample(opened(chromium, app, "label-issues"))
        chromium.close()


def draw(root: Path) -> None:
    """Crops as root/CLASS/NN.jpg: every 15th in the folder of the next class, every 20th with a smaller copy."""
    rng = np.random.default_rng(0)
    for n, picture in enumerate(PICTURES):
        whole = Image.open(Path(skimage.data.__file__).parent / picture).convert("RGB")
        for k in range(CROPS):
            side = round(min(whole.size) * rng.uniform(0.5, 0.8))
            left, top = (int(rng.integers(0, length - side + 1)) for length in whole.size)
            crop = whole.crop((left, top, left + side, top + side)).resize((240, 240))
            crop = ImageEnhance.Brightness(crop).enhance(rng.uniform(0.8, 1.2))
            folder = root / list(PICTURES.values())[(n + (k % 15 == 7)) % len(PICTURES)]
            folder.mkdir(parents=True, exist_ok=True)
            crop.save(folder / f"{picture[:-4]}-{k:02d}.jpg", quality=92)
            if k % 20 == 3:
                crop.resize((180, 180)).save(folder / f"{picture[:-4]}-{k:02d}-small.jpg", quality=80)


def opened(chromium: Any, app: App, view: str) -> Any:
    page = chromium.new_page(viewport=SIZE)
    page.set_default_timeout(120_000)
    page.add_init_script("localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')")
    page.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
    page.goto(app.url.replace("view=queue", f"view={view}"))
    page.wait_for_selector('[data-cy="looker"]')
    page.wait_for_selector("text=/Select a tile or open one/")
    return page


def label_issues(page: Any) -> None:
    """Two verdicts, and a third tile selected."""
    for n, key in ((0, "Alt+a"), (1, "Alt+k")):
        tick(page, n)
        page.keyboard.press(key)
        page.wait_for_selector('[data-cy="action-manage-selected"]', state="detached")
        page.wait_for_selector('[data-cy="looker"]')
        page.wait_for_timeout(SETTLED)
    tick(page, 2)
    shoot(page, "label-issues")


def duplicates(page: Any) -> None:
    tick(page, 0)
    shoot(page, "duplicates")


def open_sample(page: Any) -> None:
    page.locator('[data-cy="looker"]').nth(3).click()
    page.wait_for_selector('[data-cy="modal"]')
    shoot(page, "sample")


def tick(page: Any, n: int) -> None:
    tile = page.locator('[data-cy="looker"]').nth(n)
    tile.hover()
    tile.locator('[data-cy^="looker-checkbox"]').first.click()
    page.wait_for_selector('[data-cy="action-manage-selected"]')


def shoot(page: Any, name: str) -> None:
    page.mouse.move(5, SIZE["height"] - 5)
    page.wait_for_timeout(SETTLED)
    file = HERE / "images" / f"app-{name}.png"
    page.screenshot(path=file, timeout=120_000)
    Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size // 1024} kB")
    page.close()


if __name__ == "__main__":
    main()
