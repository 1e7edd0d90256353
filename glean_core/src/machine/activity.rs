//! The user begins and stops using the application.

use super::Machine;
use crate::common_metric_data::Lifetime;
use crate::error_recording::ErrorType;
use crate::events::EVENTS_PING;
use crate::store::{Address, Value};
use crate::time::Moment;
use crate::time::TimeUnit;

/// Bookkeeping entry: set while the application is used, so that a start finds out that the last run ended uncleanly.
pub(crate) const DIRTY: &str = "dirtybit";
const BASELINE_PING: &str = "baseline";
const DURATION: &str = "glean.baseline.duration";

impl Machine<'_> {
    pub(crate) fn client_active(&mut self, moment: &Moment) {
        self.activate_session(moment);
        self.submit(BASELINE_PING, Some("active"), moment);
        self.state.set_internal(Lifetime::User, DIRTY, Value::Boolean(true));
        if self.context.is_client_active {
            self.duration_error("the application is used already");
        }
        self.context.is_client_active = true;
    }

    /// `nanos` is how long the application was used, if it was.
    pub(crate) fn client_inactive(&mut self, moment: &Moment, nanos: Option<u64>) {
        self.context.is_client_active = false;
        match nanos {
            Some(nanos) => self.set_duration(nanos),
            None => self.duration_error("the application was not used"),
        }
        self.deactivate_session(moment);
        self.submit(BASELINE_PING, Some("inactive"), moment);
        self.submit(EVENTS_PING, Some("inactive"), moment);
        self.state.set_internal(Lifetime::User, DIRTY, Value::Boolean(false));
    }

    fn set_duration(&mut self, nanos: u64) {
        if !self.context.is_store_enabled(BASELINE_PING) {
            return;
        }
        let address = Address::plain(Lifetime::Ping, DURATION);
        if self.state.get(BASELINE_PING, address).is_some() {
            return self.duration_error("a duration is stored already and stays");
        }
        self.state.set(BASELINE_PING, address, Value::Timespan(nanos, TimeUnit::Second));
    }

    fn duration_error(&mut self, why: &str) {
        self.record_error(DURATION, &[BASELINE_PING.to_owned()], ErrorType::InvalidState, 1, why);
    }
}
