//! UUIDs.

use uuid::Uuid;

use super::Metric;
use crate::common_metric_data::{CommonMetricData, MetricMeta};
use crate::error_recording::{ErrorType, record_error};
use crate::glean::Glean;
use crate::storage::Value;

/// Holds a UUID; the last value wins.
#[derive(Debug)]
pub struct UuidMetric {
    meta: MetricMeta,
}

impl UuidMetric {
    /// Makes a UUID metric.
    pub fn new(common: CommonMetricData) -> UuidMetric {
        UuidMetric { meta: common.into() }
    }

    /// Stores a UUID given as text: hyphenated, 32 digits, in braces or with `urn:uuid:`, in any case.
    ///
    /// Anything else changes nothing and is recorded as [`ErrorType::InvalidValue`].
    pub fn set(&self, glean: &mut Glean, text: &str) {
        if !self.should_record() {
            return;
        }
        match Uuid::try_parse(text) {
            Ok(uuid) => super::update(glean, &self.meta, |_| Some(Value::Uuid(uuid))),
            Err(error) => {
                record_error(glean, &self.meta, ErrorType::InvalidValue, &format!("not a UUID: {error}"));
            }
        }
    }

    /// Returns the stored UUID.
    pub fn test_get_value(&self, glean: &Glean, ping_name: Option<&str>) -> Option<Uuid> {
        match self.stored(glean, ping_name)? {
            Value::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }
}

impl Metric for UuidMetric {
    fn meta(&self) -> &MetricMeta {
        &self.meta
    }
}
