//! The metric types. Each one is a [`MetricMeta`] and its recording methods; [`Metric`] is what they share.

pub mod boolean;
pub mod counter;
pub mod string;
pub mod uuid;

pub use boolean::BooleanMetric;
pub use counter::CounterMetric;
pub use string::StringMetric;
pub use uuid::UuidMetric;

use crate::common_metric_data::MetricMeta;
use crate::error_recording::{self, ErrorType};
use crate::glean::Glean;
use crate::storage::{Address, Value};

/// What every metric type has.
pub trait Metric {
    /// Returns the description of the metric.
    fn meta(&self) -> &MetricMeta;

    /// Tells whether recording has any effect now.
    fn should_record(&self) -> bool {
        !self.meta().common.disabled
    }

    /// Returns the stored value in the given ping, or in the first one of `send_in_pings`.
    fn stored<'a>(&self, glean: &'a Glean, ping_name: Option<&str>) -> Option<&'a Value> {
        let meta = self.meta();
        let store = ping_name.or_else(|| meta.common.send_in_pings.first().map(String::as_str))?;
        glean.database().get(store, address(meta))
    }

    /// Returns the number of errors of this kind, as counted in the `metrics` ping.
    fn count_errors(&self, glean: &Glean, error: ErrorType) -> i32 {
        error_recording::count_errors(glean, self.meta(), error)
    }
}

/// Replaces the value of a metric in each of its enabled pings by what `change` makes of it; `None` leaves it alone.
pub(crate) fn update(glean: &mut Glean, meta: &MetricMeta, change: impl FnMut(Option<&Value>) -> Option<Value>) {
    glean.update_stores(&meta.common.send_in_pings, address(meta), change);
}

/// Cuts `text` to at most `limit_bytes` at the boundary of a code point; records one overflow if it had to.
pub(crate) fn truncate(glean: &mut Glean, meta: &MetricMeta, mut text: String, limit_bytes: usize) -> String {
    if text.len() > limit_bytes {
        let why = format!("{} bytes were cut to {limit_bytes}", text.len());
        error_recording::record_error(glean, meta, ErrorType::InvalidOverflow, &why);
        let mut end = limit_bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

fn address(meta: &MetricMeta) -> Address<'_> {
    Address { lifetime: meta.common.lifetime, identifier: &meta.identifier, label: meta.common.label.as_deref() }
}
