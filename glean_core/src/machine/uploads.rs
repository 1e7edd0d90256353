//! What uploads tell, in the core's own metrics.

use super::Machine;
use super::startup::METRICS_AND_HEALTH;
use crate::upload::observation::Observation;

impl Machine<'_> {
    /// Counts what uploads tell.
    pub(crate) fn observe_upload(&mut self, observation: Observation) {
        let amount = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
        match observation {
            Observation::Sent { ms } => self.add_duration("glean.upload.send_success", ms.saturating_mul(1_000_000)),
            Observation::Failed { failure, ms } => {
                self.count("glean.upload.ping_upload_failure", Some(failure.label()), &METRICS_AND_HEALTH, 1);
                self.add_duration("glean.upload.send_failure", ms.saturating_mul(1_000_000));
            }
            Observation::TooLarge { bytes } => {
                self.add_size("glean.upload.discarded_exceeding_pings_size", bytes / 1024 * 1024);
            }
            Observation::Trimmed { by_count, by_size } => {
                let total = by_count.saturating_add(by_size);
                let removed = "glean.upload.deleted_pings_after_quota_hit";
                self.count(removed, None, &METRICS_AND_HEALTH, amount(total.into()));
                for (label, count) in [("count_quota", by_count), ("size_quota", by_size)] {
                    self.count("glean.upload.pending_pings_deleted", Some(label), &["health"], amount(count.into()));
                }
            }
            Observation::Found { pings, bytes } => {
                self.count("glean.upload.pending_pings", None, &METRICS_AND_HEALTH, amount(pings));
                self.add_size("glean.upload.pending_pings_directory_size", bytes / 1024 * 1024);
            }
            Observation::UnknownId => self.count("glean.upload.missing_send_ids", None, &METRICS_AND_HEALTH, 1),
        }
    }
}
