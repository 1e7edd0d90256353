//! Strings.

use super::Metric;
use crate::common_metric_data::{CommonMetricData, MetricMeta};
use crate::glean::Glean;
use crate::storage::Value;

/// Longest string, in bytes of UTF-8.
pub(crate) const MAX_BYTES: usize = 255;

/// Holds a short text; the last value wins.
#[derive(Debug)]
pub struct StringMetric {
    meta: MetricMeta,
}

impl StringMetric {
    /// Makes a string metric.
    pub fn new(common: CommonMetricData) -> StringMetric {
        StringMetric { meta: common.into() }
    }

    /// Stores `value`; more than 255 bytes are cut off and recorded as `InvalidOverflow`.
    pub fn set(&self, glean: &mut Glean, value: String) {
        if self.should_record() {
            let value = super::truncate(glean, &self.meta, value, MAX_BYTES);
            super::update(glean, &self.meta, |_| Some(Value::String(value.clone())));
        }
    }

    /// Returns the stored text.
    pub fn test_get_value(&self, glean: &Glean, ping_name: Option<&str>) -> Option<String> {
        match self.stored(glean, ping_name)? {
            Value::String(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl Metric for StringMetric {
    fn meta(&self) -> &MetricMeta {
        &self.meta
    }
}
