"""Planted faults of single pictures, ten of each, and CleanVision's own scores."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from pictures import CLEANVISION_FLAGS, CLEANVISION_SCORES, PICTURES, _noise, _scene

from curate.find.quality import ISSUES, find_quality
from curate.images.decode import Decoded
from curate.images.measure import measure

WITH_SCORES_OF_CLEANVISION = ISSUES[:-1]
UNREADABLE = {"status": "truncated", "mode": None, "phash": None}


def scanned(pictures: dict[str, np.ndarray]) -> pd.DataFrame:
    """What the scan says of pictures: (H, W, 3), or (H, W) for grey files."""
    rows = []
    for name, pixels in pictures.items():
        rgb = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
        image = Decoded(np.ascontiguousarray(rgb), pixels.shape[1], pixels.shape[0], "RGB" if pixels.ndim == 3 else "L")
        rows.append({"sample_id": name, "status": "ok", **measure(image)})
    return pd.DataFrame(rows)


def sound(n: int = 40) -> dict[str, np.ndarray]:
    return {f"sound{i:02d}": _scene(96, 128, 100 + i) for i in range(n)}


def flagged(found: pd.DataFrame) -> dict[str, list[str]]:
    flags = {issue: found.loc[found[f"is_{issue}_issue"], "sample_id"].tolist() for issue in ISSUES}
    return {issue: names for issue, names in flags.items() if names}


PLANTED = {
    "dark": lambda pixels: (pixels * 0.25).astype(np.uint8),
    "bright": lambda pixels: (249 + pixels // 51).astype(np.uint8),
    "blurry": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 5),
    "low_information": lambda pixels: np.where(pixels[..., :1] > 128, [200, 120, 40], [60, 90, 160]).astype(np.uint8),
    "odd_size": lambda pixels: cv2.resize(pixels, (256, 192), interpolation=cv2.INTER_NEAREST),
    "odd_aspect_ratio": lambda pixels: np.tile(pixels[:48], (1, 2, 1))[:, :192],  # as many pixels as the others
    "grayscale": lambda pixels: cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY),
}


@pytest.mark.parametrize("issue", PLANTED)
def test_ten_planted_pictures_are_found_and_nothing_else(issue: str):
    planted = {f"planted{i}": PLANTED[issue](_scene(96, 128, i)) for i in range(10)}
    found = flagged(find_quality(scanned(sound() | planted)))
    assert found.pop(issue) == list(planted)
    assert set(found) <= ({"low_information"} if issue == "bright" else set())  # so bright that nothing is left


def test_a_set_without_faults_has_no_flags():
    assert flagged(find_quality(scanned(sound()))) == {}


@pytest.mark.parametrize(
    "issue", [issue for issue in WITH_SCORES_OF_CLEANVISION if issue not in ("blurry", "grayscale")]
)
def test_scores_and_flags_are_those_of_cleanvision(issue: str):
    found = find_quality(scanned(PICTURES))
    expected = [scores[WITH_SCORES_OF_CLEANVISION.index(issue)] for scores in CLEANVISION_SCORES.values()]
    np.testing.assert_allclose(found[f"{issue}_score"], expected, atol=5e-4)
    assert found.loc[found[f"is_{issue}_issue"], "sample_id"].tolist() == CLEANVISION_FLAGS[issue]


def test_blurry_scores_differ_from_cleanvision_only_for_the_soft_and_the_faint():
    found = find_quality(scanned(PICTURES)).set_index("sample_id")
    expected = {name: scores[WITH_SCORES_OF_CLEANVISION.index("blurry")] for name, scores in CLEANVISION_SCORES.items()}
    alike = [name for name in PICTURES if name not in ("soft", "faint")]
    np.testing.assert_allclose(found["blurry_score"][alike], [expected[name] for name in alike], atol=0.02)
    assert CLEANVISION_FLAGS["blurry"] == ["faint"]  # little contrast, but sharp
    assert found.index[found["is_blurry_issue"]].tolist() == ["soft"]


def test_grey_is_what_the_pixels_say_and_not_the_mode_of_the_file():
    found = find_quality(scanned(PICTURES)).set_index("sample_id")
    assert CLEANVISION_FLAGS["grayscale"] == ["scene_grey"]
    assert found.index[found["is_grayscale_issue"]].tolist() == ["scene_grey", "black", "white"]


def test_a_set_that_is_all_grey_has_no_grayscale_issue():
    found = find_quality(scanned({name: PLANTED["grayscale"](pixels) for name, pixels in sound().items()}))
    assert flagged(found) == {}
    assert found["grayscale_score"].eq(1).all()


def test_plain_pictures_are_not_called_blurry_whatever_their_size():
    plain = {}
    for side in (32, 64, 200, 800):
        ground = np.full((side, side, 3), [30, 40, 50], np.uint8)
        ground[side // 3 : side // 2, side // 4 : side // 2] = [60, 50, 90]
        plain[f"plain{side}"] = ground
    assert not find_quality(scanned(plain))["is_blurry_issue"].any()


def test_one_more_column_of_pixels_is_no_odd_size_but_twice_the_size_is():
    pictures = {f"same{i}": _noise(32, 32, i) for i in range(20)}
    pictures |= {"wider": _noise(32, 33, 1), "double": _noise(64, 64, 2)}
    assert flagged(find_quality(scanned(pictures)))["odd_size"] == ["double"]


def test_unreadable_files_are_flagged_and_scored_for_nothing_else():
    scan = scanned(sound(10))
    broken = pd.DataFrame([{"sample_id": f"broken{i}", **UNREADABLE} for i in range(10)])
    found = find_quality(pd.concat([scan, broken], ignore_index=True))
    assert flagged(found) == {"unreadable": [f"broken{i}" for i in range(10)]}
    others = [f"{issue}_score" for issue in WITH_SCORES_OF_CLEANVISION]
    assert found[others].tail(10).isna().all(axis=None)
    assert found[others].head(10).notna().all(axis=None)
    pd.testing.assert_frame_equal(found.head(10), find_quality(scan))


def test_only_unreadable_files_and_no_files_at_all_are_no_error():
    columns = scanned(sound(1)).columns
    broken = pd.DataFrame([{"sample_id": "broken", **UNREADABLE}]).reindex(columns=columns)
    assert flagged(find_quality(broken)) == {"unreadable": ["broken"]}
    assert len(find_quality(broken.head(0))) == 0


def test_the_order_of_the_rows_changes_nothing():
    scan = scanned(PICTURES)
    shuffled = scan.iloc[::-1].reset_index(drop=True)
    again = find_quality(shuffled).iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(find_quality(scan), again)


def test_scores_are_in_the_unit_range():
    found = find_quality(scanned(PICTURES))
    for issue in ISSUES:
        assert found[f"{issue}_score"].between(0, 1).all()


def test_a_threshold_moves_flags_and_not_scores():
    scan = scanned(PICTURES)
    usual, strict = find_quality(scan), find_quality(scan, dark=0.9)
    assert strict["is_dark_issue"].sum() > usual["is_dark_issue"].sum()
    pd.testing.assert_series_equal(strict["dark_score"], usual["dark_score"])
