//! Counters.

use super::Metric;
use crate::common_metric_data::{CommonMetricData, MetricMeta};
use crate::error_recording::{ErrorType, record_error};
use crate::glean::Glean;
use crate::storage::Value;

/// Counts how often something happens.
#[derive(Debug)]
pub struct CounterMetric {
    meta: MetricMeta,
}

impl CounterMetric {
    /// Makes a counter.
    pub fn new(common: CommonMetricData) -> CounterMetric {
        CounterMetric { meta: common.into() }
    }

    /// Adds `amount`; the sum saturates at `i32::MAX`.
    ///
    /// Zero changes nothing. A negative `amount` changes nothing and is recorded as [`ErrorType::InvalidValue`].
    pub fn add(&self, glean: &mut Glean, amount: i32) {
        if !self.should_record() || amount == 0 {
            return;
        }
        if amount < 0 {
            let why = format!("cannot add {amount}: a counter only grows");
            return record_error(glean, &self.meta, ErrorType::InvalidValue, &why);
        }
        super::update(glean, &self.meta, |old| Some(Value::add_to_counter(old, amount)));
    }

    /// Returns the stored count.
    pub fn test_get_value(&self, glean: &Glean, ping_name: Option<&str>) -> Option<i32> {
        match self.stored(glean, ping_name)? {
            Value::Counter(count) => Some(*count),
            _ => None,
        }
    }
}

impl Metric for CounterMetric {
    fn meta(&self) -> &MetricMeta {
        &self.meta
    }
}
