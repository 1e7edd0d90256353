//! What a start does, in the order that pings of the former run depend on.

use super::op::{Facts, Start};
use super::{Machine, activity, events};
use crate::common_metric_data::Lifetime;
use crate::error_recording::METRICS_PING;
use crate::metrics::{self, memory_distribution};
use crate::ping::EXPERIMENTATION_ID;
use crate::store::{ALL_PINGS_STORE, Address, CLIENT_INFO_STORE, INTERNAL_STORE, Value};
use crate::text::truncate;
use crate::time::{LocalDatetime, TimeUnit};
use crate::upload::request::operating_system;

pub(crate) const METRICS_AND_HEALTH: [&str; 2] = [METRICS_PING, "health"];
/// Bookkeeping entry: how large the database was before this start.
const DATABASE_BYTES: &str = "database#bytes";
/// Bookkeeping entry: what the directory looked like before this start.
const DIRECTORY_INFO: &str = "health#directory_info";

impl Machine<'_> {
    pub(crate) fn start(&mut self, start: Start) {
        let moment = &start.moment;
        let was_empty = self.state.is_empty();
        let is_first_run = !self.has_first_run_date();
        self.restore_session_mode(moment);
        self.recover_client_id(was_empty);
        self.set_configured_experimentation_id(true);
        self.start_collection(moment);
        self.ensure_first_run_date(moment);
        self.set_client_info("os", operating_system());
        if self.context.collection_enabled {
            self.note_database_size(start.database_bytes);
        }
        self.tell_damage();
        let init_count = Address::plain(Lifetime::User, "glean.health.init_count");
        if self.context.is_store_enabled("health") {
            self.state.add("health", init_count, 1);
        }
        let was_dirty =
            start.is_alone && self.state.internal(Lifetime::User, activity::DIRTY) == Some(&Value::Boolean(true));
        if start.is_alone {
            self.state.set_internal(Lifetime::User, activity::DIRTY, Value::Boolean(false));
        }
        if was_dirty {
            self.recover_session(moment);
        } else if start.is_alone {
            self.forget_session_without_pause();
        }
        for (name, enabled) in &start.switched_pings {
            self.set_ping_enabled(name, *enabled);
        }
        for (facts, (is_cleared, fields)) in
            [(Facts::Attribution, &start.attribution), (Facts::Distribution, &start.distribution)]
        {
            if *is_cleared {
                self.clear_facts(facts);
            }
            self.update_facts(facts, fields);
        }
        if is_first_run {
            self.set_application_info();
        }
        if !self.context.collection_enabled {
            self.clear_collected();
        }
        if start.is_alone {
            events::submit_pending(self, moment);
            if !is_first_run && was_dirty {
                self.submit("baseline", Some("dirty_startup"), moment);
            }
        }
        self.start_metrics_schedule(moment);
        // The one of the start doesn't count for the acceleration of later ones.
        events::forget_collected(self);
        if !is_first_run {
            if start.is_alone {
                for store in self.state.store_names() {
                    self.state.clear(&store, Lifetime::Application);
                }
            }
            self.set_client_info("os", operating_system());
            self.set_application_info();
            // It is of application lifetime as well, so the clearing took it.
            self.set_configured_experimentation_id(false);
        }
        // Kept apart until they are due: after the calls from before the start, and when collection is switched on.
        if let Some(info) = start.directory_info {
            self.state.set_internal(Lifetime::Application, DIRECTORY_INFO, Value::Object(info));
        }
        let database_bytes = Value::Quantity(i64::try_from(start.database_bytes).unwrap_or(i64::MAX));
        self.state.set_internal(Lifetime::Application, DATABASE_BYTES, database_bytes);
        if start.dropped_calls > 0 {
            let dropped = i32::try_from(start.dropped_calls).unwrap_or(i32::MAX);
            self.count("glean.error.preinit_tasks_overflow", None, &METRICS_AND_HEALTH, dropped);
        }
    }

    /// Puts into the next pings why something that was stored is missing.
    pub fn tell_damage(&mut self) {
        if let Some(damage) = self.damage.take() {
            let (text, _) = truncate(&damage, metrics::string::MAX_BYTES);
            let text = Value::String(text.to_owned());
            self.set_in_pings("glean.database.load_error", &METRICS_AND_HEALTH, &text);
        }
    }

    fn set_configured_experimentation_id(&mut self, is_first_time: bool) {
        if let Some(id) = self.context.settings.experimentation_id.clone() {
            let (text, is_cut) = truncate(&id, metrics::string::MAX_BYTES);
            if is_cut && is_first_time {
                let error = crate::error_recording::ErrorType::InvalidOverflow;
                self.record_error(EXPERIMENTATION_ID, &[], error, 1, "cut to 255 bytes");
            }
            let address = Address::plain(Lifetime::Application, EXPERIMENTATION_ID);
            self.state.set(ALL_PINGS_STORE, address, Value::String(text.to_owned()));
        }
    }

    /// Sets what a start sets while collection is on.
    pub(crate) fn set_core_values(&mut self) {
        self.set_client_info("os", operating_system());
        self.set_application_info();
        if let Some(Value::Quantity(bytes)) = self.state.internal(Lifetime::Application, DATABASE_BYTES) {
            self.note_database_size(u64::try_from(*bytes).unwrap_or(0));
        }
    }

    /// Sets what the health ping of this start tells about the directory.
    pub(crate) fn set_directory_info(&mut self) {
        if let Some(info) = self.state.internal(Lifetime::Application, DIRECTORY_INFO).cloned() {
            self.state.remove(INTERNAL_STORE, Lifetime::Application, DIRECTORY_INFO);
            self.set_in_pings("glean.health.data_directory_info", &METRICS_AND_HEALTH, &info);
        }
    }

    /// Sets what the application said about itself.
    fn set_application_info(&mut self) {
        let settings = self.context.settings.clone();
        self.set_client_info("app_build", &settings.app_build);
        self.set_client_info("app_display_version", &settings.app_display_version);
        self.set_client_info("architecture", &settings.architecture);
        self.set_client_info("os_version", &settings.os_version);
        if let Some(channel) = &settings.channel {
            self.set_client_info("app_channel", channel);
        }
        if let Some(locale) = &settings.locale {
            self.set_client_info("locale", locale);
        }
        if let Some(number) = settings.windows_build_number {
            let address = Address::plain(Lifetime::Application, "windows_build_number");
            self.state.set(CLIENT_INFO_STORE, address, Value::Quantity(number));
        }
        let address = Address::plain(Lifetime::Application, "build_date");
        let epoch = Value::Datetime(LocalDatetime::epoch(), TimeUnit::Second);
        self.state.set(CLIENT_INFO_STORE, address, epoch);
    }

    pub(crate) fn set_client_info(&mut self, identifier: &str, text: &str) {
        let (text, is_cut) = truncate(text, metrics::string::MAX_BYTES);
        if is_cut {
            let error = crate::error_recording::ErrorType::InvalidOverflow;
            self.record_error(identifier, &[], error, 1, "cut to 255 bytes");
        }
        let address = Address::plain(Lifetime::Application, identifier);
        self.state.set(CLIENT_INFO_STORE, address, Value::String(text.to_owned()));
    }

    fn note_database_size(&mut self, bytes: u64) {
        if bytes > 0 {
            self.add_size("glean.database.size", bytes);
        }
    }

    /// Adds to one of the core's own memory distributions.
    pub(crate) fn add_size(&mut self, identifier: &str, bytes: u64) {
        let bucket = memory_distribution::bucket(bytes);
        for ping in METRICS_AND_HEALTH {
            if self.is_own_metric_enabled(identifier) && self.context.is_store_enabled(ping) {
                let address = Address::plain(Lifetime::Ping, identifier);
                self.state.change(ping, address, memory_distribution::empty, |value| {
                    if let Value::MemoryDistribution(histogram) = value {
                        histogram.record(bucket, bytes);
                    }
                });
            }
        }
    }
}
