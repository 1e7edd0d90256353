//! One data directory in use: which pings exist, whether collection is on, what is stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::common_metric_data::Lifetime;
use crate::error::{Error, Result};
use crate::logging::log_at;
use crate::ping::files::{DELETION_REQUESTS, PENDING, PingFiles};
use crate::ping::{self, EXPERIMENTATION_ID, PingType};
use crate::storage::{ALL_PINGS_STORE, Address, CLIENT_INFO_STORE, Database, Entry, INTERNAL_STORE, Value, journal};
use crate::time::{TimeUnit, Timestamp};

/// Name of the built-in ping that carries all error counts.
pub const METRICS_PING: &str = "metrics";
const DELETION_REQUEST_PING: &str = "deletion-request";
const BUILT_IN_PINGS: [&str; 5] = ["baseline", METRICS_PING, "events", "health", DELETION_REQUEST_PING];

/// Client id that very old releases stored while collection was off. It is never sent.
const PLACEHOLDER_CLIENT_ID: Uuid = Uuid::from_u128(0xc0ff_eec0_ffee_c0ff_eec0_ffee_c0ff_eec0);
const CLIENT_ID: Address<'static> = Address { lifetime: Lifetime::User, identifier: "client_id", label: None };
const FIRST_RUN_DATE: Address<'static> =
    Address { lifetime: Lifetime::User, identifier: "first_run_date", label: None };
/// Ends the bookkeeping entry of a ping that is written and has to be moved to the folder the entry names.
const SUBMITTED: &str = "#submitted";

/// What `initialize` is told.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The directory for everything Glean keeps; created with its parents.
    pub data_dir: PathBuf,
    /// Id of the application, part of the submission path.
    pub application_id: String,
    /// `client_info.app_display_version`.
    pub app_display_version: String,
    /// `client_info.app_build`.
    pub app_build: String,
    /// `client_info.app_channel`; left out if `None`.
    pub channel: Option<String>,
    /// `client_info.architecture`.
    pub architecture: String,
    /// `client_info.os_version`.
    pub os_version: String,
    /// Tag of an experiment that is added to every ping with a client id.
    pub experimentation_id: Option<String>,
    /// Whether anything is recorded and sent.
    pub collection_enabled: bool,
    /// Whether the pings `baseline`, `metrics`, `events` and `health` start enabled.
    pub enable_internal_pings: bool,
}

#[derive(Debug)]
struct RegisteredPing {
    ping: Arc<PingType>,
    enabled: bool,
}

/// One data directory in use.
#[derive(Debug)]
pub struct Glean {
    configuration: Configuration,
    application_id: String,
    database: Database,
    files: PingFiles,
    pings: BTreeMap<String, RegisteredPing>,
    collection_enabled: bool,
    start_time: Timestamp,
}

impl Glean {
    /// Opens the data directory, repairs what an interrupted process left, and makes client id and client info.
    ///
    /// `pings` are registered and `enabled` is applied to them before values of the previous run are cleared.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyApplicationId`]; [`Error::Locked`] and [`Error::Io`] from the database.
    pub fn new(
        configuration: Configuration,
        pings: impl IntoIterator<Item = Arc<PingType>>,
        enabled: impl IntoIterator<Item = (String, bool)>,
    ) -> Result<Glean> {
        let application_id = sanitize_application_id(&configuration.application_id)?;
        let data_dir = &configuration.data_dir;
        fs::create_dir_all(data_dir).map_err(Error::io("create", data_dir))?;
        let (database, _) = Database::open(&data_dir.join("db"))?;
        let mut glean = Glean {
            application_id,
            database,
            files: PingFiles::new(data_dir),
            pings: BTreeMap::new(),
            collection_enabled: configuration.collection_enabled,
            start_time: Timestamp::now(),
            configuration,
        };
        glean.register_built_in_pings();
        glean.finish_interrupted_submissions();
        glean.record_experimentation_id();
        let is_first_run = glean.database.get(CLIENT_INFO_STORE, FIRST_RUN_DATE).is_none();
        glean.start_collection_state();
        for ping in pings {
            glean.register_ping(ping);
        }
        for (name, enabled) in enabled {
            glean.set_ping_enabled(&name, enabled);
        }
        if !glean.collection_enabled {
            glean.clear_metrics();
        }
        if !is_first_run {
            for store in glean.database.store_names() {
                glean.database.clear(&store, Lifetime::Application);
            }
        }
        glean.record_core_values();
        glean.database.commit();
        Ok(glean)
    }

    /// Returns what is stored.
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn database_mut(&mut self) -> &mut Database {
        &mut self.database
    }

    /// Returns when this instance was made.
    pub fn start_time(&self) -> Timestamp {
        self.start_time
    }

    /// Replaces one value in each of the enabled stores by what `change` makes of it, as one write.
    ///
    /// `change` gets the stored value and returns the new one, or `None` to leave it alone.
    pub(crate) fn update_stores<S: AsRef<str>>(
        &mut self,
        stores: &[S],
        address: Address<'_>,
        mut change: impl FnMut(Option<&Value>) -> Option<Value>,
    ) {
        for store in stores {
            let store = store.as_ref();
            if self.is_store_enabled(store) {
                if let Some(value) = change(self.database.get(store, address)) {
                    self.database.set(store, address, value);
                }
            }
        }
        self.database.commit();
    }

    /// Makes a ping known; one of the same name is replaced.
    pub fn register_ping(&mut self, ping: Arc<PingType>) {
        let definition = ping.definition();
        let (name, enabled) = (definition.name.clone(), definition.enabled);
        self.pings.insert(name, RegisteredPing { ping, enabled });
    }

    /// Switches one ping on or off. Off removes all its values and its files that wait for upload.
    pub fn set_ping_enabled(&mut self, name: &str, enabled: bool) {
        let Some(registered) = self.pings.get_mut(name) else {
            return log_at!(Warn, "ping {name}: not registered, so it cannot be switched");
        };
        registered.enabled = enabled;
        if !enabled {
            for lifetime in Lifetime::ALL {
                self.database.clear(name, lifetime);
            }
            self.database.commit();
            self.files.remove_pending(|pending| pending == name);
        }
    }

    /// Tells whether values for this ping are kept and it can be submitted.
    pub fn is_ping_enabled(&self, name: &str) -> bool {
        self.pings.get(name).is_some_and(|registered| {
            let follows = registered.ping.definition().follows_collection_enabled;
            registered.enabled && (self.collection_enabled || !follows)
        })
    }

    /// Switches collection. Off submits a `deletion-request` and removes client id, values and waiting pings.
    pub fn set_collection_enabled(&mut self, enabled: bool) {
        if enabled == self.collection_enabled {
            return;
        }
        if enabled {
            self.collection_enabled = true;
            self.ensure_client_id();
            self.record_core_values();
        } else {
            self.submit_ping(DELETION_REQUEST_PING, Some("set_upload_enabled"));
            self.clear_metrics();
            self.collection_enabled = false;
        }
        self.database.commit();
    }

    /// Submits a ping, then the pings it schedules; returns whether the first one was written.
    ///
    /// A reason the ping doesn't list is logged and left out.
    pub fn submit_ping(&mut self, name: &str, reason: Option<&str>) -> bool {
        let mut waiting = vec![name.to_owned()];
        let mut done: Vec<String> = Vec::new();
        let mut is_submitted = false;
        while let Some(name) = waiting.pop() {
            let Some(ping) = self.pings.get(&name).map(|registered| Arc::clone(&registered.ping)) else {
                log_at!(Error, "ping {name}: not registered, so it cannot be submitted");
                continue;
            };
            let is_written = self.is_ping_enabled(&name) && self.submit_enabled(&ping, reason);
            is_submitted |= is_written && done.is_empty();
            done.push(name);
            for scheduled in ping.definition().schedules_pings.iter().rev() {
                // A ping that was submitted in this round isn't again: two pings may schedule each other.
                if !done.contains(scheduled) && !waiting.contains(scheduled) {
                    waiting.push(scheduled.clone());
                }
            }
        }
        is_submitted
    }

    /// Writes everything to the disk itself; called before the instance is dropped.
    pub fn shutdown(&mut self) {
        self.database.commit();
        self.database.sync();
    }

    /// Collects and writes one ping.
    ///
    /// The file is complete in `tmp/` before one journal frame clears the values and notes that it is to be moved: a
    /// process killed at any point neither loses values nor sends them twice.
    fn submit_enabled(&mut self, ping: &PingType, reason: Option<&str>) -> bool {
        let definition = ping.definition();
        let name = &definition.name;
        let reason = reason.filter(|reason| {
            let is_known = definition.reason_codes.iter().any(|code| code == reason);
            if !is_known {
                log_at!(Error, "ping {name}: reason {reason:?} isn't one of its reason codes and is left out");
            }
            is_known
        });
        let Some(body) = ping::assemble(self, definition, reason) else {
            log_at!(Debug, "ping {name}: nothing to send");
            self.database.clear(name, Lifetime::Ping);
            self.database.commit();
            return false;
        };
        let document_id = Uuid::new_v4().hyphenated().to_string();
        let path = format!("/submit/{}/{name}/1/{document_id}", self.application_id);
        if let Err(error) = self.files.write(&document_id, &path, &body, definition) {
            log_at!(Error, "ping {name}: not written, its values are kept: {error}");
            self.count("glean.error.io", None, &[METRICS_PING, "health"]);
            return false;
        }
        let folder = if name == DELETION_REQUEST_PING { DELETION_REQUESTS } else { PENDING };
        self.database.clear(name, Lifetime::Ping);
        let entry = document_id.clone() + SUBMITTED;
        self.database.set(INTERNAL_STORE, Address::plain(Lifetime::User, &entry), Value::String(folder.to_owned()));
        self.database.commit();
        self.database.sync();
        self.finish_submission(&document_id, folder);
        if BUILT_IN_PINGS.contains(&name.as_str()) {
            self.count("glean.validation.pings_submitted", Some(name), &[METRICS_PING, "baseline", "health"]);
        }
        log_at!(Info, "ping {name}: submitted as {document_id}");
        true
    }

    /// Moves a written ping to its folder and forgets that this had to be done; a failure is tried again at next start.
    fn finish_submission(&mut self, document_id: &str, folder: &str) {
        match self.files.publish(document_id, folder) {
            Ok(()) => {
                let entry = document_id.to_owned() + SUBMITTED;
                self.database.remove(INTERNAL_STORE, Address::plain(Lifetime::User, &entry));
                self.database.commit();
            }
            Err(error) => {
                log_at!(Error, "{error}; this is tried again at the next start");
                self.count("glean.error.io", None, &[METRICS_PING, "health"]);
            }
        }
    }

    fn finish_interrupted_submissions(&mut self) {
        let mut noted = Vec::new();
        for (identifier, entry) in self.database.entries(INTERNAL_STORE, Lifetime::User) {
            if let (Some(document_id), Entry::Plain(Value::String(folder))) =
                (identifier.strip_suffix(SUBMITTED), entry)
            {
                noted.push((document_id.to_owned(), folder.clone()));
            }
        }
        let keep: Vec<String> = noted.iter().map(|(document_id, _)| document_id.clone()).collect();
        self.files.remove_unfinished(&keep);
        for (document_id, folder) in noted {
            self.finish_submission(&document_id, &folder);
        }
    }

    fn register_built_in_pings(&mut self) {
        let internal = self.configuration.enable_internal_pings;
        let definitions: [(&str, bool, &[&str], bool); 5] = [
            ("baseline", true, &["active", "dirty_startup", "inactive"], internal),
            (METRICS_PING, false, &["overdue", "reschedule", "today", "tomorrow", "upgrade"], internal),
            ("events", false, &["inactive", "max_capacity", "startup"], internal),
            ("health", true, &["pre_init"], internal),
            (DELETION_REQUEST_PING, true, &["at_init", "set_upload_enabled"], true),
        ];
        for (name, send_if_empty, reasons, enabled) in definitions {
            self.register_ping(Arc::new(PingType::built_in(name, send_if_empty, reasons, enabled)));
        }
    }

    /// Makes the stored client id fit the collection switch, as it is at start.
    fn start_collection_state(&mut self) {
        if self.collection_enabled {
            self.ensure_client_id();
            if self.database.get(CLIENT_INFO_STORE, FIRST_RUN_DATE).is_none() {
                let today = Value::Datetime(Timestamp::now(), TimeUnit::Day);
                self.database.set(CLIENT_INFO_STORE, FIRST_RUN_DATE, today);
            }
            return;
        }
        match self.stored_client_id() {
            Some(PLACEHOLDER_CLIENT_ID) => self.database.remove(CLIENT_INFO_STORE, CLIENT_ID),
            Some(_) => {
                self.collection_enabled = true;
                self.submit_ping(DELETION_REQUEST_PING, Some("at_init"));
                self.collection_enabled = false;
                self.clear_metrics();
            }
            None => self.clear_metrics(),
        }
    }

    /// Removes all that belongs to collection: client id, bookkeeping, values and files of the pings that follow it.
    fn clear_metrics(&mut self) {
        let following: Vec<String> = (self.pings.iter())
            .filter(|(_, registered)| registered.ping.definition().follows_collection_enabled)
            .map(|(name, _)| name.clone())
            .collect();
        self.files.remove_pending(|name| following.iter().any(|following| following == name));
        for name in &following {
            for lifetime in Lifetime::ALL {
                self.database.clear(name, lifetime);
            }
        }
        self.database.clear(INTERNAL_STORE, Lifetime::User);
        if self.stored_client_id().is_some() {
            self.database.remove(CLIENT_INFO_STORE, CLIENT_ID);
        }
        self.database.commit();
        let file = self.client_id_file();
        if let Err(error) = fs::remove_file(&file) {
            if error.kind() != std::io::ErrorKind::NotFound {
                log_at!(Error, "{}", Error::io("remove", &file)(error));
            }
        }
    }

    fn client_id_file(&self) -> PathBuf {
        self.configuration.data_dir.join("client_id.txt")
    }

    fn stored_client_id(&self) -> Option<Uuid> {
        match self.database.get(CLIENT_INFO_STORE, CLIENT_ID) {
            Some(Value::Uuid(uuid)) => Some(*uuid),
            _ => None,
        }
    }

    /// Makes database and `client_id.txt` agree. The database wins, the file is the backup, else a new id is made.
    fn ensure_client_id(&mut self) {
        let path = self.client_id_file();
        let is_usable = |uuid: &Uuid| *uuid != PLACEHOLDER_CLIENT_ID;
        let in_file =
            fs::read_to_string(&path).ok().and_then(|text| Uuid::try_parse(text.trim_end()).ok()).filter(is_usable);
        let in_database = self.stored_client_id().filter(is_usable);
        let client_id = in_database.or(in_file).unwrap_or_else(Uuid::new_v4);
        if in_database.is_none() {
            if in_file.is_some() {
                log_at!(Info, "client id restored from {}", path.display());
            }
            self.database.set(CLIENT_INFO_STORE, CLIENT_ID, Value::Uuid(client_id));
        }
        if in_file != Some(client_id) {
            if let Err(error) = journal::write_synced(&path, client_id.hyphenated().to_string().as_bytes()) {
                log_at!(Error, "the client id has no backup: {error}");
            }
        }
    }

    /// Stages the application-lifetime values that the core itself owns.
    fn record_core_values(&mut self) {
        let configuration = &self.configuration;
        let mut texts = vec![
            ("app_build", configuration.app_build.clone()),
            ("app_display_version", configuration.app_display_version.clone()),
            ("architecture", configuration.architecture.clone()),
            ("os", operating_system().to_owned()),
            ("os_version", configuration.os_version.clone()),
        ];
        texts.extend(configuration.channel.iter().map(|channel| ("app_channel", channel.clone())));
        for (identifier, text) in texts {
            let address = Address::plain(Lifetime::Application, identifier);
            self.database.set(CLIENT_INFO_STORE, address, Value::String(text));
        }
        let build_date = Value::Datetime(Timestamp::epoch(), TimeUnit::Second);
        self.database.set(CLIENT_INFO_STORE, Address::plain(Lifetime::Application, "build_date"), build_date);
        self.record_experimentation_id();
    }

    fn record_experimentation_id(&mut self) {
        if let Some(id) = self.configuration.experimentation_id.clone() {
            let address = Address::plain(Lifetime::Application, EXPERIMENTATION_ID);
            self.database.set(ALL_PINGS_STORE, address, Value::String(id));
        }
    }

    /// Adds one to a counter of the core itself.
    fn count(&mut self, identifier: &str, label: Option<&str>, stores: &[&str]) {
        self.count_many(identifier, label, stores, 1);
    }

    /// Adds to a counter of the core itself.
    pub(crate) fn count_many(&mut self, identifier: &str, label: Option<&str>, stores: &[&str], amount: i32) {
        let address = Address { lifetime: Lifetime::Ping, identifier, label };
        self.update_stores(stores, address, |old| Some(Value::add_to_counter(old, amount)));
    }

    fn is_store_enabled(&self, store: &str) -> bool {
        matches!(store, CLIENT_INFO_STORE | INTERNAL_STORE | ALL_PINGS_STORE) || self.is_ping_enabled(store)
    }
}

/// Makes an id fit for a submission path: lower case, every run of other characters one hyphen.
fn sanitize_application_id(id: &str) -> Result<String> {
    let mut sanitized = String::with_capacity(id.len());
    for character in id.chars() {
        if character.is_ascii_alphanumeric() {
            sanitized.push(character.to_ascii_lowercase());
        } else if !sanitized.ends_with('-') {
            sanitized.push('-');
        }
    }
    if id.is_empty() { Err(Error::EmptyApplicationId) } else { Ok(sanitized) }
}

/// Returns the name of the operating system as pings spell it.
fn operating_system() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "windows" => "Windows",
        "freebsd" => "FreeBSD",
        "netbsd" => "NetBSD",
        "openbsd" => "OpenBSD",
        "solaris" => "Solaris",
        "android" => "Android",
        "ios" => "iOS",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_id_becomes_part_of_a_path() {
        assert_eq!(sanitize_application_id("Org.Mozilla  Tést!").unwrap(), "org-mozilla-t-st-");
        assert!(matches!(sanitize_application_id(""), Err(Error::EmptyApplicationId)));
    }
}
