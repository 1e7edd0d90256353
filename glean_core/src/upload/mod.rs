//! Uploads: which ping is sent when, and what becomes of it. Sending is what the binding does.
//!
//! An [`Uploader`] is a state machine over the folders of pings; time and chance are handed in. The directory is its
//! queue: before a ping is handed out its file is renamed, which is a [`lease`] that other processes see, and what was
//! removed meanwhile isn't found. `process` has the one uploader of a process.

pub mod backoff;
pub mod lease;
pub mod notes;
pub mod observation;
pub mod queue;
pub mod quota;
pub mod rate;
pub mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::logging::log_at;
use crate::sort;
use backoff::Backoff;
use notes::{Notes, SentResult};
use observation::{Failure, Observation};
use queue::{Folder, Waiting};
use rate::Rate;
use request::{Request, Unsendable};

/// How many waits follow each other before the window ends.
const MAX_WAITS: u32 = 3;
/// How many files one step removes at most.
const REMOVED_PER_STEP: usize = 256;
/// How many pings that can't be sent one step skips at most.
const SKIPPED_PER_STEP: usize = 64;

/// This moment, by the clock on the wall and by one that is never set.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since 1970.
    pub unix_ms: i64,
    /// Milliseconds of a clock that never goes back.
    pub uptime_ms: u64,
}

impl Now {
    /// Asks the clocks.
    pub fn from_clocks() -> Now {
        Now { unix_ms: crate::time::unix_ms_now(), uptime_ms: crate::time::uptime_ms() }
    }
}

/// What `initialize` is told about uploads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct UploadSettings {
    /// How many pings wait at most; 500 if `None`.
    pub max_pending_pings_count: Option<u64>,
    /// How many bytes they have together at most; 50 MiB if `None`.
    pub max_pending_pings_directory_size: Option<u64>,
    /// How fast pings are sent; 15 in 60 s if `None`.
    pub rate_limit: Option<RateLimit>,
}

/// How many pings are sent in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RateLimit {
    /// The interval.
    pub seconds_per_interval: u64,
    /// How many in each.
    pub pings_per_interval: u32,
}

/// What a step of the state machine needs from outside.
pub struct Step<'a> {
    /// When it is.
    pub now: Now,
    /// Returns a number from 0 to its argument, each as likely as the others.
    pub chance: &'a mut dyn FnMut(u64) -> u64,
    /// Tells whether pings of this name may be sent.
    pub may_send: &'a dyn Fn(&str) -> bool,
    /// Takes what is to be counted.
    pub record: &'a mut dyn FnMut(Observation),
}

/// What is to be done next.
#[derive(Debug)]
pub enum Task {
    /// Send this, then report.
    Send(Box<Request>),
    /// Ask again after so many milliseconds.
    Wait(u64),
    /// There is nothing to send. After so many milliseconds there may be, if nothing else happens before.
    Done(Option<u64>),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered with this status.
    HttpStatus(u32),
    /// It didn't answer, but may do so later.
    Recoverable,
    /// It never will.
    Unrecoverable,
    /// The uploader can't send this ping.
    Incapable,
    /// The uploader stopped before it knew.
    Stopped,
}

/// What happens to a ping after an [`Outcome`].
enum Fate {
    Sent,
    Refused(Failure),
    Kept(Failure),
    GivenBack,
}

impl Outcome {
    fn fate(self) -> Fate {
        match self {
            Outcome::HttpStatus(200..=299) => Fate::Sent,
            Outcome::HttpStatus(408 | 429) => Fate::Kept(Failure::Status4xx),
            Outcome::HttpStatus(400..=499) => Fate::Refused(Failure::Status4xx),
            Outcome::HttpStatus(500..=599) => Fate::Kept(Failure::Status5xx),
            Outcome::HttpStatus(_) => Fate::Kept(Failure::StatusUnknown),
            Outcome::Recoverable => Fate::Kept(Failure::Recoverable),
            Outcome::Unrecoverable => Fate::Refused(Failure::Unrecoverable),
            Outcome::Incapable => Fate::Refused(Failure::Incapable),
            Outcome::Stopped => Fate::GivenBack,
        }
    }

    /// Tells whether the server asks for a pause.
    fn asks_for_pause(self) -> bool {
        self == Outcome::HttpStatus(429)
    }

    fn text(self) -> String {
        match self {
            Outcome::HttpStatus(status) => status.to_string(),
            Outcome::Recoverable => "recoverable".to_owned(),
            Outcome::Unrecoverable => "unrecoverable".to_owned(),
            Outcome::Incapable => "incapable".to_owned(),
            Outcome::Stopped => "stopped".to_owned(),
        }
    }
}

/// A ping that is being sent.
#[derive(Debug)]
struct InFlight {
    ping: Waiting,
    name: String,
    since_uptime_ms: u64,
}

/// Decides which ping is sent when.
#[derive(Debug)]
pub struct Uploader {
    data_dir: PathBuf,
    max_count: u64,
    max_bytes: u64,
    rate: Rate,
    notes: Notes,
    /// What waits, the next one last.
    queue: Vec<Waiting>,
    /// Files to be removed.
    doomed: Vec<quota::Doomed>,
    /// When the first lease of somebody else ends.
    next_lease_end_ms: Option<i64>,
    in_flight: BTreeMap<String, InFlight>,
    /// How often each ping was tried in this window.
    attempts: BTreeMap<String, u32>,
    /// Pings that are not tried again in this window, or, if they are sent and can't be removed, ever.
    skipped: BTreeSet<String>,
    settled: BTreeSet<String>,
    waits: u32,
    has_scanned: bool,
    has_started: bool,
    is_stale: bool,
}

impl Uploader {
    /// Makes one for a data directory; nothing is read before the first step.
    pub fn new(data_dir: &Path, settings: &UploadSettings) -> Uploader {
        Uploader {
            data_dir: data_dir.to_path_buf(),
            max_count: settings.max_pending_pings_count.unwrap_or(quota::DEFAULT_COUNT),
            max_bytes: settings.max_pending_pings_directory_size.unwrap_or(quota::DEFAULT_BYTES),
            rate: Rate::new(settings.rate_limit),
            notes: Notes::new(data_dir),
            queue: Vec::new(),
            doomed: Vec::new(),
            next_lease_end_ms: None,
            in_flight: BTreeMap::new(),
            attempts: BTreeMap::new(),
            skipped: BTreeSet::new(),
            settled: BTreeSet::new(),
            waits: 0,
            has_scanned: false,
            has_started: false,
            is_stale: false,
        }
    }

    /// Looks into the folders again before the next ping: one was published.
    pub fn refresh(&mut self) {
        self.is_stale = true;
    }

    /// Returns what is to be done next. Nothing is sent without an endpoint.
    pub fn next(&mut self, endpoint: &str, step: &mut Step<'_>) -> Task {
        self.remove_doomed(step);
        let task = match self.choose(endpoint, step) {
            Task::Done(_) if !self.doomed.is_empty() => return Task::Wait(0),
            Task::Wait(0) => return Task::Wait(0),
            Task::Wait(ms) if self.waits >= MAX_WAITS => Task::Done(Some(ms)),
            task => task,
        };
        match &task {
            Task::Send(_) => self.waits = 0,
            Task::Wait(_) => self.waits += 1,
            Task::Done(_) => self.end_window(),
        }
        task
    }

    fn choose(&mut self, endpoint: &str, step: &mut Step<'_>) -> Task {
        if endpoint.is_empty() {
            return Task::Done(None);
        }
        self.notes.read();
        if !std::mem::replace(&mut self.has_started, true) {
            self.notes.change(|backoff| backoff.start(step.now.unix_ms, step.chance));
        }
        if let Some(pause_ms) = self.notes.backoff.pause_ms(step.now.unix_ms) {
            return Task::Done(Some(pause_ms));
        }
        if self.queue.is_empty() || self.is_stale {
            self.scan(step);
        }
        for _ in 0..SKIPPED_PER_STEP {
            if self.queue.is_empty() {
                let rest = self.next_lease_end_ms.map(|end| u64::try_from(end - step.now.unix_ms).unwrap_or(0).max(1));
                return Task::Done(rest);
            }
            if let Some(ms) = self.rate.rest_ms(step.now.uptime_ms) {
                return Task::Wait(ms);
            }
            let ping = self.take(step);
            if let Some(request) = self.prepare(ping, endpoint, step) {
                self.rate.count(step.now.uptime_ms);
                return Task::Send(Box::new(request));
            }
        }
        Task::Wait(0)
    }

    /// Takes the next ping out of the queue; after failures, any.
    fn take(&mut self, step: &mut Step<'_>) -> Waiting {
        if self.notes.backoff.is_probing() {
            let index = (step.chance)(self.queue.len() as u64 - 1) as usize;
            return self.queue.swap_remove(index.min(self.queue.len() - 1));
        }
        self.queue.pop().expect("the queue was found not to be empty")
    }

    /// Leases a ping and makes a request of it; `None` if that is impossible.
    fn prepare(&mut self, mut ping: Waiting, endpoint: &str, step: &mut Step<'_>) -> Option<Request> {
        let id = ping.document_id.clone();
        match lease::take(&self.data_dir, &ping, step.now.unix_ms) {
            Ok(leased) => ping.file_name = leased,
            Err(error) => {
                // Somebody else sends it, or it was removed.
                if error.kind() != ErrorKind::NotFound {
                    log_at!(Warn, "a ping cannot be sent: {error}");
                }
                self.skipped.insert(id);
                return None;
            }
        }
        let path = ping.path(&self.data_dir);
        match request::read(&path, &id, endpoint, step.now.unix_ms) {
            Ok(request) if ping.folder == Folder::Pending && !(step.may_send)(&request.ping_name) => {
                // The fold is about to remove it.
                lease::give_back(&self.data_dir, &ping);
                self.skipped.insert(id);
                None
            }
            Ok(request) => {
                let name = request.ping_name.clone();
                // Whoever comes later sees that somebody tries.
                self.notes.change(|backoff| backoff.begin_probe(step.now.unix_ms));
                self.in_flight.insert(id, InFlight { ping, name, since_uptime_ms: step.now.uptime_ms });
                Some(request)
            }
            Err(Unsendable::Gone) => None,
            Err(Unsendable::Unreadable(error)) => {
                log_at!(Warn, "a ping cannot be read and stays: {error}");
                lease::give_back(&self.data_dir, &ping);
                self.skipped.insert(id);
                None
            }
            Err(Unsendable::Malformed(why)) => {
                log_at!(Warn, "the ping {id} is removed: {why}");
                self.remove(&ping);
                None
            }
            Err(Unsendable::TooLarge(bytes)) => {
                log_at!(Warn, "the ping {id} is removed: its compressed body has {bytes} bytes");
                (step.record)(Observation::TooLarge { bytes });
                self.remove(&ping);
                None
            }
        }
    }

    /// Takes over what became of a request; tells whether the window is over.
    pub fn report(&mut self, document_id: &str, outcome: Outcome, asked_ms: Option<u64>, step: &mut Step<'_>) -> bool {
        let Some(flight) = self.in_flight.remove(document_id) else {
            (step.record)(Observation::UnknownId);
            return outcome == Outcome::Stopped;
        };
        let ms = step.now.uptime_ms.saturating_sub(flight.since_uptime_ms);
        let result = SentResult {
            at_ms: step.now.unix_ms,
            document_id: document_id.to_owned(),
            ping: flight.name,
            result: outcome.text(),
        };
        match outcome.fate() {
            Fate::Sent => {
                self.remove(&flight.ping);
                (step.record)(Observation::Sent { ms });
                self.notes.note(result);
                self.notes.change(Backoff::succeed);
            }
            Fate::Refused(failure) => {
                self.remove(&flight.ping);
                (step.record)(Observation::Failed { failure, ms });
                log_at!(Warn, "the ping {document_id} is removed, it was not accepted: {}", result.result);
                self.notes.note(result);
                if failure == Failure::Status4xx {
                    // It did answer.
                    self.notes.change(Backoff::succeed);
                } else {
                    self.notes.change(|backoff| backoff.end_probe(step.now.unix_ms));
                }
            }
            Fate::Kept(failure) => {
                (step.record)(Observation::Failed { failure, ms });
                log_at!(Info, "the ping {document_id} stays, it could not be sent: {}", result.result);
                *self.attempts.entry(document_id.to_owned()).or_default() += 1;
                if lease::give_back(&self.data_dir, &flight.ping) {
                    // At the end, which is the front here.
                    self.queue.insert(0, Waiting { file_name: document_id.to_owned(), ..flight.ping });
                }
                let asked_ms = asked_ms.or(outcome.asks_for_pause().then_some(0));
                self.notes.note(result);
                self.notes.change(|backoff| backoff.fail(asked_ms, step.now.unix_ms, step.chance));
            }
            Fate::GivenBack => {
                lease::give_back(&self.data_dir, &flight.ping);
                self.notes.change(|backoff| backoff.end_probe(step.now.unix_ms));
                self.end_window();
                return true;
            }
        }
        false
    }

    /// Gives back what is in flight, and writes what is to be written.
    pub fn close(&mut self) {
        for (_, flight) in std::mem::take(&mut self.in_flight) {
            lease::give_back(&self.data_dir, &flight.ping);
        }
        self.end_window();
    }

    fn end_window(&mut self) {
        self.waits = 0;
        self.queue.clear();
        self.attempts.clear();
        self.skipped.clear();
        self.notes.write_results();
    }

    /// Removes a ping for good.
    fn remove(&mut self, ping: &Waiting) {
        let path = ping.path(&self.data_dir);
        let removed = fs::remove_file(&path);
        // A save that a kill interrupted made it again.
        let _ = fs::remove_file(path.with_file_name(&ping.document_id));
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                log_at!(
                    Error,
                    "the ping {} is not sent again by this process, and is removed later: {error}",
                    ping.document_id
                );
                self.settled.insert(ping.document_id.clone());
            }
            _ => (),
        }
    }

    /// Reads the folders.
    fn scan(&mut self, step: &mut Step<'_>) {
        self.is_stale = false;
        let mut found = queue::list(&self.data_dir, Folder::Deletion);
        let mut pending = queue::list(&self.data_dir, Folder::Pending);
        let kept = quota::apply(&mut pending, self.max_count, self.max_bytes, &self.data_dir, step.now.unix_ms);
        if !std::mem::replace(&mut self.has_scanned, true) && kept.found > 0 {
            (step.record)(Observation::Found { pings: kept.found, bytes: kept.bytes });
        }
        // Somebody who has files open, as scanners do on Windows, lets go of them in the end.
        for ping in found.pings.iter().chain(&pending.pings).filter(|ping| self.settled.contains(&ping.document_id)) {
            let _ = fs::remove_file(ping.path(&self.data_dir));
        }
        self.doomed = kept.doomed;
        self.doomed.extend(found.foreign.drain(..).map(quota::Doomed::foreign));
        found.pings.append(&mut pending.pings);
        let now_ms = step.now.unix_ms;
        let leases =
            found.pings.iter().filter_map(|ping| ping.leased_until(now_ms).map(|end| (&ping.document_id, end)));
        let leased: BTreeMap<String, i64> = sort::collect(leases.map(|(id, end)| (id.clone(), end)));
        self.next_lease_end_ms =
            leased.iter().filter(|(id, _)| !self.in_flight.contains_key(*id)).map(|(_, end)| *end).min();
        found.pings.retain(|ping| {
            let id = &ping.document_id;
            !(leased.contains_key(id)
                || self.in_flight.contains_key(id)
                || self.skipped.contains(id)
                || self.settled.contains(id))
        });
        let attempts = |ping: &Waiting| self.attempts.get(&ping.document_id).copied().unwrap_or(0);
        sort::by(&mut found.pings, |a, b| (attempts(b), b.order()).cmp(&(attempts(a), a.order())));
        self.queue = found.pings;
        self.remove_doomed(step);
    }

    fn remove_doomed(&mut self, step: &mut Step<'_>) {
        if let Some(observation) = quota::remove(&mut self.doomed, REMOVED_PER_STEP) {
            (step.record)(observation);
        }
    }
}
