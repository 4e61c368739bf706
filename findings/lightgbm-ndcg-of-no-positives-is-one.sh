#!/usr/bin/env bash
# LightGBM's NDCG and MAP count a group without any positive as a perfect ranking.
#
# Versions:  lightgbm 4.7.0, scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1
# Expected:  A customer who accepted none of the offers says nothing about their order. The group
#            is left out of the mean, or counts 0 as in scikit-learn's ndcg_score.
# Seen:      Each such group counts 1. Of ten customers one accepts an offer, and the model ranks
#            that offer last of four. LightGBM reports ndcg@1 and map@1 of 0.9; scikit-learn
#            reports 0.0 for the same scores.
# Matters:   In next-best-offer most customers accept nothing. The reported value is then mostly
#            their share: it is high for any model, hardly moves, and early stopping acts on it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  lightgbm==4.7.0 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
venv/bin/python -W ignore - <<'EOF'
import sys

import lightgbm as lgb
import numpy as np
from sklearn.metrics import ndcg_score

CUSTOMERS, OFFERS = 10, 4
quiet = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 1, "min_data_in_bin": 1}

# The model learns from customers who take the offer with the highest place.
place = np.tile(np.arange(OFFERS, dtype=float), CUSTOMERS).reshape(-1, 1)
train = lgb.Dataset(place, (place[:, 0] == 3).astype(int), group=[OFFERS] * CUSTOMERS, params=quiet)

# Of the new customers only the first takes anything: the offer with the lowest place.
accepted = np.zeros(CUSTOMERS * OFFERS)
accepted[0] = 1
valid = train.create_valid(place, accepted, group=[OFFERS] * CUSTOMERS)

seen = {}
model = lgb.train(
    {**quiet, "objective": "lambdarank", "metric": ["ndcg", "map"], "eval_at": [1]},
    train,
    num_boost_round=5,
    valid_sets=[valid],
    callbacks=[lgb.record_evaluation(seen)],
)
scores = model.predict(place).reshape(CUSTOMERS, OFFERS)
ndcg, mean_precision = (round(float(seen["valid_0"][name][-1]), 6) for name in ("ndcg@1", "map@1"))
other = round(float(ndcg_score(accepted.reshape(CUSTOMERS, OFFERS), scores, k=1)), 6)
print("scores of the first customer's offers:", scores[0].round(3), "- the first one is accepted")
print("LightGBM:     ndcg@1", ndcg, " map@1", mean_precision)
print("scikit-learn: ndcg@1", other)
as_described = (ndcg, mean_precision, other) == (0.9, 0.9, 0.0)
sys.exit(None if as_described else "LightGBM or scikit-learn no longer behaves as described here")
EOF
