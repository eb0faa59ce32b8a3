"""Statistics over variants: examples from the literature, slow oracles, invariances, planted effects,
nulls.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from analyzers.comparison import anomalies, correlation, deviations, effects, families, groups, permutation
from analyzers.comparison.scale import spans_decades
from analyzers.comparison.survival import kaplan_meier, log_rank
from analyzers.comparison.variance import REST, variance_components
from data.errors import BadParameter

# Remission times in weeks, 6-mercaptopurine and placebo (E. Freireich et al., Blood 21, 1963); 0: censored.
TREATED = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35], float)
RELAPSED = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], bool)
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], float)


def trial() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    happened = np.concatenate([RELAPSED, np.ones(21, bool)])
    return np.concatenate([TREATED, PLACEBO]), happened, np.repeat(["6-MP", "placebo"], 21)


def waiting(seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Times with many ties, about a third censored."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 12, n).astype(float), rng.random(n) < 0.67


def censored(time: np.ndarray, happened: np.ndarray) -> stats.CensoredData:
    return stats.CensoredData(uncensored=time[happened], right=time[~happened])


# --- survival --------------------------------------------------------------------------------------------


def test_kaplan_meier_gives_the_published_table_of_the_leukaemia_trial() -> None:
    curve = kaplan_meier(TREATED, RELAPSED)
    assert curve.time.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
    assert curve.waiting == pytest.approx([0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], abs=1e-4)
    assert curve.median == 23
    assert curve.median_interval == (13, float("inf"))
    assert kaplan_meier(PLACEBO, np.ones(21, bool)).median == 8


def test_the_log_rank_test_gives_the_published_statistic_of_the_leukaemia_trial() -> None:
    found = log_rank(*trial())
    assert found.chi2 == pytest.approx(16.79, abs=0.005)
    assert found.observed.tolist() == [9, 21]
    assert found.expected == pytest.approx([19.25, 10.75], abs=0.005)
    assert found.p == pytest.approx(4.17e-5, rel=0.01)
    assert found.permuted.p < 0.002


@pytest.mark.filterwarnings("ignore:The confidence interval is undefined")
@pytest.mark.parametrize("seed", range(5))
def test_curves_and_bands_are_those_of_scipy(seed: int) -> None:
    time, happened = waiting(seed)
    curve = kaplan_meier(time, happened)
    theirs = stats.ecdf(censored(time, happened)).sf
    assert curve.at(theirs.quantiles) == pytest.approx(theirs.probabilities)
    band = theirs.confidence_interval(method="log-log")
    place = np.searchsorted(theirs.quantiles, curve.time)
    inside = curve.waiting > 0
    assert curve.lower[inside] == pytest.approx(band.low.probabilities[place][inside])
    assert curve.upper[inside] == pytest.approx(band.high.probabilities[place][inside])


@pytest.mark.parametrize("seed", range(5))
def test_two_groups_are_tested_as_scipy_does(seed: int) -> None:
    (first, of_first), (second, of_second) = waiting(seed), waiting(100 + seed, 25)
    theirs = stats.logrank(censored(first, of_first), censored(second, of_second))
    group = np.repeat([0, 1], [len(first), len(second)])
    ours = log_rank(np.concatenate([first, second]), np.concatenate([of_first, of_second]), group)
    assert ours.chi2 == pytest.approx(theirs.statistic**2)
    assert ours.p == pytest.approx(theirs.pvalue)


def test_several_groups_are_tested_with_the_hypergeometric_covariance() -> None:
    time, happened = waiting(3, 45)
    group = np.arange(45) % 3
    excess, covariance = np.zeros(3), np.zeros((3, 3))
    for at in np.unique(time[happened]):
        at_risk = np.array([((time >= at) & (group == one)).sum() for one in range(3)], float)
        events = np.array([((time == at) & happened & (group == one)).sum() for one in range(3)], float)
        n, d = at_risk.sum(), events.sum()
        excess += events - d * at_risk / n
        for i in range(3):
            for j in range(3):
                own = at_risk[i] * ((n if i == j else 0.0) - at_risk[j])
                covariance[i, j] += own * d * (n - d) / (n**2 * max(n - 1, 1))
    expected = excess[:2] @ np.linalg.solve(covariance[:2, :2], excess[:2])
    assert log_rank(time, happened, group).chi2 == pytest.approx(expected)


def test_the_test_depends_on_the_order_of_times_only() -> None:
    time, happened, group = trial()
    assert log_rank(np.exp(time / 5), happened, group).chi2 == pytest.approx(
        log_rank(time, happened, group).chi2
    )


def test_runs_that_never_get_there_leave_the_curve_up() -> None:
    time, never = np.array([10.0, 20.0, 30.0]), np.zeros(3, bool)
    curve = kaplan_meier(time, never)
    assert curve.time.size == 0
    assert curve.at(np.array([5.0, 40.0])).tolist() == [1, 1]
    assert curve.median == float("inf")
    assert log_rank(time, never, np.array([0, 0, 1])).permuted.p == 1


def test_a_run_censored_at_the_time_of_an_event_was_at_risk() -> None:
    curve = kaplan_meier(np.array([5.0, 5.0, 9.0, 9.0]), np.array([True, False, True, True]))
    assert curve.at_risk.tolist() == [4, 2]
    assert curve.waiting.tolist() == [0.75, 0.0]
    assert (curve.lower[-1], curve.upper[-1]) == (0.0, curve.upper[0])


def test_bad_times_are_refused() -> None:
    with pytest.raises(BadParameter, match="there is one: 'a'"):
        log_rank(np.ones(3), np.ones(3, bool), np.array(["a"] * 3))
    with pytest.raises(BadParameter, match="not finite"):
        kaplan_meier(np.array([1.0, np.nan]), np.ones(2, bool))
    with pytest.raises(BadParameter, match="0 times"):
        kaplan_meier(np.zeros(0), np.zeros(0, bool))


# --- permutations ----------------------------------------------------------------------------------------


def test_every_way_is_listed_once() -> None:
    labels = np.array([0, 0, 1, 2, 2])
    ways = permutation.every_way(labels)
    assert {tuple(way) for way in ways.tolist()} == set(permutations(labels.tolist()))
    assert len(ways) == permutation.count_of_ways(labels) == 30


def test_under_the_null_the_p_values_are_uniform() -> None:
    """Over all labellings of the same runs, a p-value of at most a comes up in a share a of them."""
    time, happened = waiting(7, 9)
    ways = permutation.every_way(np.repeat([0, 1, 2], 3))
    p = np.array([log_rank(time, happened, way).permuted.p for way in ways[::12]])
    full = np.array([permutation.between(stats.rankdata(time), way) for way in ways])
    exact = np.array([(full >= one * (1 - 1e-9)).mean() for one in full])
    for attained in np.unique(exact):
        assert (exact <= attained + 1e-12).mean() == pytest.approx(attained)
    assert permutation.permuted(stats.rankdata(time), ways[5]).p == pytest.approx(exact[5])
    for level in (0.1, 0.25, 0.5):
        assert (p <= level).mean() <= level + 0.1


def test_drawn_permutations_agree_with_the_listed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, labels = np.array([1.0, 2, 3, 5, 8, 9, 11, 14]), np.array([0, 1, 0, 0, 1, 0, 1, 1])
    exact = permutation.permuted(scores, labels)
    monkeypatch.setattr(permutation, "MOST", 1)
    drawn = permutation.permuted(scores, labels)
    assert exact.exact
    assert not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=0.03)


def test_shuffles_stay_within_their_strata() -> None:
    strata = np.array([2, 0, 0, 1, 2, 1, 0])
    orders = permutation.shuffles(strata, 200, np.random.default_rng(0))
    assert (strata[orders] == strata).all()
    assert (np.sort(orders, axis=1) == np.arange(7)).all()
    assert len({tuple(order) for order in orders.tolist()}) > 15  # of 2! 3! 2! = 24


# --- groups and correlations -----------------------------------------------------------------------------


def test_kruskal_wallis_is_that_of_scipy_also_with_ties() -> None:
    rng = np.random.default_rng(1)
    values, group = rng.integers(0, 6, 30).astype(float), np.arange(30) % 3
    found = groups.kruskal_wallis(values, group)
    assert found.h == pytest.approx(stats.kruskal(*(values[group == one] for one in range(3))).statistic)
    assert found.permuted.p == pytest.approx(stats.chi2.sf(found.h, 2), abs=0.05)


def test_the_effect_size_is_zero_on_average_under_the_null() -> None:
    values = np.array([1.0, 2, 2, 4, 7, 9, 12])
    ways = permutation.every_way(np.array([0, 0, 0, 1, 1, 1, 1]))
    assert np.mean([groups.kruskal_wallis(values, way).effect for way in ways]) == pytest.approx(0, abs=1e-12)
    apart = groups.kruskal_wallis(np.arange(8.0), np.repeat([0, 1], 4))
    assert apart.effect > 0.7
    assert apart.permuted.p == pytest.approx(2 / 70)


def test_the_interval_of_the_median_holds_it_as_often_as_it_says() -> None:
    assert groups.median_interval(np.arange(1.0, 11)) == (2, 9)  # binomial(10, 1/2): 2 * 11 / 1024 outside
    assert groups.median_interval(np.arange(6.0)) == (0, 5)
    assert np.isnan(groups.median_interval(np.arange(5.0))).all()
    draws = np.random.default_rng(0).exponential(size=(2000, 25))
    held = [low <= np.log(2) <= high for low, high in map(groups.median_interval, draws)]
    assert 0.945 <= np.mean(held) <= 0.97


def test_groups_are_described_by_what_is_known_of_them() -> None:
    found = groups.described(np.array([3.0, np.nan, 1.0, 2.0]), "a")
    assert (found.label, found.n, found.median) == ("a", 3, 2.0)
    assert groups.described(np.array([np.nan])).n == 0
    with pytest.raises(BadParameter, match="there is one"):
        groups.kruskal_wallis(np.arange(3.0), np.zeros(3))


def test_spearman_is_that_of_scipy_with_an_interval_around_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, 60).astype(float)
    y = x + rng.normal(0, 6, 60)
    found = correlation.spearman(x, y)
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.lower < found.rho < found.upper
    more = correlation.spearman(np.tile(x, 4), np.tile(y, 4))
    assert more.upper - more.lower < 0.7 * (found.upper - found.lower)
    assert correlation.spearman(np.exp(x / 5), y).rho == pytest.approx(found.rho)


def test_pooled_and_within_can_differ_in_sign() -> None:
    rng = np.random.default_rng(0)
    p = np.repeat([97, 103, 109, 127], 12)
    shift = rng.normal(size=48)
    x, y = p + shift, p - shift + rng.normal(0, 0.3, 48)
    assert correlation.spearman(x, y).lower > 0.5
    within = correlation.spearman_within(x, y, p)
    assert within.upper < -0.5
    assert within.groups == 4
    moved = correlation.spearman_within(x + 1000 * (p == 103), y - 77 * (p == 97), p)
    assert moved == within


def test_correlations_say_when_they_know_nothing() -> None:
    assert np.isnan(correlation.spearman(np.ones(9), np.arange(9.0)).rho)
    assert np.isnan(correlation.spearman(np.arange(4.0), np.arange(4.0)).lower)
    alone = correlation.spearman_within(np.arange(5.0), np.arange(5.0), np.arange(5))
    assert alone.n == 0
    assert np.isnan(alone.rho)


def test_independent_metrics_are_rarely_found_to_correlate() -> None:
    rng = np.random.default_rng(5)
    group = np.arange(24) % 3
    p = [correlation.spearman_within(*rng.normal(size=(2, 24)), group).p for _ in range(60)]
    assert sum(one <= 0.05 for one in p) <= 8
    assert 0.3 < np.median(p) < 0.7


# --- additive model --------------------------------------------------------------------------------------

P, SEED, DATA_SEED = (part.ravel() for part in np.meshgrid(range(4), range(8), range(3), indexing="ij"))
FACTORS = {"p": P, "seed": SEED, "data_seed": DATA_SEED}


def test_in_a_balanced_design_the_difference_is_that_of_the_means() -> None:
    y = np.random.default_rng(0).normal(size=96) + P
    found = effects.level_effects(y, FACTORS, "seed")
    expected = [y[one == SEED].mean() - y[one != SEED].mean() for one in range(8)]
    assert found.difference == pytest.approx(expected)
    assert found.df == 96 - 1 - 3 - 7 - 2
    assert found.n.tolist() == [12] * 8
    assert found.runs[SEED == 2].mean() == pytest.approx(found.difference[2])


def test_a_seed_run_on_other_primes_is_compared_at_equal_primes() -> None:
    """Without noise the planted differences come back exactly, though plain means are confounded with p."""
    kept = ~((SEED == 3) & (P < 3)) & ~((SEED == 5) & (DATA_SEED == 1))
    y = 100.0 * P + np.where(SEED == 3, 7.0, 0.0) - 5.0 * DATA_SEED
    found = effects.level_effects(y[kept], {name: codes[kept] for name, codes in FACTORS.items()}, "seed")
    assert found.difference == pytest.approx([7.0 if one == 3 else -1.0 for one in range(8)], abs=1e-8)
    assert y[kept][SEED[kept] == 3].mean() - y[kept][SEED[kept] != 3].mean() > 100
    assert np.isnan(found.lower).all()  # nothing is left to judge by


def test_an_odd_seed_is_found_and_no_other() -> None:
    y = np.random.default_rng(2).normal(size=96) + 3.0 * P + np.where(SEED == 6, 2.0, 0.0)
    found = effects.level_effects(y, FACTORS, "seed")
    assert found.levels[int(np.argmin(found.adjusted))] == 6
    assert (found.adjusted <= 0.05).tolist() == [one == 6 for one in range(8)]
    assert found.lower[6] < 2.0 < found.upper[6]
    assert found.f_p < 0.01
    assert (found.adjusted >= found.p - 1e-12).all()


def test_intervals_hold_and_the_null_flags_no_more_than_it_says() -> None:
    rng = np.random.default_rng(0)
    held, flagged, small = [], [], []
    for _ in range(100):
        found = effects.level_effects(rng.standard_t(5, size=96) + P, FACTORS, "seed")
        held.append((found.lower <= 0) & (found.upper >= 0))
        flagged.append(bool((found.adjusted <= 0.05).any()))
        small.append(found.f_p <= 0.2)
    assert 0.92 <= np.mean(held) <= 0.975
    assert np.mean(flagged) <= 0.12
    assert 0.08 <= np.mean(small) <= 0.32


def test_levels_that_share_nothing_are_set_apart() -> None:
    """Seed 999 was run at p = 101 only, where no other seed was."""
    p, seed = np.append(P, [101, 101]), np.append(SEED, [999, 999])
    y = np.random.default_rng(0).normal(size=98)
    found = effects.level_effects(y, {"p": p, "seed": seed}, "seed")
    assert found.apart == [999]
    assert np.isnan(found.difference[-1])
    assert np.isnan(found.runs[-2:]).all()
    same = effects.level_effects(y[:-2], {"p": P, "seed": SEED}, "seed")
    assert found.difference[:-1] == pytest.approx(same.difference)
    with pytest.raises(BadParameter, match="No two values of seed"):
        effects.level_effects(np.arange(3.0), {"p": np.arange(3), "seed": np.arange(3)}, "seed")
    with pytest.raises(BadParameter, match="no factor 'lr'"):
        effects.level_effects(y, {"p": p, "seed": seed}, "lr")
    with pytest.raises(BadParameter, match="not finite"):
        effects.level_effects(np.append(y[:-1], np.nan), {"p": p, "seed": seed}, "seed")


def test_variance_components_are_those_of_the_analysis_of_variance() -> None:
    y = np.random.default_rng(0).normal(size=96) + 2.0 * P + 0.5 * SEED
    found = variance_components(y, FACTORS)
    cells = y.reshape(4, 8, 3)
    squares = {
        name: (96 / n) * ((cells.mean(axis=rest) - y.mean()) ** 2).sum()
        for name, n, rest in (("p", 4, (1, 2)), ("seed", 8, (0, 2)), ("data_seed", 3, (0, 1)))
    }
    rest = (((y - y.mean()) ** 2).sum() - sum(squares.values())) / 83
    for place, (name, n) in enumerate((("p", 4), ("seed", 8), ("data_seed", 3))):
        assert found.sources[place] == name
        assert found.variance[place] == pytest.approx((squares[name] / (n - 1) - rest) / (96 / n))
    assert found.variance[-1] == pytest.approx(rest)
    assert found.sources[-1] == REST
    assert np.nansum(found.share) == pytest.approx(1)


def test_variance_components_are_unbiased_and_their_intervals_hold() -> None:
    rng = np.random.default_rng(0)
    kept = rng.random(96) < 0.8  # an unbalanced design
    truth = {"p": 1.0, "seed": 0.5, "data_seed": 0.0}
    found, held = [], []
    for _ in range(250):
        y = rng.normal(size=96)
        for name, variance in truth.items():
            y = y + np.sqrt(variance) * rng.normal(size=8)[FACTORS[name]]
        one = variance_components(y[kept], {name: codes[kept] for name, codes in FACTORS.items()})
        found.append(one.variance)
        share = np.array([1.0, 0.5, 0.0, 1.0]) / 2.5
        held.append((one.lower <= share + 1e-12) & (share <= one.upper + 1e-12))
    assert np.mean(found, axis=0) == pytest.approx([1.0, 0.5, 0.0, 1.0], abs=0.15)
    assert (np.mean(held, axis=0)[[0, 1, 3]] >= 0.90).all()


def test_factors_that_cannot_be_told_have_no_share() -> None:
    y = np.random.default_rng(0).normal(size=96)
    found = variance_components(y, {"p": P, "again": P, "seed": SEED})
    assert np.isnan(found.share[:2]).all()
    assert np.isfinite(found.share[2:]).all()
    assert np.isnan(variance_components(y[:8], {"seed": np.arange(8)}).share).all()


# --- families --------------------------------------------------------------------------------------------


def test_the_ratio_of_spreads_has_the_interval_of_fisher() -> None:
    rng = np.random.default_rng(0)
    seeds, twins = rng.normal(0, 3, 20), rng.normal(0, 1, 16)
    group, own = np.repeat([0, 1], 10), np.repeat([0, 1], 8)
    found = families.spread_ratio(seeds + 50 * group, group, twins - 9 * own, own)
    variance = sum(seeds[group == one].var(ddof=1) for one in (0, 1)) / 2
    within = sum(twins[own == one].var(ddof=1) for one in (0, 1)) / 2
    assert found.between.sd == pytest.approx(np.sqrt(variance))
    assert found.ratio == pytest.approx(np.sqrt(variance / within))
    assert found.lower == pytest.approx(np.sqrt(variance / within / stats.f.ppf(0.975, 18, 14)))
    assert found.lower < 3 < found.upper
    assert found.p < 0.01


def test_spreads_that_are_equal_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(3)
    group, own = np.repeat([0, 1, 2], 6), np.repeat([0, 1], 7)
    found = [families.spread_ratio(rng.normal(size=18), group, rng.normal(size=14), own) for _ in range(120)]
    assert sum(one.p <= 0.05 for one in found) <= 13
    assert 0.9 <= np.mean([one.lower <= 1 <= one.upper for one in found]) <= 0.99


def test_a_spread_needs_two_runs_of_a_kind() -> None:
    found = families.spread_ratio(np.arange(3.0), np.arange(3), np.arange(4.0), np.zeros(4))
    assert np.isnan(found.ratio)
    assert found.between.df == 0


def test_a_fork_is_judged_by_the_replicates() -> None:
    alike = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = families.outside(9.0, alike)
    assert found.t == pytest.approx(6 / (np.sqrt(2.5) * np.sqrt(1.2)))
    assert found.p == pytest.approx(2 * stats.t.sf(found.t, 4))
    assert np.isnan(families.outside(9.0, alike[:2]).t)


# --- anomalies -------------------------------------------------------------------------------------------

NO_P = np.full(60, np.nan)
ALL = np.ones(60, bool)


def cohort(rng: np.random.Generator, n: int = 60, metrics: int = 48, common: int = 6) -> np.ndarray:
    """Metrics that go together in clusters."""
    return rng.normal(size=(n, common)) @ rng.normal(size=(common, metrics)) + 0.7 * rng.normal(
        size=(n, metrics)
    )


def z_of(values: np.ndarray) -> np.ndarray:
    n = len(values)
    found = [deviations.deviation(one, np.ones(n, bool), np.full(n, np.nan)) for one in values.T]
    return np.stack([one.z for one in found if one is not None], axis=1)


def test_a_robust_z_is_a_z_for_normal_metrics_and_ignores_the_odd_one() -> None:
    y = np.random.default_rng(0).normal(50, 3, 2001)
    found = deviations.deviation(y, np.ones(2001, bool), np.full(2001, np.nan))
    assert found is not None
    assert found.z == pytest.approx((y - 50) / 3, abs=0.25)
    moved = y.copy()
    moved[0] = 1e6
    again = deviations.deviation(moved, np.ones(2001, bool), np.full(2001, np.nan))
    assert again is not None
    assert again.z[1:] == pytest.approx(found.z[1:], abs=0.05)
    assert again.z[0] > 1e4


def test_a_robust_z_has_no_unit() -> None:
    y = np.random.default_rng(0).normal(size=60)
    ratios = 10 ** (2 * y)
    plain, moved, scaled, taller = (
        deviations.deviation(one, ALL, NO_P) for one in (y, 4 - 3 * y, ratios, 1e-9 * ratios)
    )
    assert plain is not None
    assert moved is not None
    assert scaled is not None
    assert taller is not None
    assert moved.z == pytest.approx(-plain.z)
    assert scaled.logarithmic
    assert scaled.z == pytest.approx(plain.z)
    assert taller.z == pytest.approx(scaled.z)


def test_a_metric_that_grows_with_p_is_judged_at_its_p() -> None:
    rng = np.random.default_rng(0)
    p = np.append(np.repeat([97.0, 103, 109, 127], 14), [101.0, 113, 101, 113])
    y = 0.5 * p + rng.normal(0, 0.5, 60)
    y[3] = 0.5 * 120  # usual of 120, not of 97
    y[56] = 0.5 * 101 + 6  # of a p with two runs only: judged by the line
    found = deviations.deviation(y, ALL, p)
    assert found is not None
    assert found.adjusted == "p"
    assert set(np.flatnonzero(np.abs(found.z) > 5)) == {3, 56}
    assert found.usual[57] == pytest.approx(56.5, abs=0.5)
    plain = deviations.deviation(y, ALL, NO_P)
    assert plain is not None
    assert np.abs(plain.z).max() < 3
    beside, of_its_p = deviations.peers(y, ALL, p, 3, "p")
    assert of_its_p
    assert sorted(beside) == pytest.approx(sorted(np.delete(y[:14], 3)))
    assert len(deviations.peers(y, ALL, p, 56, "p")[0]) == 59


def test_what_one_run_in_ten_does_is_not_far_out_and_what_one_does_is() -> None:
    shared, alone = np.zeros(60), np.zeros(60)
    shared[:6], alone[0] = 0.2, 0.2
    first, second = (deviations.deviation(one, ALL, NO_P) for one in (shared, alone))
    assert first is not None
    assert second is not None
    assert first.z.max() < 3
    assert second.z[0] > 10
    whole = np.zeros(60)
    whole[0] = 1.0
    counted = deviations.deviation(whole, ALL, NO_P)
    assert counted is not None
    assert counted.z[0] == 2.0
    assert deviations.deviation(np.ones(60), ALL, NO_P) is None
    assert deviations.deviation(np.append(np.arange(7.0), np.full(53, np.nan)), ALL, NO_P) is None


def test_a_time_known_as_an_interval_is_not_told_closer() -> None:
    """All but one at 300, known to within 100 epochs: 200 is the neighbouring interval, no anomaly."""
    times = np.full(60, 300.0)
    times[0] = 200
    sharp, blurred = deviations.deviation(times, ALL, NO_P), deviations.deviation(times, ALL, NO_P, 100.0)
    assert sharp is not None
    assert blurred is not None
    assert sharp.z[0] < -100
    assert blurred.z[0] == pytest.approx(-np.sqrt(12))


def test_metrics_that_say_the_same_count_once() -> None:
    z = np.random.default_rng(0).normal(size=(60, 5))
    copied = np.concatenate([z, z[:, :1].repeat(7, axis=1)], axis=1)
    weight = anomalies.weights(copied)
    assert 0.8 < weight[[0, *range(5, 12)]].sum() < 1.0
    assert (weight[1:5] > 0.5).all()
    doubled = anomalies.scores(np.concatenate([z, z], axis=1), ALL)
    assert doubled.score == pytest.approx(anomalies.scores(z, ALL).score)


@pytest.mark.parametrize("seed", range(4))
def test_a_planted_anomaly_is_found_first(seed: int) -> None:
    """Once far out in a single metric, once moderately in many: the run comes first, and is flagged."""
    rng = np.random.default_rng(seed)
    z = z_of(rng.normal(size=(60, 48)))
    one, many = z.copy(), z.copy()
    one[17, 5] = 25.0
    many[17, ::4] = 3.5 * np.sign(many[17, ::4])
    for planted in (one, many):
        found = anomalies.scores(planted, ALL)
        assert int(np.argmax(found.score)) == 17
        assert found.flagged[17]
        order = rng.permutation(60)
        again = anomalies.scores(planted[order], ALL)
        assert again.score == pytest.approx(found.score[order])


def test_null_cohorts_flag_no_more_than_the_stated_rate() -> None:
    """Normal metrics, in clusters and apart; heavy tails; and the runs of each metric permuted."""
    rng = np.random.default_rng(0)
    flagged = []
    for _ in range(25):
        together = cohort(rng)
        heavy = rng.standard_t(3, size=(60, 48))
        shuffled = rng.permuted(together * np.exp(rng.normal(size=48)), axis=0)
        flagged += [anomalies.scores(z_of(one), ALL).flagged.any() for one in (together, heavy, shuffled)]
    assert np.mean(flagged) <= 0.08  # 0.05, and two standard errors would be 0.10


def test_replicates_are_judged_by_the_roots_and_do_not_move_them() -> None:
    rng = np.random.default_rng(1)
    z = z_of(cohort(rng))
    alone = anomalies.scores(z, ALL)
    twins = np.concatenate([z, z[:1].repeat(40, axis=0)])
    reference = np.append(ALL, np.zeros(40, bool))
    together = anomalies.scores(twins, reference)
    assert together.score[:60] == pytest.approx(alone.score)
    assert np.ptp(together.score[60:]) == 0


def test_a_run_is_scored_by_the_metrics_it_has() -> None:
    z = z_of(cohort(np.random.default_rng(2)))
    holes = z.copy()
    holes[4, ::2] = np.nan
    holes[5] = np.nan
    found = anomalies.scores(holes, ALL)
    assert np.isfinite(found.score[4])
    assert np.isnan(found.score[5])
    assert not found.flagged[5]
    assert 1 < found.typical[0] < found.typical[1]


def test_decades_are_spanned_by_the_bulk_not_by_one_run() -> None:
    values = np.append(np.linspace(1, 2, 59), 1e6)
    assert not spans_decades(values)
    assert spans_decades(values, tail=0.0)
    assert not spans_decades(np.append(np.logspace(0, 3, 59), -1.0))
