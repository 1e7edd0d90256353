//! Submitting pings: reasons, schedules, and the files that come out.

use serde_json::json;
use uuid::Uuid;

use super::Machine;
use super::collection::DELETION_REQUEST_PING;
use crate::common_metric_data::Lifetime;
use crate::error_recording::METRICS_PING;
use crate::events::EVENTS_PING;
use crate::logging::log_at;
use crate::ping::{self, DELETION_REQUESTS, PENDING, PingDefinition};
use crate::store::Value;
use crate::store::base::Effect;
use crate::time::Moment;

/// Ends the bookkeeping entry of a submitted ping.
pub(crate) const SUBMITTED: &str = "#submitted";
const BUILT_IN_PINGS: [&str; 5] = ["baseline", METRICS_PING, EVENTS_PING, "health", DELETION_REQUEST_PING];

impl Machine<'_> {
    /// Submits a ping, then the pings it schedules; returns whether the first one was made.
    ///
    /// A reason the ping doesn't list is logged and left out.
    pub(crate) fn submit(&mut self, name: &str, reason: Option<&str>, moment: &Moment) -> bool {
        self.submit_scheduled(name, reason, moment, &mut Vec::new())
    }

    fn submit_scheduled(
        &mut self,
        name: &str,
        reason: Option<&str>,
        moment: &Moment,
        scheduled_by: &mut Vec<String>,
    ) -> bool {
        let Some(ping) = self.context.pings.get(name).map(|ping| ping.definition.clone()) else {
            log_at!(Error, "ping {name}: not registered, so it cannot be submitted");
            return false;
        };
        if name == "health" && reason == Some("pre_init") {
            self.set_directory_info();
        }
        let is_made = self.context.is_ping_enabled(name) && self.submit_enabled(&ping, reason, moment);
        scheduled_by.push(ping.name);
        for scheduled in &ping.schedules_pings {
            // Two pings may schedule each other.
            if !scheduled_by.contains(scheduled) {
                self.submit_scheduled(scheduled, reason, moment, scheduled_by);
            }
        }
        scheduled_by.pop();
        is_made
    }

    fn submit_enabled(&mut self, ping: &PingDefinition, reason: Option<&str>, moment: &Moment) -> bool {
        let name = &ping.name;
        let reason = reason.filter(|reason| {
            let is_known = ping.reason_codes.iter().any(|code| code == reason);
            if !is_known {
                log_at!(Error, "ping {name}: reason {reason:?} isn't one of its reason codes and is left out");
            }
            is_known
        });
        if name == EVENTS_PING {
            super::events::note_collected(self);
        }
        if self.context.collection_enabled && self.client_id().is_none() {
            // The database was removed under a process that lives.
            if let Ok(client_id) = super::client_id::read_file(self.data_dir) {
                self.set_client_id(client_id);
            }
        }
        let document_id = Uuid::new_v4().hyphenated().to_string();
        let application = crate::text::sanitize_application_id(&self.context.settings.application_id);
        // Path, body and metadata, a line each, one behind the other in what becomes the file.
        let mut content = format!("/submit/{application}/{name}/1/{document_id}\n").into_bytes();
        let body_start = content.len();
        let assembled = ping::assemble(self.state, ping, reason, moment, &self.context.start, &mut content);
        for (error, why) in &assembled.errors {
            self.record_error(ping::RESTARTED, std::slice::from_ref(name), *error, 1, why);
        }
        if !assembled.is_made {
            log_at!(Debug, "ping {name}: nothing to send");
            return false;
        }
        let body_end = content.len();
        content.push(b'\n');
        serde_json::to_writer(&mut content, &self.metadata(ping)).expect("memory is the only limit of a Vec");
        let content = String::from_utf8(content).expect("JSON is text");
        let folder = if name == DELETION_REQUEST_PING { DELETION_REQUESTS } else { PENDING };
        *self.context.submissions.entry(name.clone()).or_default() += 1;
        if self.context.stores_submitted_pings {
            self.list_submitted(&document_id, name, moment, &content[body_start..body_end]);
        }
        let folder = folder.to_owned();
        self.outgoing.push(Effect::Publish { document_id: document_id.clone(), folder, content });
        if BUILT_IN_PINGS.contains(&name.as_str()) {
            let pings = [METRICS_PING, "baseline", "health"];
            self.count("glean.validation.pings_submitted", Some(name), &pings, 1);
        }
        log_at!(Info, "ping {name}: submitted as {document_id}");
        true
    }

    /// Returns the third line of a ping file.
    fn metadata(&self, ping: &PingDefinition) -> serde_json::Value {
        let mut headers = serde_json::Map::new();
        if let Some(tag) = &self.context.tags.view_tag {
            headers.insert("X-Debug-ID".into(), tag.as_str().into());
        }
        if let Some(tags) = &self.context.tags.source_tags {
            headers.insert("X-Source-Tags".into(), tags.join(",").into());
        }
        json!({
            "headers": headers,
            "body_has_info_sections": ping.include_info_sections,
            "ping_name": ping.name,
            "uploader_capabilities": ping.uploader_capabilities,
        })
    }

    fn list_submitted(&mut self, document_id: &str, name: &str, moment: &Moment, payload: &str) {
        let submitted = json!({
            "document_id": document_id,
            "ping": name,
            "submitted_date": moment.local.to_rfc3339_ms(),
            "payload": payload,
        });
        self.state.set_internal(
            Lifetime::Application,
            &format!("{document_id}{SUBMITTED}"),
            Value::Object(submitted.to_string()),
        );
    }
}
