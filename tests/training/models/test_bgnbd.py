"""BG/NBD: published figures, parameters recovered from the model's own world, and impossible histories."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, gamma

from features.base.errors import BadData
from training.baselines import bgnbd
from training.baselines.bgnbd import BgNbd
from training.evaluate.ranking import auc

CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426, log_likelihood=-9582.4)  # Fader, Hardie and Lee (2005), table 2


def simulate(model: BgNbd, customers: int, age: float, seed: int) -> tuple[np.ndarray, ...]:
    """Return frequency, recency, age and whether each is alive, drawn from the model's own story."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(model.r, 1 / model.alpha, customers)
    drop = rng.beta(model.a, model.b, customers)
    ages = rng.uniform(age / 2, age, customers)
    x, last, alive = np.zeros(customers), np.zeros(customers), np.ones(customers, dtype=bool)
    for c in range(customers):
        now = 0.0
        while True:
            now += rng.exponential(1 / rate[c])
            if now > ages[c]:
                break
            x[c], last[c] = x[c] + 1, now
            if rng.random() < drop[c]:
                alive[c] = False
                break
    return x, last, ages, alive


def test_the_published_customer_is_expected_to_buy_1_226_times() -> None:
    """Fader, Hardie and Lee (2005), "Implementing the BG/NBD model in Excel": x=2, t_x=30.43, T=38.86, 39 weeks."""
    one = np.array([2.0]), np.array([30.43]), np.array([38.86])
    assert CDNOW.expected_purchases(*one, ahead=39.0)[0] == pytest.approx(1.226, abs=5e-4)


def test_the_likelihood_is_the_integral_over_customers_rates_and_drop_out() -> None:
    x, last, age = 2.0, 3.0, 5.0
    model = BgNbd(r=1.3, alpha=2.0, a=0.8, b=2.5, log_likelihood=0.0)

    def given(rate: np.ndarray, drop: np.ndarray) -> np.ndarray:
        alive = (1 - drop) ** x * rate**x * np.exp(-rate * age)
        left = drop * (1 - drop) ** (x - 1) * rate**x * np.exp(-rate * last)
        return np.asarray(alive + left)

    rate, drop = (np.arange(2000)[:, None] + 0.5) / 2000 * 20, (np.arange(4000)[None, :] + 0.5) / 4000
    density = gamma(model.r, scale=1 / model.alpha).pdf(rate) * beta(model.a, model.b).pdf(drop)
    integral = (given(rate, drop) * density).sum() * (20 / 2000) / 4000
    closed = bgnbd.log_likelihood(model, np.array([x]), np.array([last]), np.array([age]))[0]
    assert closed == pytest.approx(np.log(integral), abs=1e-3)


def test_parameters_are_recovered_from_the_models_own_world() -> None:
    truth = BgNbd(r=0.8, alpha=6.0, a=0.9, b=3.0, log_likelihood=0.0)
    x, last, age, alive = simulate(truth, 6000, age=60.0, seed=4)
    found = bgnbd.fit(x, last, age)
    assert found.r == pytest.approx(truth.r, rel=0.1)
    assert found.alpha == pytest.approx(truth.alpha, rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(0.9 / 3.9, rel=0.1)
    assert found.log_likelihood >= bgnbd.log_likelihood(truth, x, last, age).sum()
    assert found.log_likelihood == pytest.approx(bgnbd.log_likelihood(found, x, last, age).sum(), rel=1e-9)
    p = found.p_alive(x, last, age)
    assert p.mean() == pytest.approx(alive.mean(), abs=0.02)
    assert auc(alive.astype(float), p) > 0.8


def test_the_unit_of_time_changes_alpha_only() -> None:
    x, last, age, _ = simulate(CDNOW, 1500, age=50.0, seed=4)
    weeks, days = bgnbd.fit(x, last, age), bgnbd.fit(x, 7 * last, 7 * age)
    assert days.alpha == pytest.approx(7 * weeks.alpha, rel=1e-3)
    np.testing.assert_allclose(days.p_alive(x, 7 * last, 7 * age), weeks.p_alive(x, last, age), atol=1e-4)


def test_silence_lowers_the_chance_and_a_single_purchase_says_nothing() -> None:
    x, last, age = np.array([5.0, 5.0, 0.0]), np.array([10.0, 10.0, 0.0]), np.array([11.0, 40.0, 40.0])
    recent, silent, once = CDNOW.p_alive(x, last, age)
    assert silent < 0.1 < 0.8 < recent
    assert once == 1.0


@pytest.mark.parametrize(
    ("history", "code"),
    [
        (([1.0], [5.0], [4.0]), "bgnbd.values"),
        (([-1.0], [0.0], [4.0]), "bgnbd.values"),
        (([0.0], [1.0], [4.0]), "bgnbd.values"),
        (([1.0], [1.0], [np.nan]), "bgnbd.values"),
        (([0.0, 0.0], [0.0, 0.0], [4.0, 5.0]), "bgnbd.no_repeats"),
    ],
)
def test_impossible_histories_are_refused(history: tuple[list[float], ...], code: str) -> None:
    with pytest.raises(BadData) as error:
        bgnbd.fit(*(np.array(values) for values in history))
    assert error.value.first.code == code


def test_buyers_as_regular_as_a_bill_still_get_a_finite_expectation() -> None:
    model = BgNbd(r=7e4, alpha=2e6, a=0.01, b=5.0, log_likelihood=0.0)
    found = model.expected_purchases(np.array([0.0, 11.0]), np.array([0.0, 330.0]), np.array([10.0, 340.0]), ahead=60.0)
    assert np.isfinite(found).all()
    assert found == pytest.approx([60 * 7e4 / 2e6, 60 * 7e4 / 2e6], rel=0.05)
