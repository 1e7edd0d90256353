//! The ping `metrics`, once a day: at a start that finds it missing, or else at four o'clock in the morning.

use super::Machine;
use crate::common_metric_data::Lifetime;
use crate::error_recording::METRICS_PING;
use crate::machine::op::Moment;
use crate::store::Value;
use crate::time::{LocalDatetime, TimeUnit};

/// Bookkeeping entries: when it was due last, and for which build of the application.
const LAST_TIME: &str = "mps.last_sent_time";
const LAST_BUILD: &str = "mps.last_sent_build";
/// The hour of the day at which it is due.
///
/// cbindgen:ignore
pub const METRICS_HOUR: u8 = 4;
/// Two days.
const MAX_AHEAD_MS: i64 = 48 * 3_600_000;

impl Machine<'_> {
    /// Submits it at a start, if the application is a new one, or if it should have come today already.
    pub(crate) fn start_metrics_schedule(&mut self, moment: &Moment) {
        if !self.has_metrics_schedule() {
            return;
        }
        let build = Value::String(self.context.settings.app_build.clone());
        if self.state.internal(Lifetime::User, LAST_BUILD) != Some(&build) {
            self.submit_scheduled_metrics("upgrade", moment);
        } else if !self.was_sent(moment) && moment.local.hour() >= METRICS_HOUR {
            self.submit_scheduled_metrics("overdue", moment);
        }
    }

    /// Submits it because it is four o'clock, unless another process has done so.
    pub(crate) fn metrics_ping_due(&mut self, moment: &Moment) {
        if !self.has_metrics_schedule() || self.was_sent(moment) {
            return;
        }
        let start = &self.context.start;
        let reason = match self.last_metrics_time() {
            Some(last) if last.unix_ms() >= start.unix_ms => "reschedule",
            Some(last) if last.is_same_day(&start.local) => "tomorrow",
            _ => "today",
        };
        self.submit_scheduled_metrics(reason, moment);
    }

    fn has_metrics_schedule(&self) -> bool {
        self.context.settings.schedule_metrics_ping && self.context.collection_enabled
    }

    fn last_metrics_time(&self) -> Option<&LocalDatetime> {
        match self.state.internal(Lifetime::User, LAST_TIME) {
            Some(Value::Datetime(time, _)) => Some(time),
            _ => None,
        }
    }

    /// Tells whether it was submitted on this day, or after it: what another process called may be folded later. A time far
    /// ahead is that of a clock that was wrong.
    fn was_sent(&self, moment: &Moment) -> bool {
        self.last_metrics_time().is_some_and(|last| {
            let ahead_ms = last.unix_ms().saturating_sub(moment.unix_ms);
            last.is_same_day(&moment.local) || (0..MAX_AHEAD_MS).contains(&ahead_ms)
        })
    }

    /// There may be nothing to send: then it was due all the same.
    fn submit_scheduled_metrics(&mut self, reason: &str, moment: &Moment) {
        let build = self.context.settings.app_build.clone();
        self.submit(METRICS_PING, Some(reason), moment);
        self.state.set_internal(
            Lifetime::User,
            LAST_TIME,
            Value::Datetime(moment.local.clone(), TimeUnit::Millisecond),
        );
        self.state.set_internal(Lifetime::User, LAST_BUILD, Value::String(build));
    }
}
