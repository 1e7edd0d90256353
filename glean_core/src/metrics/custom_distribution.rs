//! Custom distributions: histograms of plain numbers, with buckets the owner of the metric chose.

use super::Kind;
use super::memory_distribution::record_all;
use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::histogram::{Buckets, Histogram};
use crate::store::Value;

/// Adds samples. Negative ones are left out and counted as [`ErrorType::InvalidValue`].
pub(super) fn accumulate(scope: &mut Scope<'_>, samples: &[i64]) {
    let known = scope.known();
    let Kind::CustomDistribution { range_min, range_max, bucket_count, histogram_type } = &known.definition.kind else {
        return;
    };
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let buckets = known
        .buckets
        .get_or_init(|| Buckets::new(*histogram_type, number(*range_min), number(*range_max), number(*bucket_count)));
    let positive: Vec<u64> = samples.iter().filter_map(|sample| u64::try_from(*sample).ok()).collect();
    let negative = samples.len() - positive.len();
    record_all(scope, || Value::CustomDistribution(Histogram::default()), &positive, |sample| buckets.bucket(sample));
    if negative > 0 {
        let count = u32::try_from(negative).unwrap_or(u32::MAX);
        scope.record_error(ErrorType::InvalidValue, count, &format!("{negative} negative samples"));
    }
}
