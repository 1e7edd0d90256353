//! Memory distributions: histograms of sizes, in bytes, sixteen buckets for each power of two.

use super::MemoryUnit;
use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::histogram::{Histogram, functional_bucket};
use crate::store::Value;

const LOG_BASE: f64 = 2.0;
const BUCKETS_PER_MAGNITUDE: f64 = 16.0;
/// The largest size: 1 TiB; larger ones are cut.
const MAX_BYTES: u64 = 1 << 40;

pub(crate) fn empty() -> Value {
    Value::MemoryDistribution(Histogram::default())
}

/// Adds one size in the unit of the metric. Of a negative one nothing is left but the [`ErrorType::InvalidValue`].
pub(super) fn add(scope: &mut Scope<'_>, sample: i64, unit: MemoryUnit) {
    if sample < 0 {
        return scope.record_error(ErrorType::InvalidValue, 1, "a negative size");
    }
    accumulate(scope, &[sample], unit);
}

/// Adds sizes in the unit of the metric. Negative ones are left out, too large ones are cut; both are counted as
/// [`ErrorType::InvalidValue`].
pub(super) fn accumulate(scope: &mut Scope<'_>, samples: &[i64], unit: MemoryUnit) {
    let mut negative = 0;
    let mut large = 0;
    let mut sizes = Vec::with_capacity(samples.len());
    for sample in samples {
        match u64::try_from(*sample) {
            Err(_) => negative += 1,
            Ok(amount) => {
                let size = unit.to_bytes(amount);
                large += u32::from(size > MAX_BYTES);
                sizes.push(size.min(MAX_BYTES));
            }
        }
    }
    record_all(scope, empty, &sizes, bucket);
    if negative > 0 {
        scope.record_error(ErrorType::InvalidValue, negative, &format!("{negative} negative sizes"));
    }
    if large > 0 {
        scope.record_error(ErrorType::InvalidValue, large, &format!("{large} sizes were cut to 1 TiB"));
    }
}

/// Returns the lower end of the bucket a size belongs to.
pub(crate) fn bucket(size: u64) -> u64 {
    functional_bucket(size, LOG_BASE, BUCKETS_PER_MAGNITUDE)
}

/// Adds samples to the histogram, which is made even if there are none.
pub(super) fn record_all(
    scope: &mut Scope<'_>,
    empty: impl Fn() -> Value,
    samples: &[u64],
    bucket: impl Fn(u64) -> u64,
) {
    let buckets: Vec<(u64, u64)> = samples.iter().map(|sample| (bucket(*sample), *sample)).collect();
    scope.change(&empty, |value| {
        if value.section() != empty().section() {
            *value = empty();
        }
        if let Value::TimingDistribution(histogram)
        | Value::MemoryDistribution(histogram)
        | Value::CustomDistribution(histogram) = value
        {
            for (bucket, sample) in &buckets {
                histogram.record(*bucket, *sample);
            }
        }
    });
}
