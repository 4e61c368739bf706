"""Estimators in the style of scikit-learn, for people who bring a table."""

from training.estimators.policy_evaluation import PolicyEvaluation, evaluate_policy
from training.estimators.uplift_ensemble import UpliftEnsemble

__all__ = ["PolicyEvaluation", "UpliftEnsemble", "evaluate_policy"]
