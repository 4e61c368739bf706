"""Scikit-learn estimators for people who bring a DataFrame."""

from training.estimators.churn_classifier import ChurnClassifier, LeakWarning
from training.estimators.next_basket_ranker import NextBasketRanker
from training.estimators.policy_evaluation import PolicyEvaluation, evaluate_policy
from training.estimators.uplift_ensemble import UpliftEnsemble
from training.estimators.value_regressor import ValueRegressor

__all__ = [
    "ChurnClassifier",
    "LeakWarning",
    "NextBasketRanker",
    "PolicyEvaluation",
    "UpliftEnsemble",
    "ValueRegressor",
    "evaluate_policy",
]
