"""Estimators in the style of scikit-learn, for people who bring a table."""

from training.estimators.churn_classifier import ChurnClassifier, LeakWarning
from training.estimators.uplift_ensemble import UpliftEnsemble

__all__ = ["ChurnClassifier", "LeakWarning", "UpliftEnsemble"]
