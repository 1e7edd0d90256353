//! What the integration tests share: temporary directories, ping files, and a stand-in for a process.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use glean_core::engine::Engine;
use glean_core::handles::Metric;
use glean_core::journal::log::Appended;
use glean_core::machine::context::{Context, Settings};
use glean_core::machine::op::{Moment, Op};
use glean_core::metrics::{Kind, Label, MetricDefinition, Recording};
use glean_core::process::{self, Calls};
use glean_core::store::directory::Directory;
use glean_core::store::lock::FileLock;
use glean_core::store::{Entry, Value};
use glean_core::{CommonMetricData, Lifetime, PingDefinition, Result};
use serde_json::Value as Json;

/// The folder of pings that wait for upload.
pub const PENDING: &str = "pending_pings";

/// A directory that is removed when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = temporary_folder().join(format!("glean-test-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return TempDir(path),
                // Left by a process of the same number: Wine gives them out again.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => (),
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A folder in memory where there is one: some tests wait for the disk thousands of times.
fn temporary_folder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let memory = Path::new("/dev/shm");
        let probe = memory.join(format!("glean-test-{}", std::process::id()));
        if cfg!(target_os = "linux") && fs::create_dir_all(&probe).is_ok() {
            let _ = fs::remove_dir(&probe);
            return memory.to_path_buf();
        }
        std::env::temp_dir()
    };
    FOLDER
        .get_or_init(|| {
            let folder = find();
            remove_old(&folder);
            folder
        })
        .clone()
}

/// Removes what test programs left that were killed, or that Windows didn't let remove open files.
fn remove_old(folder: &Path) {
    const OLD: Duration = Duration::from_secs(3600);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with("glean-test-"));
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > OLD) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn settings(data_dir: &Path) -> Settings {
    Settings {
        data_dir: data_dir.to_str().unwrap().into(),
        application_id: "org.example.Test App".into(),
        app_display_version: "1.2.3".into(),
        app_build: "456".into(),
        channel: Some("nightly".into()),
        architecture: "x86_64".into(),
        os_version: "Unknown".into(),
        upload_enabled: true,
        enable_internal_pings: true,
        max_events: 500,
        session_sample_rate: 1.0,
        session_inactivity_timeout_ms: 1_800_000,
        ..Settings::default()
    }
}

pub fn ping(name: &str) -> PingDefinition {
    PingDefinition {
        name: name.into(),
        include_client_id: true,
        send_if_empty: false,
        precise_timestamps: true,
        include_info_sections: true,
        schedules_pings: Vec::new(),
        reason_codes: vec!["first".into(), "second".into()],
        uploader_capabilities: Vec::new(),
        enabled: true,
        follows_collection_enabled: true,
    }
}

/// A metric of this name in these pings.
pub fn metric(identifier: &str, kind: Kind, pings: &[&str], lifetime: Lifetime) -> MetricDefinition {
    let (category, name) = identifier.rsplit_once('.').unwrap_or(("", identifier));
    let common = CommonMetricData {
        category: category.into(),
        name: name.into(),
        send_in_pings: pings.iter().map(ToString::to_string).collect(),
        lifetime,
        disabled: false,
        in_session: false,
    };
    MetricDefinition { common, kind, label: Label::None }
}

/// A counter in the ping `custom`.
pub fn counter(identifier: &str) -> MetricDefinition {
    metric(identifier, Kind::Counter, &["custom"], Lifetime::Ping)
}

/// Stands in for a process: a log of its own, an engine of its own, the real files and locks.
///
/// Dropping it is `kill -9`: locks go, and files stay as they are.
pub struct Process {
    pub log: Calls,
    pub engine: Engine,
    pub name: String,
    pub directory: Directory,
    /// Says that it lives.
    pub life: Option<FileLock>,
    metrics: BTreeMap<String, Metric>,
    /// Whether the disk took no file, and how many calls came since.
    is_refused: bool,
    skipped: u32,
}

impl Process {
    /// Starts with the ping `custom`.
    pub fn start(data_dir: &Path) -> Process {
        Process::start_with(settings(data_dir), vec![ping("custom")])
    }

    pub fn start_with(settings: Settings, pings: Vec<PingDefinition>) -> Process {
        Process::start_from(Calls::new(), settings, pings).unwrap()
    }

    /// Starts with a log that calls waited in.
    pub fn start_from(log: Calls, settings: Settings, pings: Vec<PingDefinition>) -> Result<Process> {
        Process::start_at(log, settings, pings, Moment::now(), None)
    }

    /// Starts at that time; `is_alone` says whether others live, if not the directory.
    pub fn start_at(
        log: Calls,
        settings: Settings,
        pings: Vec<PingDefinition>,
        moment: Moment,
        is_alone: Option<bool>,
    ) -> Result<Process> {
        Process::start_slowly(log, settings, pings, moment, is_alone, |_| ())
    }

    /// The same with calls that come before the first file is made.
    pub fn start_slowly(
        mut log: Calls,
        settings: Settings,
        pings: Vec<PingDefinition>,
        moment: Moment,
        is_alone: Option<bool>,
        calls: impl FnOnce(&mut Calls),
    ) -> Result<Process> {
        let data_dir = PathBuf::from(&settings.data_dir);
        let directory = Directory::new(&data_dir);
        directory.create()?;
        let name = new_name();
        let life = FileLock::acquire(&directory.process_lock(&name), patience())?;
        let is_free = |other: &str| FileLock::is_free(&directory.process_lock(other)).unwrap_or(false);
        let is_found_alone = directory.list()?.processes().filter(|other| *other != name).all(is_free);
        let is_alone = is_alone.unwrap_or(is_found_alone);
        let mut context = Context::new(String::new(), settings, moment.clone());
        pings.into_iter().for_each(|ping| context.register_ping(ping));
        for operation in log.before_start.take_operations() {
            context.observe(&postcard::from_bytes(&operation).unwrap());
        }
        log.start(context);
        calls(&mut log);
        let start = process::new_start(&mut log, moment, is_alone);
        process::begin(&mut log, &name, start, false);
        let engine = Engine::new(&data_dir, &name);
        let mut process = Process {
            log,
            engine,
            name,
            directory,
            life: Some(life),
            metrics: BTreeMap::new(),
            is_refused: false,
            skipped: 0,
        };
        process.serve()?;
        Ok(process)
    }

    /// Makes the files that the log asks for, as the thread of a process does.
    pub fn serve(&mut self) -> Result<()> {
        process::serve(&mut self.log, &self.directory)
    }

    fn settle(&mut self, appended: Appended) -> Appended {
        match appended {
            Appended::AndWanted | Appended::Delayed => {
                // A disk that takes none isn't asked again with every call.
                self.skipped = (self.skipped + 1) % if self.is_refused { 1000 } else { 1 };
                if self.skipped == 0 {
                    self.is_refused = self.serve().is_err();
                }
                if self.log.has_delayed() { Appended::Delayed } else { Appended::Yes }
            }
            appended => appended,
        }
    }

    pub fn record(&mut self, metric: &MetricDefinition, recording: &Recording<'_>) -> Appended {
        let key = format!("{metric:?}");
        let metric = self.metrics.entry(key).or_insert_with(|| Metric::new(Arc::new(metric.clone())));
        let appended = self.log.record(metric, recording);
        self.settle(appended)
    }

    /// Adds to a counter in the ping `custom`, as `glean_counter_add` does.
    pub fn add(&mut self, identifier: &str, amount: i32) -> Appended {
        let metric = counter(identifier);
        let key = format!("{metric:?}");
        if let (Some(metric), Ok(amount)) = (self.metrics.get(&key), u32::try_from(amount)) {
            if let Some(appended) = self.log.count(metric, amount) {
                return self.settle(appended);
            }
        }
        self.record(&metric, &Recording::CounterAdd(amount))
    }

    /// Submits a ping; the next fold makes its file.
    pub fn submit(&mut self, ping: &str, reason: Option<&str>) {
        let appended = self.log.append(&Op::Submit { ping, reason, moment: Moment::now() });
        assert_ne!(self.settle(appended), Appended::No);
    }

    pub fn try_fold(&mut self) -> Result<()> {
        let _ = self.serve();
        let (own, backlog) = (self.log.current(), self.log.backlog_count());
        let step = self.engine.fold(own.as_ref(), patience())?;
        drop(own);
        self.log.keep_backlog(backlog, &step.own_segments);
        if let Some(name) = step.lost_segment {
            self.log.leave_segment(&name);
        }
        Ok(())
    }

    pub fn fold(&mut self) {
        self.try_fold().unwrap();
    }

    /// Folds, and returns what is stored for a metric in a ping.
    pub fn value(&mut self, ping: &str, lifetime: Lifetime, identifier: &str) -> Option<Json> {
        self.fold();
        self.stored(ping, lifetime, identifier)
    }

    /// Returns what was stored by the last fold.
    pub fn stored(&self, ping: &str, lifetime: Lifetime, identifier: &str) -> Option<Json> {
        entry_json(self.engine.state().entry(ping, lifetime, identifier)?)
    }

    /// Folds, and returns a counter of the ping `custom`; 0 if there is none.
    pub fn count(&mut self, identifier: &str) -> i64 {
        self.fold();
        self.counted(identifier)
    }

    /// Returns a counter of the ping `custom` as of the last fold.
    pub fn counted(&self, identifier: &str) -> i64 {
        self.stored("custom", Lifetime::Ping, identifier).map_or(0, |value| value.as_i64().unwrap())
    }

    /// Folds, and returns why this start found less than was stored.
    pub fn load_error(&mut self) -> Option<String> {
        let error = self.value("metrics", Lifetime::Ping, "glean.database.load_error")?;
        Some(error.as_str().unwrap().to_owned())
    }

    /// Folds, and returns the stored client id.
    pub fn client_id(&mut self) -> String {
        let id = self.value("glean_client_info", Lifetime::User, "client_id");
        id.expect("a client id").as_str().unwrap().to_owned()
    }

    /// Dies at this instant, as by `kill -9`.
    pub fn kill(self) {
        drop(self);
    }

    /// Leaves no journal, and the smallest base.
    pub fn rest(&mut self) {
        self.log.rest();
        self.serve().unwrap();
        self.engine.ask_for_tight_base();
        self.fold();
    }

    /// Ends as a process does that was told to.
    pub fn end(mut self) {
        let appended = self.log.append(&Op::End(true, None));
        self.settle(appended);
        self.fold();
        let tail = self.log.tail();
        if tail.is_some_and(|(name, end)| self.engine.is_saved(&name, end)) {
            self.log.rest();
            self.fold();
        }
        for segment in self.log.turn_off().unused {
            fs::remove_file(segment.path()).unwrap();
        }
        self.life = None;
        // As the core does: on Windows somebody who just looks at it keeps it from being removed.
        let _ = fs::remove_file(self.directory.process_lock(&self.name));
    }

    /// The file that is written.
    pub fn current_segment(&self) -> PathBuf {
        self.log.current().unwrap().path().to_path_buf()
    }
}

/// Until when a lock is waited for.
fn patience() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// Returns a name that sorts behind those that were given out before.
fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{:012x}-{}-test", NEXT.fetch_add(1, Ordering::Relaxed), std::process::id())
}

fn entry_json(entry: &Entry) -> Option<Json> {
    Some(match entry {
        Entry::Plain(value) => value.to_json(),
        Entry::Labeled(values) => {
            let labels = values.iter().map(|(label, value): (&String, &Value)| (label.clone(), value.to_json()));
            Json::Object(labels.collect())
        }
    })
}

/// A ping file.
pub struct Sent {
    pub path: String,
    pub body: Json,
    pub metadata: Json,
}

impl Sent {
    /// The name of the ping.
    pub fn name(&self) -> &str {
        self.path.split('/').nth(3).unwrap()
    }

    /// A counter in it; 0 if it isn't there.
    pub fn count(&self, identifier: &str) -> i64 {
        self.body["metrics"]["counter"][identifier].as_i64().unwrap_or(0)
    }
}

/// The ping files of a folder, sorted by sequence number.
pub fn sent(data_dir: &Path, folder: &str) -> Vec<Sent> {
    let Ok(entries) = fs::read_dir(data_dir.join(folder)) else { return Vec::new() };
    let mut all: Vec<Sent> = entries
        .map(|entry| {
            let file = entry.unwrap().path();
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<&str> = text.split('\n').collect();
            let [path, body, metadata] = lines[..] else { panic!("{} lines in {}", lines.len(), file.display()) };
            assert!(path.ends_with(file.file_name().unwrap().to_str().unwrap()));
            Sent {
                path: path.into(),
                body: serde_json::from_str(body).unwrap(),
                metadata: serde_json::from_str(metadata).unwrap(),
            }
        })
        .collect();
    all.sort_by_key(|sent| sent.body["ping_info"]["seq"].as_i64());
    all
}

/// Returns the sum of a counter over all files of a ping.
pub fn sum_sent(data_dir: &Path, ping: &str, identifier: &str) -> i64 {
    sent(data_dir, PENDING).iter().filter(|sent| sent.name() == ping).map(|sent| sent.count(identifier)).sum()
}

/// Numbers that look random and are the same in each run.
pub struct Dice(pub u64);

impl Dice {
    /// Returns a number below `limit`.
    pub fn roll(&mut self, limit: u64) -> u64 {
        // The constants of Knuth's MMIX; the upper bits are the better ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
