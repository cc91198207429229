//! How long requests took.

use std::time::Duration;

/// Latencies of many requests.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Takes latencies in any order.
    pub(crate) fn new(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self(latencies)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest one that `percent` % of the requests do not exceed (nearest rank); 0 when there are none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let of = |latencies: &[u64], percent| {
            let latencies = latencies.iter().copied().map(Duration::from_millis).collect();
            Latencies::new(latencies).percentile(percent).as_millis()
        };
        assert_eq!([of(&[3, 1, 2], 50), of(&[3, 1, 2], 99), of(&[3, 1, 2], 0)], [2, 3, 1]);
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!([of(&hundred, 50), of(&hundred, 99), of(&hundred, 100)], [50, 99, 100]);
        assert_eq!([of(&[7], 1), of(&[7], 99), of(&[], 50)], [7, 7, 0]);
    }
}
