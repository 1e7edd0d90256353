//! Histograms: what distributions store, and the rules that sort samples into buckets.
//!
//! A bucket is named by its smallest sample. Functional histograms compute the bucket of a sample
//! ([`functional_bucket`]); custom distributions look it up among precomputed bounds ([`Buckets`]).
//!
//! Logarithms and powers come from the `libm` crate. The standard library asks the C library of the platform, and those
//! differ: with the one of MinGW bucket 2 of a timing distribution began at 1.99… and so was bucket 1, and on
//! 32-bit Windows it even computes on the x87 unit, whose precision is a mode of the thread that other code, the Python
//! interpreter for one, may change. The arithmetic around them needs no care: the i686 targets of Rust require SSE2, so
//! `f64` is 64 bits wide there like everywhere. Up to 7 · 10^14 the results equal those of glibc, which was compared for
//! the samples around every bound.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most bounds that one [`Buckets`] keeps in memory (512 KiB); metric definitions allow 100.
pub(crate) const MAX_BUCKET_COUNT: u64 = 65_536;

/// The contents of a distribution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Sum of all samples; saturates.
    pub sum: u64,
    /// Number of samples; saturates.
    pub count: u64,
    /// Number of samples of each bucket that has some; saturates.
    pub values: BTreeMap<u64, u64>,
}

impl Histogram {
    /// Returns a histogram without samples.
    pub fn new() -> Histogram {
        Histogram::default()
    }

    /// Counts one sample in the given bucket.
    pub fn record(&mut self, bucket: u64, sample: u64) {
        self.sum = self.sum.saturating_add(sample);
        self.count = self.count.saturating_add(1);
        let samples = self.values.entry(bucket).or_insert(0);
        *samples = samples.saturating_add(1);
    }
}

/// Returns the bucket of a sample in a histogram whose bounds grow exponentially without end.
///
/// Each multiplication by `log_base` passes `buckets_per_magnitude` buckets: 2 and 8 in timing distributions, 2 and 16 in
/// memory distributions. Rounding is part of the definition: 4096 lies in bucket 4095 of a memory distribution.
/// Parameters that make no growing sequence (a base up to 1, no buckets) give an unspecified bucket.
pub fn functional_bucket(sample: u64, log_base: f64, buckets_per_magnitude: f64) -> u64 {
    if sample == 0 {
        return 0;
    }
    // Conversions from `f64` cut the fraction off and saturate; what isn't a number becomes 0.
    let exponent = libm::pow(log_base, 1.0 / buckets_per_magnitude);
    let index = (libm::log(sample.saturating_add(1) as f64) / libm::log(exponent)) as u64;
    libm::pow(exponent, index as f64) as u64
}

/// How the bounds of a custom distribution are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistogramType {
    /// At equal distances.
    Linear,
    /// At distances that grow by the same factor.
    Exponential,
}

/// The bounds of a custom distribution: 0, then ascending from `min` to `max`.
///
/// Every combination of numbers gives usable bounds:
/// - a `min` of 0 counts as 1, and a `max` below `min` as `min`;
/// - a `count` up to 2 gives the two bounds 0 and `min`, one above [`MAX_BUCKET_COUNT`] counts as that;
/// - where there are fewer integers than bounds, equal linear bounds are one, and exponential ones go on past `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Strictly ascending; the first one is 0.
    bounds: Vec<u64>,
}

impl Buckets {
    /// Computes the bounds of a distribution of the given type.
    pub fn new(kind: HistogramType, min: u64, max: u64, count: u64) -> Buckets {
        match kind {
            HistogramType::Linear => Buckets::linear(min, max, count),
            HistogramType::Exponential => Buckets::exponential(min, max, count),
        }
    }

    /// Computes `count` bounds at equal distances, rounded down.
    pub fn linear(min: u64, max: u64, count: u64) -> Buckets {
        let (min, max, count) = clamp_parameters(min, max, count);
        let mut bounds = vec![0, min];
        for i in 2..count {
            // Both products stay below 2^81: a bound is 64 bits wide, a count 17.
            let weighted = u128::from(min) * u128::from(count - 1 - i) + u128::from(max) * u128::from(i - 1);
            let bound = weighted / u128::from(count - 2);
            bounds.push(u64::try_from(bound).expect("the mean of two bounds is between them"));
        }
        bounds.dedup();
        Buckets { bounds }
    }

    /// Computes `count` bounds whose logarithms are at equal distances, rounded, and at least 1 apart.
    pub fn exponential(min: u64, max: u64, count: u64) -> Buckets {
        let (min, max, count) = clamp_parameters(min, max, count);
        let log_max = libm::log(max as f64);
        let mut current = min;
        let mut bounds = vec![0, current];
        for i in 2..count {
            let log_current = libm::log(current as f64);
            let log_next = log_current + (log_max - log_current) / (count - i) as f64;
            let next = libm::exp(log_next).round() as u64;
            current = next.max(current.saturating_add(1));
            bounds.push(current);
        }
        bounds.dedup();
        Buckets { bounds }
    }

    /// Returns the bucket of a sample: the greatest bound that isn't above it.
    pub fn bucket(&self, sample: u64) -> u64 {
        let above = self.bounds.partition_point(|bound| *bound <= sample);
        self.bounds[above - 1] // The first bound is 0, which is above no sample.
    }

    /// Returns the bounds, ascending.
    pub fn bounds(&self) -> &[u64] {
        &self.bounds
    }
}

/// Returns `(min, max, count)` with `1 <= min <= max` and `2 <= count <= MAX_BUCKET_COUNT`.
fn clamp_parameters(min: u64, max: u64, count: u64) -> (u64, u64, u64) {
    let min = min.max(1);
    (min, max.max(min), count.clamp(2, MAX_BUCKET_COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(sample: u64) -> u64 {
        functional_bucket(sample, 2.0, 8.0)
    }

    fn memory(sample: u64) -> u64 {
        functional_bucket(sample, 2.0, 16.0)
    }

    #[test]
    fn timing_samples_fall_into_the_specified_buckets() {
        let cases = [
            (0, 0),
            (1, 1),
            (7, 7),
            (8, 8),
            (50, 49),
            (99, 98),
            (777, 724),
            (4096, 4096),
            (65535, 60096),
            (1_000_000, 961_548),
            (123_456_789, 123_078_199),
            (600_000_000_000, 599_512_966_122),
        ];
        for (sample, bucket) in cases {
            assert_eq!(timing(sample), bucket, "{sample}");
        }
    }

    #[test]
    fn memory_samples_fall_into_the_specified_buckets() {
        let cases = [
            (0, 0),
            (50, 49),
            (777, 756),
            (4096, 4095),
            (65535, 65535),
            (1_000_000, 961_548),
            (1 << 40, 1_099_511_627_775),
        ];
        for (sample, bucket) in cases {
            assert_eq!(memory(sample), bucket, "{sample}");
        }
    }

    /// Recorded by glean-sdk 71 on Linux: 2^e - 1, 2^e and 2^e + 1 for each e.
    #[test]
    fn samples_around_powers_of_two_fall_where_the_reference_puts_them() {
        for e in 6..40_u32 {
            let power = 1_u64 << e;
            assert_eq!((memory(power - 1), memory(power), memory(power + 1)), (power - 1, power - 1, power - 1), "{e}");
            assert_eq!((timing(power), timing(power + 1)), (power, power), "{e}");
        }
        let below = [
            (6, 58),
            (7, 117),
            (8, 234),
            (9, 469),
            (10, 939),
            (16, 60096),
            (20, 961_548),
            (27, 123_078_199),
            (33, 7_877_004_751),
            (39, 504_128_304_110),
        ];
        for (e, bucket) in below {
            assert_eq!(timing((1 << e) - 1), bucket, "{e}");
        }
    }

    #[test]
    fn the_bounds_that_differ_between_c_libraries_are_the_same_everywhere() {
        assert_eq!(functional_bucket(5_840_446_135_085_676, 2.0, 8.0), 5_840_446_135_085_676);
        assert_eq!(functional_bucket(796_131_459_065_670, 2.0, 16.0), 796_131_459_065_670);
    }

    #[test]
    fn no_sample_and_no_parameter_panics() {
        for sample in [0, 1, u64::MAX - 1, u64::MAX] {
            for base in [f64::NAN, f64::NEG_INFINITY, -2.0, 0.0, 1.0, 1e-300, 2.0, f64::MAX, f64::INFINITY] {
                for buckets in [f64::NAN, -8.0, 0.0, 1e-300, 8.0, f64::MAX, f64::INFINITY] {
                    functional_bucket(sample, base, buckets);
                }
            }
        }
        assert!(timing(u64::MAX) > 1 << 63);
    }

    #[test]
    fn linear_bounds_are_as_specified() {
        assert_eq!(Buckets::linear(3, 77, 9).bounds(), [0, 3, 13, 24, 34, 45, 55, 66, 77]);
        assert_eq!(Buckets::linear(0, 100, 10).bounds(), [0, 1, 13, 25, 38, 50, 62, 75, 87, 100]);
    }

    #[test]
    fn exponential_bounds_are_as_specified() {
        let expected = [0, 3, 6, 11, 20, 37, 68, 124, 226, 412, 751, 1370, 2500];
        assert_eq!(Buckets::exponential(3, 2500, 13).bounds(), expected);
    }

    /// Recorded by glean-sdk 71 on Linux.
    #[test]
    fn exponential_bounds_are_those_of_the_reference() {
        let bounds = Buckets::exponential(1, 60_000, 100);
        let expected: [u64; 69] = [
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19, 21, 23, 25, 28, 31, 34, 38, 42, 46, 51, 56,
            62, 68, 75, 83, 92, 101, 111, 122, 135, 149, 164, 181, 200, 221, 244, 269, 297, 328, 362, 399, 440, 485,
            535, 590, 651, 718, 792, 874, 964, 1064, 1174, 1295, 1429, 1577, 1740, 1920, 2118, 2337, 2579, 2846,
        ];
        assert_eq!(bounds.bounds()[..69], expected);
        for sample_and_bucket in [(4096, 3822), (8192, 7609), (16384, 15144), (32768, 30144), (65536, 60000)] {
            assert_eq!(bounds.bucket(sample_and_bucket.0), sample_and_bucket.1);
        }
        // Above, the last digit of some bounds depends on the C library of the reference.
        let wide = Buckets::exponential(1, 1 << 62, 50);
        let expected = [
            0,
            1,
            2,
            5,
            12,
            30,
            74,
            182,
            447,
            1099,
            2701,
            6639,
            16318,
            40109,
            98586,
            242_319,
            595_608,
            1_463_974,
            3_598_372,
            8_844_611,
            21_739_594,
            53_434_793,
            131_339_945,
            322_826_762,
            793_491_411,
            1_950_360_668,
            4_793_885_205,
            11_783_120_803,
            28_962_298_830,
            71_187_826_004,
            174_975_978_286,
            430_081_865_056,
            1_057_118_882_614,
            2_598_343_298_742,
            6_386_592_850_770,
            15_697_913_459_416,
            38_584_655_815_284,
            94_839_079_616_083,
            233_109_531_039_611,
            572_971_117_829_072,
        ];
        assert_eq!(wide.bounds()[..40], expected);
    }

    #[test]
    fn samples_fall_into_the_greatest_bound_below_them() {
        let buckets = Buckets::new(HistogramType::Linear, 3, 77, 9);
        for (sample, bucket) in [(0, 0), (2, 0), (3, 3), (12, 3), (13, 13), (76, 66), (77, 77), (u64::MAX, 77)] {
            assert_eq!(buckets.bucket(sample), bucket, "{sample}");
        }
        assert_eq!(Buckets::new(HistogramType::Exponential, 3, 2500, 13).bucket(2499), 1370);
    }

    #[test]
    fn two_buckets_or_fewer_are_zero_and_the_minimum() {
        for count in 0..=2 {
            assert_eq!(Buckets::linear(5, 100, count).bounds(), [0, 5]);
            assert_eq!(Buckets::exponential(5, 100, count).bounds(), [0, 5]);
        }
        assert_eq!(Buckets::linear(0, 0, 0).bounds(), [0, 1]);
    }

    #[test]
    fn a_maximum_below_the_minimum_counts_as_the_minimum() {
        assert_eq!(Buckets::linear(50, 20, 10).bounds(), [0, 50]);
        assert_eq!(Buckets::exponential(50, 20, 10).bounds(), [0, 50, 51, 52, 53, 54, 55, 56, 57, 58]);
    }

    #[test]
    fn more_buckets_than_integers_stay_ascending() {
        assert_eq!(Buckets::linear(1, 3, 10).bounds(), [0, 1, 2, 3]);
        assert_eq!(Buckets::exponential(1, 3, 10).bounds(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn absurd_parameters_end_soon_and_stay_small() {
        for kind in [HistogramType::Linear, HistogramType::Exponential] {
            for min in [0, 1, u64::MAX - 1, u64::MAX] {
                for max in [0, 1, 1 << 53, u64::MAX] {
                    for count in [0, 3, u64::MAX] {
                        let buckets = Buckets::new(kind, min, max, count);
                        assert!(buckets.bounds().len() as u64 <= MAX_BUCKET_COUNT);
                        assert!(buckets.bounds().windows(2).all(|pair| pair[0] < pair[1]));
                        assert_eq!(buckets.bucket(0), 0);
                        buckets.bucket(u64::MAX);
                    }
                }
            }
        }
    }

    #[test]
    fn recording_adds_up_and_saturates() {
        let mut histogram = Histogram::new();
        for sample in [1, 50, 50] {
            histogram.record(timing(sample), sample);
        }
        assert_eq!((histogram.sum, histogram.count), (101, 3));
        assert_eq!(histogram.values, BTreeMap::from([(1, 1), (49, 2)]));
        histogram.record(7, u64::MAX);
        assert_eq!(histogram.sum, u64::MAX);
        let mut full = Histogram { sum: 0, count: u64::MAX, values: BTreeMap::from([(1, u64::MAX)]) };
        full.record(1, 1);
        assert_eq!(full, Histogram { sum: 1, count: u64::MAX, values: BTreeMap::from([(1, u64::MAX)]) });
    }

    #[test]
    fn histograms_survive_storage() {
        let histogram = Histogram { sum: 3, count: 2, values: BTreeMap::from([(1, 1), (2, 1)]) };
        let stored = serde_json::to_string(&histogram).unwrap();
        assert_eq!(serde_json::from_str::<Histogram>(&stored).unwrap(), histogram);
    }
}
