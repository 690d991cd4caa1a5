//! What small numbers can tell: intervals of a share, and whether two shares differ.

/// Where a share lies with 95 % confidence, given `hits` of `all` (Wilson 1927). All of 0 to 1
/// where there is nothing.
pub fn interval(hits: u64, all: u64) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (all as f64, hits.min(all) as f64 / all as f64);
    let square = Z * Z;
    let middle = share + square / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
    let scale = 1.0 + square / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// Probability of two shares at least as unlikely as `a` of `all_a` and `b` of `all_b` where both
/// are samples of one (Fisher's exact test, two-sided).
pub fn by_chance(a: u64, all_a: u64, b: u64, all_b: u64) -> f64 {
    let (a, b) = (a.min(all_a), b.min(all_b));
    let hits = a.saturating_add(b);
    let least = hits.saturating_sub(all_b);
    let most = hits.min(all_a);
    let all = log_choose(all_a.saturating_add(all_b), hits);
    let log = |x: u64| log_choose(all_a, x) + log_choose(all_b, hits.saturating_sub(x)) - all;
    // Rounding must not tell equally likely tables apart.
    let seen = log(a) + 1e-7;
    let tables = (least..=most).map(log).filter(|log| *log <= seen);
    tables.map(f64::exp).sum::<f64>().min(1.0)
}

/// Logarithm of the number of ways to choose `k` of `n`.
fn log_choose(n: u64, k: u64) -> f64 {
    let log_factorial = |n: u64| libm::lgamma(n as f64 + 1.0);
    log_factorial(n) - log_factorial(k) - log_factorial(n.saturating_sub(k))
}

/// Standard deviations that hold 95 % of a normal distribution.
const Z: f64 = 1.959_964;

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-4, "{found} instead of {wanted}");
    }

    #[test]
    fn intervals_are_those_of_the_literature() {
        // Newcombe 1998, table I, method 3.
        let (low, high) = interval(81, 263);
        near(low, 0.2553);
        near(high, 0.3662);
        let (low, high) = interval(0, 20);
        near(low, 0.0);
        near(high, 0.1611);
        assert_eq!(interval(0, 0), (0.0, 1.0));
    }

    #[test]
    fn fishers_tea_is_no_proof() {
        // Fisher 1935: three of four cups; 0.4857 two-sided. R: fisher.test agrees with the others.
        near(by_chance(3, 4, 1, 4), 0.4857);
        near(by_chance(1, 10, 11, 12), 0.000_379);
        near(by_chance(1, 2, 0, 2), 1.0);
        assert!(by_chance(72, 165, 52, 60) < 1e-8);
        near(by_chance(0, 0, 5, 9), 1.0);
        assert!(by_chance(1_000, 1_000_000, 2_000, 1_000_000) < 1e-50);
    }
}
