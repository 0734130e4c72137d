"""Label errors of any embeddings, without a workspace. Usage: python examples/label_errors.py"""

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from curate.find.labels.errors import find_label
from curate.find.labels.probe import predict

digits = load_digits()
embeddings = digits.data / np.linalg.norm(digits.data, axis=1, keepdims=True)  # (1797, 64): yours come from a network
labels = digits.target.copy()
wrong = np.random.default_rng(0).choice(len(labels), 90, replace=False)
labels[wrong] = (labels[wrong] + 1) % 10  # planted mistakes

samples = pd.DataFrame({"sample_id": [f"{i:04d}" for i in range(len(labels))], "label": labels.astype(str)})
prediction = predict(embeddings, samples["label"], groups=np.arange(len(samples)))
found = find_label(samples, prediction)

flagged = found["is_label_issue"].to_numpy()
print(found[flagged].sort_values("label_score").head(5).to_string(index=False))
print(f"{flagged.sum()} flagged; {flagged[wrong].sum()} of the {len(wrong)} planted mistakes are among them")
