//! How clocks of captures differ, and what events say of it together.

/// How the clock of a capture differs from another's: the first one's, or that of a hop's front.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct ClockOffset {
    /// Index of the capture.
    pub capture: usize,
    /// What is to be added to its times.
    pub seconds: f64,
    /// Events in both captures that agree on it.
    pub events: usize,
    /// Whether it was added to the times before anything was judged.
    #[serde(skip)]
    pub is_applied: bool,
}

/// What most of `values` (nanoseconds) say: their median and how far from it one may lie to agree,
/// by how they scatter. Nothing where there are none.
pub fn middle(values: impl Iterator<Item = i64> + Clone) -> Option<(i64, i64)> {
    let middle = median(values.clone())?;
    let scatter = median(values.map(|value| value.saturating_sub(middle).saturating_abs()))?;
    Some((middle, scatter.saturating_mul(SCATTERED).clamp(CLOCKS_APART, AGREE)))
}

/// The median, the upper one of two.
pub fn median(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// Clocks of two captures may differ by so many nanoseconds although nothing shows it.
pub const CLOCKS_APART: i64 = 20_000_000;
/// Fewer events than this that agree are a guess, which is not told.
pub const EVENTS_TOLD: usize = 3;
/// Events farther from the median than so many times what half of them are at most are others.
const SCATTERED: i64 = 5;
/// What lies farther apart does not agree: nobody holds a packet or a request back so long.
const AGREE: i64 = 1_000_000_000;
