"""A finder of your own: names of files that lie. Usage: python examples/own_finder.py WORKSPACE

A package offers it to `curate find` by an entry point in its pyproject.toml:

    [project.entry-points."curate.finders"]
    misnamed = "my_package:find_misnamed"
"""

import sys
from pathlib import PurePosixPath

import pandas as pd

import curate
from curate.issues.table import cover_all
from curate.schema import validate_issues


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
