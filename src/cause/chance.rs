//! How likely a coincidence is. Ages that agree, and ages that are round, prove a timer only where
//! as many would hardly have come about by chance.

use std::time::Duration;

/// Probability that at least `seen` come where `expected` do on average (Poisson).
pub fn at_least(expected: f64, seen: usize) -> f64 {
    let mut term = (-expected).exp();
    let mut below = 0.0;
    for count in 0..seen {
        below += term;
        term *= expected / (count as f64 + 1.0);
        // Behind the top the terms only fall: what is left of them moves no digit.
        if count as f64 > expected && term < NOTHING {
            break;
        }
    }
    (1.0 - below).max(0.0)
}

/// A probability that adds nothing to any other.
const NOTHING: f64 = 1e-18;

/// Probability that of `others`, spread over the ages around `age` as evenly as they are, at least
/// `alike` lie within `width` of it. One more than those that are there is taken as spread: that
/// none was seen does not say that none could be.
pub fn of_agreeing(age: Duration, width: Duration, others: usize, alike: usize) -> f64 {
    let around = age.as_secs_f64() * (AROUND.1 - AROUND.0);
    let share = (width.as_secs_f64() * 2.0 / around.max(1e-9)).min(1.0);
    at_least((others.saturating_sub(alike) as f64 + 1.0) * share, alike)
}

/// Ages from half of one to one and a half of it are around it.
pub const AROUND: (f64, f64) = (0.5, 1.5);

/// Whether `other` is around `age`.
pub fn is_around(age: Duration, other: Duration) -> bool {
    other >= age.mul_f64(AROUND.0) && other <= age.mul_f64(AROUND.1)
}

/// The round value that a person would have configured and that `measured` may be: timers fire a
/// little late, never early. Of random spans one in five to ten has one.
pub fn round_value(measured: Duration) -> Option<Duration> {
    let millis = measured.as_secs_f64() * 1e3;
    let step = match millis {
        m if m < 95.0 => 10.0,
        m if m < 190.0 => 25.0,
        m if m < 990.0 => 50.0,
        m if m < 1_990.0 => 100.0,
        m if m < 19_900.0 => 500.0,
        m if m < 59_900.0 => 1_000.0,
        _ => 5_000.0,
    };
    let nearest = ((millis - step * 0.02) / step).round() * step;
    let late = millis - nearest;
    let punctual = late >= -(1.0 + 0.004 * nearest).min(20.0)
        && late <= (1.0 + step * 0.02 + 0.002 * nearest).min(60.0);
    // Whole tenths of a second are met by busy programs, too.
    let tenth = (millis / 100.0).floor() * 100.0;
    let busy = (200.0..1_000.0).contains(&tenth) && millis - tenth <= 10.0;
    let found = match nearest > 0.0 && punctual {
        true => Some(nearest),
        false if busy => Some(tenth),
        false => popular(millis, 0.008),
    };
    found.map(|millis| Duration::from_secs_f64(millis / 1e3))
}

/// A value that hardly anything but a setting has: multiples of 0.25 s below 2 s, of 0.5 s below
/// 20 s, of 5 s beyond, met closely, or one of the values that most people take.
pub fn is_setting(measured: Duration) -> bool {
    let millis = measured.as_secs_f64() * 1e3;
    let step = match millis {
        m if m < 1_990.0 => 250.0,
        m if m < 19_900.0 => 500.0,
        _ => 5_000.0,
    };
    let nearest = (millis / step).round() * step;
    let late = millis - nearest;
    let punctual =
        late >= -(2.0 + 0.001 * nearest).min(10.0) && late <= (4.0 + 0.003 * nearest).min(45.0);
    (nearest > 0.0 && punctual) || popular(millis, 0.006).is_some()
}

/// A span of a setting's length that is long enough for a timer of connections and requests.
pub fn is_timer(span: Duration) -> bool {
    span >= Duration::from_secs(1) && is_setting(span)
}

/// One of the values that most people take, in milliseconds, met up to this share and a second
/// late, as by timers that look only now and then.
fn popular(millis: f64, late: f64) -> Option<f64> {
    const SECONDS: [f64; 27] = [
        1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0,
        45.0, 60.0, 75.0, 90.0, 120.0, 180.0, 240.0, 300.0, 600.0, 1800.0, 3600.0,
    ];
    let by = |value: f64| {
        (millis - value) >= 0.0 && millis - value <= (late * value).clamp(20.0, 1_000.0)
    };
    SECONDS.iter().map(|seconds| seconds * 1e3).find(|value| by(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_values() {
        let round = |millis: f64| round_value(Duration::from_secs_f64(millis / 1e3));
        assert_eq!(round(4_004.0), Some(Duration::from_secs(4)));
        assert_eq!(round(600.4), Some(Duration::from_millis(600)));
        assert_eq!(round(75_300.0), Some(Duration::from_secs(75)));
        for odd in [316.0, 1_685.0, 2_151.0, 7_180.0, 3_770.0, 13_250.0, 72.5] {
            assert_eq!(round(odd), None, "{odd}");
        }
    }

    /// Of spans that nobody set, few look set: otherwise roundness would prove nothing.
    #[test]
    fn few_random_spans_are_round() {
        for (from, to) in [(0.1, 2.0), (1.0, 20.0), (20.0, 60.0), (60.0, 300.0), (300.0, 1000.0)] {
            let spans = (0..10_000).map(|n| from + (to - from) * f64::from(n) / 10_000.0);
            let spans = spans.map(Duration::from_secs_f64);
            let (mut round, mut set) = (0, 0);
            for span in spans {
                round += u32::from(round_value(span).is_some());
                set += u32::from(is_setting(span));
            }
            assert!(round <= 2_000 && set <= 1_000, "{from} to {to} s: {round} and {set}");
        }
    }

    #[test]
    fn coincidences() {
        let of = |millis: u64, others, alike| {
            let age = Duration::from_millis(millis);
            of_agreeing(age, age.mul_f64(0.01) + Duration::from_millis(10), others, alike)
        };
        // Two and three that are alone agree for a reason.
        assert!(of(5_000, 1, 1) < 0.06 && of(5_000, 2, 2) < 0.002);
        // One in a crowd of strangers has such a neighbour anyway.
        assert!(of(5_000, 30, 1) > 0.5);
        assert!((at_least(1.0, 0) - 1.0).abs() < 1e-9 && at_least(0.5, 3) < 0.02);
    }
}
