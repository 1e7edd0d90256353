//! Timing distributions: histograms of durations, in nanoseconds, eight buckets for each power of two.

use super::memory_distribution::record_all;
use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::histogram::{Histogram, functional_bucket};
use crate::store::Value;
use crate::time::TimeUnit;

const LOG_BASE: f64 = 2.0;
const BUCKETS_PER_MAGNITUDE: f64 = 8.0;
/// The largest sample, in units of the metric; larger ones are cut.
const MAX_UNITS: u64 = 600_000_000_000;

pub(crate) fn empty() -> Value {
    Value::TimingDistribution(Histogram::default())
}

/// Returns the lower end of the bucket a duration belongs to.
pub(crate) fn bucket(nanos: u64) -> u64 {
    functional_bucket(nanos, LOG_BASE, BUCKETS_PER_MAGNITUDE)
}

/// Adds a measured duration: at least one unit, at most [`MAX_UNITS`].
pub(super) fn add(scope: &mut Scope<'_>, nanos: u64, unit: TimeUnit) {
    let max = unit.to_nanos(MAX_UNITS);
    let nanos = if nanos > max {
        scope.record_error(ErrorType::InvalidOverflow, 1, "a duration was cut to the largest one");
        max
    } else {
        nanos.max(unit.to_nanos(1))
    };
    record_all(scope, empty, &[nanos], bucket);
}

/// Adds durations in the unit of the metric. Negative ones are counted as [`ErrorType::InvalidValue`] and left out,
/// too large ones as [`ErrorType::InvalidOverflow`] and cut.
pub(super) fn accumulate(scope: &mut Scope<'_>, samples: &[i64], unit: TimeUnit) {
    let mut negative = 0;
    let mut large = 0;
    let mut nanos = Vec::with_capacity(samples.len());
    for sample in samples {
        match u64::try_from(*sample) {
            Err(_) => negative += 1,
            Ok(units) => {
                large += u32::from(units > MAX_UNITS);
                nanos.push(unit.to_nanos(units.clamp(1, MAX_UNITS)));
            }
        }
    }
    record_all(scope, empty, &nanos, bucket);
    if negative > 0 {
        scope.record_error(ErrorType::InvalidValue, negative, &format!("{negative} negative durations"));
    }
    if large > 0 {
        scope.record_error(
            ErrorType::InvalidOverflow,
            large,
            &format!("{large} durations were cut to the largest one"),
        );
    }
}
