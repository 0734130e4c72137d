"""A finder of your own: names of files that lie. Usage: python examples/own_finder.py WORKSPACE

A package offers it to `curate find` by an entry point in its pyproject.toml:

    [project.entry-points."curate.finders"]
    misnamed = "my_package:find_misnamed"

    [project.entry-points."curate.kinds"]
    misnamed = "my_package:MISNAMED"

With its kind, the issue stands in the queue, on the page, in the report and in the App as curate's own do.
"""

import sys
from pathlib import PurePosixPath

import pandas as pd

import curate
from curate.issues.kinds import Kind
from curate.issues.table import cover_all
from curate.schema import validate_issues

MISNAMED = Kind(
    "misnamed",
    note="The label is not the folder that the picture lies in.",
    title="wrong folder?",
    sentence="its folder has another name than its label",
    impact=0.5,  # of a leak into test, which counts 1
    view="label",
    proposes="drop",
)


def find_misnamed(samples: pd.DataFrame) -> pd.DataFrame:
    """Flag samples whose label is not the folder they lie in. Parameters are named after facts: see curate.find."""
    folder = samples["sample_id"].map(lambda name: PurePosixPath(name).parent.name)
    is_misnamed = samples["label"].notna() & folder.ne(samples["label"])
    score = 1.0 - is_misnamed.astype(float)  # 0 to 1, lower is worse
    return pd.DataFrame(
        {"sample_id": samples["sample_id"], "is_misnamed_issue": is_misnamed, "misnamed_score": score, "folder": folder}
    )


samples = curate.open(sys.argv[1]).samples
table = cover_all(validate_issues(["misnamed"], find_misnamed(samples)), samples["sample_id"])
print(f"{table['is_misnamed_issue'].sum()} of {len(table)} are misnamed")
