"""How well duplicates are found, on real images. Run: python tests/benchmarks/duplicate_quality.py near|copies

near    recall of the test-train pairs that people judged the same shot, among the first pairs returned, for
        several input sizes of the embedder, beside plain cosine (what FiftyOne's Brain and SelfClean rank by)
copies  recall of copies that users meet, made from photographs, at one false pair in about 10,000 images,
        beside plain cosine

`--peers PYTHON`, of an environment that has them, brings imagededup's hashes to both, and fastdup to the first.
Reads the bench beside the checkout. Truth is used for scoring alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from bench import CIFAR, PHOTOS, embed, pixels, read_images
from photo_copies import COPIES
from PIL import Image

from curate.embed.look import THUMB
from curate.find.duplicates.near import duplicate_pairs
from curate.find.neighbors import Neighbors, nearest
from curate.images.resize import resized

BUDGETS = (300, 1000, 3000)
NEIGHBORS = 50
IMAGEDEDUP = """
import json, sys, numpy as np
from imagededup import methods
pictures = np.load(sys.argv[1] + "/pictures.npz")
hashers = {name: getattr(methods, name)(verbose=False) for name in sys.argv[2:]}
pictures = [pictures[f"arr_{i}"] for i in range(len(pictures.files))]
hashes = {name: [hasher.encode_image(image_array=p) for p in pictures] for name, hasher in hashers.items()}
json.dump(hashes, open(sys.argv[1] + "/hashes.json", "w"))
"""
FASTDUP = """
import sys, fastdup
made = fastdup.create(work_dir=sys.argv[1] + "/made", input_dir=sys.argv[1] + "/images")
made.run(overwrite=True, num_threads=2)
made.similarity()[["filename_from", "filename_to", "distance"]].to_csv(sys.argv[1] + "/pairs.csv", index=False)
"""
HASHES = ("PHash", "DHash", "AHash", "WHash")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("near", "copies"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128, 160, 224])
    parser.add_argument("--peers", help="a Python that has imagededup 0.3.3 and fastdup 2.54")
    given = parser.parse_args()
    table = near_table(given.sizes, given.peers) if given.what == "near" else copies_table(given.peers)
    print(table.to_string(float_format="{:.2f}".format))


# ---- near pairs that people judged -----------------------------------------------------------------


def near_table(sizes: list[int], peers: str | None) -> pd.DataFrame:
    samples = pd.read_csv(CIFAR / "samples.csv").rename(columns={"image": "sample_id"})
    truth = pd.read_csv(CIFAR / "truth_near_duplicates.csv").query("between == 'test-train' and judgment == 'near'")
    wanted = {frozenset(pair) for pair in zip(truth["image_a"], truth["image_b"], strict=True)}
    files = read_images(CIFAR / "images.tar")
    pictures = [pixels(files[name]) for name in samples["sample_id"]]
    samples["sha256"] = [hashlib.sha256(files[name]).hexdigest() for name in samples["sample_id"]]
    rows = {}
    for size in sizes:
        pairs = compare(samples, pictures, size)
        rows[f"curate, {size} px"] = recalls(pairs, wanted)
        rows[f"cosine, {size} px"] = recalls(pairs.attrs["by_cosine"], wanted)
    if peers:
        signs = hash_signs({"all": pictures}, peers)["PHash"]["all"]
        unit = signs.astype(np.float32) / signs.shape[1] ** 0.5
        rows["imagededup PHash"] = recalls(by_neighbors(samples, nearest(unit, NEIGHBORS)), wanted)
        rows["fastdup"] = recalls(by_fastdup(samples, files, peers), wanted)
    return pd.DataFrame(rows, index=list(BUDGETS)).T


def compare(samples: pd.DataFrame, pictures: list[np.ndarray], size: int) -> pd.DataFrame:
    """PAIRS of the pictures; the attribute `by_cosine` holds neighbours ranked by cosine alone."""
    embeddings = embed(pictures, size)
    neighbors = nearest(embeddings, NEIGHBORS)
    thumbs = np.stack([resized(picture, THUMB) for picture in pictures])
    pairs = duplicate_pairs(samples, embeddings, neighbors, thumbs)
    pairs.attrs["by_cosine"] = by_neighbors(samples, neighbors)
    return pairs


def by_neighbors(samples: pd.DataFrame, found: Neighbors) -> pd.DataFrame:
    """Neighbours as pairs, nearest first."""
    return in_order(samples, np.repeat(np.arange(len(found.I)), found.I.shape[1]), found.I.ravel(), found.D.ravel())


def in_order(samples: pd.DataFrame, a: np.ndarray, b: np.ndarray, similarity: np.ndarray) -> pd.DataFrame:
    """Pairs of rows, each once, most similar first, with the names and splits of their samples."""
    pairs = pd.DataFrame({"a": np.minimum(a, b), "b": np.maximum(a, b), "similarity": similarity})
    pairs = pairs.sort_values("similarity", ascending=False, kind="stable").drop_duplicates(["a", "b"])
    ids, splits = samples["sample_id"].to_numpy(), samples["split"].to_numpy()
    pairs["between"] = np.where(splits[pairs["a"]] != splits[pairs["b"]], "test-train", "same")
    return pairs.assign(sample_id_a=ids[pairs["a"]], sample_id_b=ids[pairs["b"]])


def by_fastdup(samples: pd.DataFrame, files: dict[str, bytes], peers: str) -> pd.DataFrame:
    """Its pairs by its defaults, most similar first."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "images").mkdir()
        for name in samples["sample_id"]:
            (Path(folder) / "images" / Path(name).name).write_bytes(files[name])
        subprocess.run([peers, "-c", FASTDUP, folder], check=True, stdout=subprocess.DEVNULL)
        found = pd.read_csv(Path(folder) / "pairs.csv")
    row = {Path(name).name: number for number, name in enumerate(samples["sample_id"])}
    a, b = (found[side].map(lambda path: row[Path(path).name]).to_numpy() for side in ("filename_from", "filename_to"))
    return in_order(samples, a, b, found["distance"].to_numpy())  # which is the cosine


def recalls(pairs: pd.DataFrame, wanted: set[frozenset[str]]) -> list[float]:
    """Share of the wanted pairs among the first test-train pairs, for each budget."""
    across = pairs[pairs["between"] == "test-train"]
    found = [frozenset(pair) in wanted for pair in zip(across["sample_id_a"], across["sample_id_b"], strict=True)]
    return [sum(found[:budget]) / len(wanted) for budget in BUDGETS]


# ---- copies that users meet ------------------------------------------------------------------------


def copies_table(peers: str | None) -> pd.DataFrame:
    """Each photograph beside one copy of it; in as many rounds as there are kinds, so that all get each kind.

    22 rounds of 512 images are 11,264 images: the threshold of each method lets one false pair pass in all.
    """
    photos = read_photos()
    kinds = list(COPIES)
    variants = {"original": photos} | {
        kind: [COPIES[kind](photo, np.random.default_rng(i)) for i, photo in enumerate(photos)] for kind in kinds
    }
    arrays = {kind: [np.array(picture) for picture in pictures] for kind, pictures in variants.items()}
    embeddings = {kind: embed(pictures, 224) for kind, pictures in arrays.items()}
    signs = hash_signs(arrays, peers) if peers else {}
    scores: dict[str, list[pd.DataFrame]] = {}
    for shift in range(len(kinds)):
        chosen = [kinds[(i + shift) % len(kinds)] for i in range(len(photos))]
        pictures = arrays["original"] + [arrays[kind][i] for i, kind in enumerate(chosen)]
        vectors = np.concatenate([embeddings["original"], [embeddings[kind][i] for i, kind in enumerate(chosen)]])
        found = round_scores(pictures, vectors)
        for method, hashed in signs.items():
            both = np.concatenate([hashed["original"], [hashed[kind][i] for i, kind in enumerate(chosen)]])
            found[f"imagededup {method}"] = all_pairs(both @ both.T / both.shape[1])
        for method, pairs in found.items():
            scores.setdefault(method, []).append(
                pairs.assign(kind=np.array(chosen, dtype=object)[pairs["a"] % len(photos)])
            )
        print(f"round {shift + 1} of {len(kinds)}", file=sys.stderr)
    return pd.DataFrame({method: recall_by_kind(pd.concat(parts), len(photos)) for method, parts in scores.items()})


def round_scores(pictures: list[np.ndarray], vectors: np.ndarray) -> dict[str, pd.DataFrame]:
    """For each method, pairs `a, b, similarity` of one round; a is an original and b - a the number of photos."""
    n = len(pictures)
    names = [f"{i:04d}" for i in range(n)]
    hashes = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]
    samples = pd.DataFrame({"sample_id": names, "sha256": hashes, "split": [None] * n})
    thumbs = np.stack([resized(picture, THUMB) for picture in pictures])
    pairs = duplicate_pairs(samples, vectors, nearest(vectors, NEIGHBORS), thumbs)
    ours = pairs.assign(
        a=pairs["sample_id_a"].astype(int), b=pairs["sample_id_b"].astype(int), similarity=pairs["agreement"]
    )
    full = vectors.astype(np.float32)
    return {"curate": ours[["a", "b", "similarity"]], "cosine": all_pairs(full @ full.T)}


def all_pairs(similarity: np.ndarray) -> pd.DataFrame:
    a, b = np.triu_indices(len(similarity), 1)
    return pd.DataFrame({"a": a, "b": b, "similarity": similarity[a, b]})


def hash_signs(arrays: dict[str, list[np.ndarray]], peers: str) -> dict[str, dict[str, np.ndarray]]:
    """Method → kind → (n, 64) bits as 1 and -1, made by imagededup in its own environment."""
    found: dict[str, dict[str, np.ndarray]] = {method: {} for method in HASHES}
    with tempfile.TemporaryDirectory() as folder:
        for kind, pictures in arrays.items():
            np.savez(Path(folder) / "pictures.npz", *pictures)
            subprocess.run([peers, "-c", IMAGEDEDUP, folder, *HASHES], check=True)
            for method, hashes in json.loads((Path(folder) / "hashes.json").read_text()).items():
                found[method][kind] = np.array([[2 * int(bit) - 1 for bit in f"{int(h, 16):064b}"] for h in hashes])
    return found


def recall_by_kind(pairs: pd.DataFrame, n_photos: int) -> pd.Series:
    """Share of the copies of each kind whose pair scores above the second-best false pair."""
    true = (pairs["b"] - pairs["a"]).eq(n_photos)
    threshold = pairs.loc[~true, "similarity"].nlargest(2).min()
    found = pairs[true & pairs["similarity"].gt(threshold)].groupby("kind").size()
    return found.reindex(list(COPIES), fill_value=0) / n_photos


def read_photos() -> list[Image.Image]:
    return [Image.fromarray(pixels(data)) for data in read_images(PHOTOS).values()]


if __name__ == "__main__":
    main()
