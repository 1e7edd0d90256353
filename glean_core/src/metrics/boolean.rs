//! Booleans.

use super::Metric;
use crate::common_metric_data::{CommonMetricData, MetricMeta};
use crate::glean::Glean;
use crate::storage::Value;

/// Holds true or false; the last value wins.
#[derive(Debug)]
pub struct BooleanMetric {
    meta: MetricMeta,
}

impl BooleanMetric {
    /// Makes a boolean metric.
    pub fn new(common: CommonMetricData) -> BooleanMetric {
        BooleanMetric { meta: common.into() }
    }

    /// Stores `value`.
    pub fn set(&self, glean: &mut Glean, value: bool) {
        if self.should_record() {
            super::update(glean, &self.meta, |_| Some(Value::Boolean(value)));
        }
    }

    /// Returns the stored value.
    pub fn test_get_value(&self, glean: &Glean, ping_name: Option<&str>) -> Option<bool> {
        match self.stored(glean, ping_name)? {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl Metric for BooleanMetric {
    fn meta(&self) -> &MetricMeta {
        &self.meta
    }
}
