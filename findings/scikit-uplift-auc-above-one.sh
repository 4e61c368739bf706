#!/usr/bin/env bash
# scikit-uplift's normalized area under the uplift curve can be larger than 1.
#
# Versions:  scikit-uplift 0.5.1, scikit-learn 1.9.1, pandas 2.3.3, numpy 2.4.6, scipy 1.17.1
# Expected:  uplift_auc_score divides by the area of the optimum curve, so that 1 is the best that
#            any ranking reaches.
# Seen:      The curve that is taken as the optimum is not the largest. With 50 customers in the
#            control group and 20 treated, one ranking gets 1.154, and the ranking that the
#            library's own optimum uses gets 1.0. The groups are of unequal size, as in practice.
# Matters:   Promotion gates and comparisons between campaigns read this number as a share of what
#            is possible. It is no share, and values of different campaigns have no common scale.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  scikit-uplift==0.5.1 scikit-learn==1.9.1 pandas==2.3.3 numpy==2.4.6 scipy==1.17.1
venv/bin/python -W ignore - <<'EOF'
import sys

import numpy as np
from sklift.metrics import uplift_auc_score

# 40 of the control group did not buy and 10 did; 10 of the treated did not buy and 10 did.
bought = np.repeat([0, 0, 1, 1], [40, 10, 10, 10])
treated = np.repeat([0, 1, 0, 1], [40, 10, 10, 10])

# The place of each of these four kinds of customer in the ranking, 3 first.
rankings = {
    "the library's optimum": [2, 1, 0, 3],
    "control buyers before the treated who did not buy": [2, 0, 1, 3],
}
scores = {}
for name, place in rankings.items():
    score = np.array(place)[2 * bought + treated]
    scores[name] = round(float(uplift_auc_score(bought, score, treated)), 3)
    print(f"{name}: uplift_auc_score {scores[name]}")

as_described = list(scores.values()) == [1.0, 1.154]
sys.exit(None if as_described else "scikit-uplift no longer behaves as described here")
EOF
