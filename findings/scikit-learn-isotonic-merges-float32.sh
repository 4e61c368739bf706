#!/usr/bin/env bash
# scikit-learn's IsotonicRegression treats float32 scores less than 0.000001 apart as equal.
#
# Versions:  scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1
# Expected:  Scores that float32 tells apart stay apart. Near 0.0000001 float32 has steps of about
#            0.00000000000001, so these scores are far from equal. The float64 fit shows the result.
# Seen:      The distance at which scores are merged is absolute: 1e-6 for float32 and 1e-15 for
#            float64. Six float32 scores below 1e-6 that separate the classes perfectly become
#            one step, and each is calibrated to 0.5.
# Matters:   Answers to campaigns and rare kinds of churn have probabilities this small, and many
#            libraries give scores as float32. Calibration then removes the ranking among them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
venv/bin/python -W ignore - <<'EOF'
import sys

import numpy as np
from sklearn.isotonic import IsotonicRegression

scores = np.array([1, 2, 3, 4, 5, 6]) * 1e-7
happened = np.array([0, 0, 0, 1, 1, 1])
answers = []
for kind in (np.float64, np.float32):
    given = scores.astype(kind)
    answer = IsotonicRegression(out_of_bounds="clip").fit(given, happened).predict(given)
    answers.append(answer.tolist())
    print(f"{kind.__name__}: {len(np.unique(given))} different scores -> {answers[-1]}")

as_described = answers == [[0, 0, 0, 1, 1, 1], [0.5] * 6]
sys.exit(None if as_described else "scikit-learn no longer behaves as described here")
EOF
