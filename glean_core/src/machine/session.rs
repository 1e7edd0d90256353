//! Sessions: stretches of activity with an id, of which a share is sampled.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::context::SessionMode;
use super::{Keep, Machine, events};
use crate::common_metric_data::Lifetime;
use crate::error_recording::METRICS_PING;
use crate::events::EVENTS_PING;
use crate::sort;
use crate::store::{INTERNAL_STORE, SessionMetadata, Value};
use crate::time::Moment;

const SEQUENCE: &str = "session#seq";
const EVENT_SEQUENCE: &str = "session#event_seq";
const ID: &str = "session#id";
const INACTIVE_SINCE: &str = "session#inactive_since";
const START_TIME: &str = "session#start_time";
const SAMPLE_RATE: &str = "session#sample_rate";

impl Machine<'_> {
    /// Tells whether a session is active whose in-session metrics are left out.
    pub(crate) fn is_session_left_out(&self) -> bool {
        self.active_session().is_some_and(|id| !is_sampled(id, self.sample_rate()))
    }

    /// Returns the id of the session that is active: while the user is away there is none, even if it may be resumed.
    fn active_session(&self) -> Option<&str> {
        if self.text(INACTIVE_SINCE).is_some() { None } else { self.text(ID) }
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.state.internal(Lifetime::User, key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> i64 {
        match self.state.internal(Lifetime::User, key) {
            Some(Value::Quantity(number)) => *number,
            _ => 0,
        }
    }

    /// Returns the rate the active session was sampled with.
    fn sample_rate(&self) -> f64 {
        self.text(SAMPLE_RATE).and_then(|text| text.parse().ok()).unwrap_or(1.0)
    }

    /// Returns what an in-session event carries, and counts that event.
    pub(crate) fn next_session_metadata(&mut self) -> Option<SessionMetadata> {
        let session_id = self.active_session()?.to_owned();
        let event_seq = self.number(EVENT_SEQUENCE);
        self.state.set_internal(Lifetime::User, EVENT_SEQUENCE, Value::Quantity(event_seq.saturating_add(1)));
        Some(SessionMetadata {
            session_id,
            session_seq: self.number(SEQUENCE),
            event_seq,
            session_sample_rate: self.sample_rate(),
            session_start_time: self.text(START_TIME).map(str::to_owned),
        })
    }

    pub(crate) fn start_session_by_hand(&mut self, moment: &Moment) {
        if self.context.settings.session_mode == SessionMode::Manual {
            self.start_session(moment);
        }
    }

    pub(crate) fn end_session_by_hand(&mut self, reason: Option<&str>, moment: &Moment) {
        if self.context.settings.session_mode == SessionMode::Manual {
            self.end_session(reason, moment);
        }
    }

    pub(crate) fn activate_session(&mut self, moment: &Moment) {
        match self.context.settings.session_mode {
            SessionMode::Manual => (),
            SessionMode::Lifecycle => {
                if self.text(ID).is_none() {
                    self.start_session(moment);
                }
            }
            SessionMode::Auto => self.resume_session(moment),
        }
    }

    fn resume_session(&mut self, moment: &Moment) {
        if self.text(ID).is_none() {
            return self.start_session(moment);
        }
        let Some(since) = self.text(INACTIVE_SINCE).and_then(|text| text.parse::<i64>().ok()) else { return };
        let timeout_ms = i64::try_from(self.context.settings.session_inactivity_timeout_ms).unwrap_or(i64::MAX);
        let inactive_ms = moment.unix_ms.saturating_sub(since);
        if timeout_ms == 0 || inactive_ms < timeout_ms {
            self.state.remove(INTERNAL_STORE, Lifetime::User, INACTIVE_SINCE);
        } else {
            self.end_session(Some("timeout"), moment);
            self.start_session(moment);
        }
    }

    pub(crate) fn deactivate_session(&mut self, moment: &Moment) {
        match self.context.settings.session_mode {
            SessionMode::Manual => (),
            SessionMode::Lifecycle => self.end_session(Some("inactive"), moment),
            SessionMode::Auto => {
                if self.text(ID).is_some() {
                    let since = moment.unix_ms.to_string();
                    self.state.set_internal(Lifetime::User, INACTIVE_SINCE, Value::String(since));
                }
            }
        }
    }

    /// Ends a stored session that this mode doesn't go on with.
    pub(crate) fn restore_session_mode(&mut self, moment: &Moment) {
        if self.context.settings.session_mode != SessionMode::Auto && self.text(ID).is_some() {
            self.end_session_by(Some("abandoned"), moment, events::store);
        }
    }

    /// Forgets the session of a run that ended while the user was there: how long the pause was, nobody knows.
    pub(crate) fn forget_session_without_pause(&mut self) {
        if self.text(INACTIVE_SINCE).is_none() {
            self.forget_session();
        }
    }

    fn forget_session(&mut self) {
        for key in [ID, INACTIVE_SINCE, START_TIME, SAMPLE_RATE] {
            self.state.remove(INTERNAL_STORE, Lifetime::User, key);
        }
    }

    /// Ends the session of a run that ended uncleanly.
    pub(crate) fn recover_session(&mut self, moment: &Moment) {
        let reason = if self.text(INACTIVE_SINCE).is_some() { "abnormal_inactive" } else { "abnormal" };
        self.end_session_by(Some(reason), moment, events::store);
    }

    fn start_session(&mut self, moment: &Moment) {
        if self.text(ID).is_some() {
            self.end_session(Some("replaced"), moment);
        }
        if !self.context.collection_enabled {
            return;
        }
        let sequence = self.number(SEQUENCE).saturating_add(1);
        let id = Uuid::new_v4().hyphenated().to_string();
        let configured = self.context.settings.session_sample_rate;
        let rate = self.context.knobs.session_sample_rate.unwrap_or(configured);
        let rate = if rate.is_nan() { 1.0 } else { rate.clamp(0.0, 1.0) };
        let start_time = moment.local.to_rfc3339_ms();
        self.state.set_internal(Lifetime::User, SEQUENCE, Value::Quantity(sequence));
        self.state.set_internal(Lifetime::User, EVENT_SEQUENCE, Value::Quantity(0));
        self.state.set_internal(Lifetime::User, ID, Value::String(id.clone()));
        self.state.set_internal(Lifetime::User, START_TIME, Value::String(start_time.clone()));
        self.state.set_internal(Lifetime::User, SAMPLE_RATE, Value::String(rate.to_string()));
        self.state.remove(INTERNAL_STORE, Lifetime::User, INACTIVE_SINCE);
        self.count("glean.sessions_seen", None, &[METRICS_PING], 1);
        let extra = sort::collect([
            ("session_id".to_owned(), id.clone()),
            ("session_seq".to_owned(), sequence.to_string()),
            ("session_start_time".to_owned(), start_time),
            ("sampled_in".to_owned(), is_sampled(&id, rate).to_string()),
        ]);
        self.record_own_event("session_start", &[EVENTS_PING.to_owned()], moment, extra, events::record);
    }

    fn end_session(&mut self, reason: Option<&str>, moment: &Moment) {
        self.end_session_by(reason, moment, events::record);
    }

    fn end_session_by(&mut self, reason: Option<&str>, moment: &Moment, keep: Keep) {
        let Some(id) = self.text(ID).map(str::to_owned) else { return };
        let mut extra: BTreeMap<_, _> = sort::collect([
            ("session_id".to_owned(), id),
            ("session_seq".to_owned(), self.number(SEQUENCE).to_string()),
        ]);
        if let Some(reason) = reason {
            extra.insert("reason".to_owned(), reason.to_owned());
        }
        self.forget_session();
        self.record_own_event("session_end", &[EVENTS_PING.to_owned()], moment, extra, keep);
    }
}

/// Decides by the id alone, so that every process comes to the same end.
fn is_sampled(id: &str, rate: f64) -> bool {
    let Ok(uuid) = Uuid::parse_str(id) else { return true };
    let (first, _) = uuid.as_u64_pair();
    (first as f64) / 18_446_744_073_709_551_616.0 < rate
}
