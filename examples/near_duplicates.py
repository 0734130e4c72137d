"""Duplicates of a folder of images, from pixels to groups. Usage: python examples/near_duplicates.py FOLDER"""

import sys

import curate

images = curate.embed_images(sys.argv[1])  # each file is opened once
found = curate.find_duplicates(images)
print(found.flagged.head(10)[["sample_id_a", "sample_id_b", "kind", "similarity"]].to_string(index=False))
split = curate.split(images.sources["label"], groups=found.groups)  # no copy in two splits
print(f"{found}; {(split == 'test').sum()} of {len(split)} images for the test")
