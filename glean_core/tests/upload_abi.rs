//! Uploads through the C ABI: what is handed out while Glean runs and after its end, beside other processes and in forks.

#[path = "common/abi.rs"]
mod abi;
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use abi::{check, new_ping, take, take_turn};
use common::{PENDING, TempDir, sent};
use flate2::read::GzDecoder;
use glean_core::ffi::buffers::GleanBuffer;
use glean_core::ffi::{activity::*, lifecycle::*, ping::*, upload::*, *};
use serde_json::{Value as Json, json};

const ENDPOINT: &str = "https://telemetry.example.org";
const FOREVER: u64 = u64::MAX;

/// A task, copied.
#[derive(Debug, PartialEq)]
struct Task {
    kind: i32,
    ms: u64,
    document_id: String,
    path: String,
    body: Json,
}

impl Task {
    fn name(&self) -> &str {
        self.path.split('/').nth(3).unwrap_or_default()
    }
}

fn next_from(endpoint: &str) -> Task {
    let nothing = abi::empty;
    let mut task = GleanUploadTask {
        kind: -1,
        ms: 0,
        document_id: nothing(),
        url: nothing(),
        body: nothing(),
        headers: nothing(),
        capabilities: nothing(),
    };
    let status = unsafe { glean_upload_next(endpoint.as_ptr(), endpoint.len() as u64, &mut task) };
    check(status);
    let body = match task.body.data.is_null() {
        true => Json::Null,
        false => {
            // SAFETY: the library filled it.
            let bytes = unsafe { std::slice::from_raw_parts(task.body.data, task.body.len as usize) };
            serde_json::from_reader(GzDecoder::new(bytes)).unwrap()
        }
    };
    let url = take(&mut task.url);
    let copied = Task {
        kind: task.kind,
        ms: task.ms,
        document_id: take(&mut task.document_id),
        path: url.strip_prefix(endpoint).unwrap_or_default().to_owned(),
        body,
    };
    for _ in 0..2 {
        check(unsafe { glean_upload_task_free(&mut task) });
    }
    copied
}

fn next() -> Task {
    next_from(ENDPOINT)
}

fn report_status(id: &str, status: u32) -> bool {
    let mut is_over = 9;
    let result = GLEAN_UPLOAD_HTTP_STATUS;
    check(unsafe { glean_upload_report(id.as_ptr(), id.len() as u64, result, status, FOREVER, &mut is_over) });
    assert!(is_over <= 1);
    is_over == 1
}

/// Sends all there is; returns it.
fn send_all() -> Vec<Task> {
    let mut tasks = Vec::new();
    loop {
        let task = next();
        match task.kind {
            GLEAN_UPLOAD_SEND => {
                assert!(!report_status(&task.document_id, 200));
                tasks.push(task);
            }
            GLEAN_UPLOAD_DONE => return tasks,
            _ => assert_eq!(task.ms, 0, "no test here sends so many"),
        }
    }
}

/// How many pings were sent, as a ping `metrics` tells it.
fn sent_count(metrics: &Task) -> i64 {
    assert_eq!(metrics.name(), "metrics");
    let sent = &metrics.body["metrics"]["timing_distribution"]["glean.upload.send_success"]["values"];
    sent.as_object().unwrap().values().map(|count| count.as_i64().unwrap()).sum()
}

fn submit(ping: u64) {
    check(unsafe { glean_ping_submit(ping, std::ptr::null(), 0) });
}

fn submit_by_name(name: &str) {
    check(unsafe { glean_submit_ping_by_name(name.as_ptr(), name.len() as u64, std::ptr::null(), 0) });
}

fn open(settings: &Json) -> i32 {
    let text = settings.to_string();
    unsafe { glean_upload_open(text.as_ptr(), text.len() as u64) & !GLEAN_LOGGED }
}

fn read_json(call: impl FnOnce(*mut GleanBuffer) -> i32) -> Json {
    let mut buffer = abi::empty();
    check(call(&mut buffer));
    serde_json::from_str(&take(&mut buffer)).unwrap()
}

fn inspect(data_dir: &Path, with_bodies: u8) -> Json {
    let text = data_dir.to_str().unwrap();
    read_json(|buffer| unsafe { glean_inspect(text.as_ptr(), text.len() as u64, with_bodies, buffer) })
}

fn settings_with(data_dir: &Path, more: Json) -> String {
    let mut settings: Json = serde_json::from_str(&abi::settings(data_dir)).unwrap();
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    settings.to_string()
}

/// Every file below a folder, with its content and time.
fn snapshot(folder: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, data) = (entry.path(), entry.metadata().unwrap());
        let name = entry.file_name().into_string().unwrap();
        if data.is_dir() {
            files.extend(snapshot(&path).into_iter().map(|(file, found)| (format!("{name}/{file}"), found)));
            files.insert(name, (Vec::new(), data.modified().unwrap()));
        } else {
            // Windows lets nobody read a lock that is held.
            let content = if name.ends_with(".lock") { Vec::new() } else { fs::read(&path).unwrap() };
            files.insert(name, (content, data.modified().unwrap()));
        }
    }
    files
}

#[test]
fn what_is_submitted_is_handed_out_in_its_order_and_counted_when_it_is_sent() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&abi::settings(directory.path())));
    for _ in 0..6 {
        submit(ping);
    }
    let tasks = send_all();
    let order: Vec<i64> = tasks.iter().map(|task| task.body["ping_info"]["seq"].as_i64().unwrap()).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    assert_eq!(next().ms, FOREVER);
    submit(ping);
    let failed = next();
    assert!(!report_status(&failed.document_id, 404));
    submit_by_name("metrics");
    let metrics = send_all().pop().unwrap();
    assert_eq!(metrics.name(), "metrics");
    assert_eq!(sent_count(&metrics), 6);
    let failures = &metrics.body["metrics"]["labeled_counter"]["glean.upload.ping_upload_failure"];
    assert_eq!(*failures, json!({ "status_code_4xx": 1 }));
    check(glean_upload_close());
    assert_eq!(next(), Task { kind: GLEAN_UPLOAD_DONE, ms: FOREVER, ..next() });
}

#[test]
fn the_pings_of_the_end_are_sent_after_it_and_counted_by_the_next_start() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&settings_with(directory.path(), json!({ "test_mode": false }))));
    submit(ping);
    check(glean_shutdown());
    assert_eq!(send_all().len(), 2, "that one and the ping of the start");
    check(glean_reset());
    check(glean_upload_close());
    check(abi::initialize(&abi::settings(directory.path())));
    submit_by_name("metrics");
    assert_eq!(sent_count(&send_all().pop().unwrap()), 2);
}

#[test]
fn without_an_endpoint_nothing_is_handed_out_and_that_is_said_once() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&abi::settings(directory.path())));
    submit(ping);
    abi::log_messages();
    for _ in 0..3 {
        assert_eq!(next_from("").kind, GLEAN_UPLOAD_DONE);
    }
    let told = abi::log_messages().into_iter().filter(|(_, message)| message.contains("endpoint")).count();
    assert!(told <= 1, "once for all tests of this process");
    assert_eq!(sent(directory.path(), PENDING).len(), 1);
}

#[test]
fn after_collection_is_switched_off_the_deletion_request_is_all_that_is_sent() {
    for test_mode in [true, false] {
        let _turn = take_turn();
        let directory = TempDir::new();
        let ping = new_ping(abi::PING);
        // A ping of the core's own would come when it likes.
        let more = json!({ "test_mode": test_mode, "enable_internal_pings": false });
        check(abi::initialize(&settings_with(directory.path(), more)));
        submit(ping);
        submit(ping);
        let first = next();
        assert_eq!(first.kind, GLEAN_UPLOAD_SEND);
        check(glean_set_collection_enabled(0));
        // Whatever the thread of the folds has done by now.
        let tasks = send_all();
        let names: Vec<&str> = tasks.iter().map(Task::name).collect();
        assert_eq!(names, ["deletion-request"]);
        // What was on its way when it was switched off doesn't come back.
        assert!(!report_status(&first.document_id, 500));
        assert!(send_all().is_empty());
        assert_eq!(fs::read_dir(directory.path().join(PENDING)).unwrap().count(), 0);
        // Neither does it when it is switched on again.
        check(glean_set_collection_enabled(1));
        assert!(send_all().is_empty());
    }
}

#[test]
fn a_switch_off_and_on_before_the_thread_looks_sends_nothing_from_before() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&abi::threaded_settings(directory.path())));
    submit(ping);
    check(glean_fold());
    check(glean_set_collection_enabled(0));
    check(glean_set_collection_enabled(1));
    let names: Vec<String> = send_all().iter().map(|task| task.name().to_owned()).collect();
    assert_eq!(names, ["deletion-request"]);
}

#[test]
fn a_ping_that_is_switched_off_is_not_sent_any_more() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&abi::threaded_settings(directory.path())));
    submit(ping);
    submit(ping);
    let first = next();
    check(glean_ping_set_enabled(ping, 0));
    assert_eq!(next().kind, GLEAN_UPLOAD_DONE);
    assert!(!report_status(&first.document_id, 503));
    assert!(send_all().is_empty());
    check(glean_ping_set_enabled(ping, 1));
}

#[test]
fn what_waits_without_anybody_who_sends_stays_within_its_bounds() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&settings_with(directory.path(), json!({ "max_pending_pings_count": 10 }))));
    for number in 1..=50 {
        submit(ping);
        let waiting = fs::read_dir(directory.path().join(PENDING)).unwrap().count();
        assert_eq!(waiting, number.min(10));
    }
    let newest: Vec<i64> =
        sent(directory.path(), PENDING).iter().map(|sent| sent.body["ping_info"]["seq"].as_i64().unwrap()).collect();
    assert_eq!(newest, (40..50).collect::<Vec<i64>>());
    submit_by_name("metrics");
    let metrics = send_all().pop().unwrap();
    assert_eq!(metrics.body["metrics"]["counter"]["glean.upload.deleted_pings_after_quota_hit"], json!(40));
}

#[test]
fn a_wait_ends_when_a_ping_is_published_or_somebody_wakes_it() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&abi::threaded_settings(directory.path())));
    assert_eq!(next().kind, GLEAN_UPLOAD_DONE);
    let wait = |ms| {
        let mut is_woken = 9;
        check(unsafe { glean_upload_wait(ms, &mut is_woken) });
        is_woken
    };
    while wait(0) == 1 {
        assert_eq!(next().kind, GLEAN_UPLOAD_DONE);
    }
    let waiting = std::thread::spawn(move || wait(FOREVER));
    submit(ping);
    assert_eq!(waiting.join().unwrap(), 1);
    assert_eq!(send_all().len(), 1);
    let waiting = std::thread::spawn(move || wait(FOREVER));
    check(glean_upload_wake());
    assert_eq!(waiting.join().unwrap(), 1);
    // One that comes before the wait counts, once.
    check(glean_upload_wake());
    assert_eq!((wait(FOREVER), wait(1)), (1, 0));
}

#[test]
fn a_directory_can_be_opened_that_a_killed_program_left() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let settings = json!({ "data_dir": directory.path().to_str().unwrap(), "is_exclusive": true });
    let mut process = common::Process::start(directory.path());
    process.add("test.counter", 3);
    process.submit("custom", None);
    process.kill();
    assert!(!directory.path().join(PENDING).exists());
    assert_eq!(open(&settings), GLEAN_OK);
    let peeked = read_json(|buffer| unsafe { glean_upload_peek(buffer) });
    assert_eq!(peeked, json!({ "waiting": 1, "retry_ms": null, "is_exclusive_taken": true, "is_frozen": false }));
    let tasks = send_all();
    assert_eq!(tasks[0].body["metrics"]["counter"]["test.counter"], json!(3));
    // Another process has to wait.
    assert_eq!(open(&settings), GLEAN_LOCKED);
    check(glean_upload_close());
    assert_eq!(open(&settings), GLEAN_OK);
    check(glean_upload_close());
    assert_eq!(open(&json!({ "data_dir": directory.path().join("missing").to_str().unwrap() })), GLEAN_NO_VALUE);
    assert!(!directory.path().join("missing").exists());
    check(abi::initialize(&abi::settings(directory.path())));
    assert_eq!(open(&settings), GLEAN_ALREADY_INITIALIZED);
}

#[test]
fn how_a_program_without_glean_sent_pings_is_counted_by_the_next_start() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let mut process = common::Process::start(directory.path());
    process.add("test.counter", 3);
    process.submit("custom", None);
    process.end();
    let settings =
        json!({ "data_dir": directory.path().to_str().unwrap(), "enable_internal_pings": true, "is_exclusive": true });
    assert_eq!(open(&settings), GLEAN_OK);
    let task = next();
    report_status(&task.document_id, 400);
    check(glean_upload_close());
    // Nothing of it is in the memory of this process.
    glean_shutdown();
    check(glean_reset());
    check(abi::initialize(&abi::settings(directory.path())));
    submit_by_name("metrics");
    let metrics = send_all().pop().unwrap();
    let failures = &metrics.body["metrics"]["labeled_counter"]["glean.upload.ping_upload_failure"];
    assert_eq!(*failures, json!({ "status_code_4xx": 1 }));
}

#[test]
fn an_inspection_tells_what_is_there_and_changes_nothing() {
    let _turn = take_turn();
    let directory = TempDir::new();
    assert_eq!(
        {
            let text = directory.path().to_str().unwrap();
            unsafe { glean_inspect(text.as_ptr(), text.len() as u64, 0, &mut abi::empty()) & !GLEAN_LOGGED }
        },
        GLEAN_NO_VALUE
    );
    let ping = new_ping(abi::PING);
    check(abi::initialize(&abi::settings(directory.path())));
    submit(ping);
    submit(ping);
    let first = next();
    report_status(&first.document_id, 503);
    check(glean_fold());
    let before = snapshot(directory.path());
    let seen = inspect(directory.path(), 1);
    assert_eq!(snapshot(directory.path()), before);
    assert_eq!(seen["collection_enabled"], json!(true));
    assert_eq!(seen["client_id"].as_str().unwrap().len(), 36);
    assert_eq!(seen["backoff"], json!({ "failures": 1, "not_before_ms": null }));
    assert_eq!(seen["results"][0]["result"], json!("503"));
    assert_eq!(seen["processes"], json!(1));
    let waiting = seen["waiting"].as_array().unwrap();
    assert_eq!(waiting.len(), 2);
    assert_eq!((&waiting[0]["ping"], &waiting[0]["body"]["ping_info"]["seq"]), (&json!("custom"), &json!(0)));
    assert!(inspect(directory.path(), 0)["waiting"][0].get("body").is_none());
    check(glean_set_collection_enabled(0));
    check(glean_fold());
    let seen = inspect(directory.path(), 0);
    assert_eq!((&seen["collection_enabled"], &seen["client_id"]), (&json!(false), &Json::Null));
    assert_eq!(seen["waiting"][0]["folder"], json!("deletion_request"));
}

#[test]
fn a_purge_removes_what_waits_beside_a_running_program_but_no_deletion_request() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let ping = new_ping(abi::PING);
    check(abi::initialize(&abi::settings(directory.path())));
    check(glean_set_collection_enabled(0));
    check(glean_set_collection_enabled(1));
    for _ in 0..3 {
        submit(ping);
    }
    let text = directory.path().to_str().unwrap();
    let mut removed = 0;
    check(unsafe { glean_purge(text.as_ptr(), text.len() as u64, &mut removed) });
    assert_eq!(removed, 3);
    submit(ping);
    let names: Vec<String> = send_all().iter().map(|task| task.name().to_owned()).collect();
    assert_eq!(names, ["deletion-request", "custom"]);
}

#[test]
fn the_health_ping_of_a_start_counts_what_was_called_during_it() {
    let _turn = take_turn();
    loop {
        let directory = TempDir::new();
        let settings = settings_with(directory.path(), json!({ "test_mode": false }));
        let start = Instant::now();
        check(abi::initialize(&settings));
        check(glean_handle_client_active());
        let is_late = start.elapsed() > Duration::from_millis(90);
        check(glean_shutdown());
        let pings = sent(directory.path(), PENDING);
        let find = |name: &str| pings.iter().find(|sent| sent.name() == name).unwrap();
        let counted =
            |name: &str| find(name).body["metrics"]["labeled_counter"]["glean.validation.pings_submitted"].clone();
        assert_eq!(pings.len(), 2);
        check(glean_reset());
        // On a machine that did something else for so long the start is over.
        if !is_late {
            assert_eq!((counted("baseline"), counted("health")), (Json::Null, json!({ "baseline": 1 })));
            return;
        }
    }
}

#[cfg(unix)]
mod forks {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Runs `work` in a child and waits for it, as long as a minute.
    #[track_caller]
    fn in_child(work: impl FnOnce() -> bool) {
        // SAFETY: the child calls the library only, which is made for that, and ends without returning.
        let pid = match unsafe { libc::fork() } {
            0 => {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(i32::from(outcome.ok() != Some(true))) }
            }
            -1 => panic!("{}", std::io::Error::last_os_error()),
            pid => pid,
        };
        let (start, mut status) = (Instant::now(), 0);
        // SAFETY: the child is one of this process, and the pointer is valid.
        while unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == 0 {
            if start.elapsed() > Duration::from_secs(600) {
                // SAFETY: nobody waited for it, so the number is still its own.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                panic!("the child hangs");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(status, 0, "the child failed");
    }

    #[test]
    fn a_child_has_the_directory_and_neither_the_queue_nor_the_pings_of_its_parent() {
        let _turn = take_turn();
        let directory = TempDir::new();
        let ping = new_ping(abi::PING);
        check(abi::initialize(&abi::threaded_settings(directory.path())));
        submit(ping);
        submit(ping);
        let first = next();
        in_child(|| {
            let second = next();
            let is_other = second.kind == GLEAN_UPLOAD_SEND && second.document_id != first.document_id;
            is_other && !report_status(&second.document_id, 200) && next().kind == GLEAN_UPLOAD_DONE
        });
        assert!(!report_status(&first.document_id, 200));
        assert!(send_all().is_empty());
    }

    struct OnDrop<F: Fn()>(F);

    impl<F: Fn()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            self.0();
        }
    }

    #[test]
    fn a_fork_while_a_step_is_under_way_holds_neither_process() {
        let _turn = take_turn();
        let directory = TempDir::new();
        let ping = new_ping(abi::PING);
        check(abi::initialize(&abi::threaded_settings(directory.path())));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    submit(ping);
                    next();
                }
            });
            // Also if a child fails, or the thread would go on for ever.
            let _over = OnDrop(|| is_over.store(true, Ordering::Relaxed));
            for _ in 0..20 {
                in_child(|| {
                    let kind = next().kind;
                    check(glean_upload_wake());
                    (GLEAN_UPLOAD_DONE..=GLEAN_UPLOAD_WAIT).contains(&kind)
                });
            }
        });
    }

    #[test]
    fn a_log_message_that_waited_at_a_fork_is_delivered_once() {
        let _turn = take_turn();
        let directory = TempDir::new();
        check(abi::initialize(&abi::settings(directory.path())));
        abi::log_messages();
        let knobs = "no JSON";
        check(unsafe { glean_apply_server_knobs_config(knobs.as_ptr(), knobs.len() as u64) });
        in_child(|| abi::log_messages().is_empty());
        assert_eq!(abi::log_messages().len(), 1);
    }

    /// Sets the variable in a child, which has one thread.
    fn do_not_track() {
        // SAFETY: no other thread reads or writes the environment of this process.
        unsafe { std::env::set_var("DO_NOT_TRACK", "1") };
    }

    #[test]
    fn do_not_track_freezes_what_is_there() {
        let _turn = take_turn();
        let directory = TempDir::new();
        let ping = new_ping(abi::PING);
        check(abi::initialize(&abi::settings(directory.path())));
        submit(ping);
        check(glean_shutdown());
        check(glean_reset());
        check(glean_upload_close());
        let before = snapshot(directory.path());
        in_child(|| {
            do_not_track();
            let settings = settings_with(directory.path(), json!({ "upload_enabled": false, "test_mode": false }));
            check(abi::initialize(&settings));
            let not_initialized = |status: i32| status & !GLEAN_LOGGED == GLEAN_NOT_INITIALIZED;
            assert!(not_initialized(glean_handle_client_active()));
            assert!(not_initialized(glean_set_collection_enabled(0)));
            assert!(not_initialized(unsafe { glean_ping_submit(ping, std::ptr::null(), 0) }));
            assert_eq!((next().kind, next().ms), (GLEAN_UPLOAD_DONE, FOREVER));
            let messages = abi::log_messages();
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].0 == 20 && messages[0].1.contains("DO_NOT_TRACK"), "{messages:?}");
            glean_shutdown();
            check(glean_reset());
            assert_eq!(open(&json!({ "data_dir": directory.path().to_str().unwrap() })), GLEAN_NO_VALUE);
            check(glean_upload_close());
            let mut is_frozen = 0;
            check(unsafe { glean_is_frozen(&mut is_frozen) });
            // A child inherits it.
            in_child(|| {
                abi::initialize(&abi::settings(directory.path())) == GLEAN_OK && next().kind == GLEAN_UPLOAD_DONE
            });
            is_frozen == 1
        });
        assert_eq!(snapshot(directory.path()), before);
        check(abi::initialize(&abi::settings(directory.path())));
        assert_eq!(send_all().len(), 1);
    }

    #[test]
    fn do_not_track_that_is_set_later_keeps_no_thread_busy() {
        let _turn = take_turn();
        let directory = TempDir::new();
        let ping = new_ping(abi::PING);
        check(abi::initialize(&abi::settings(directory.path())));
        in_child(|| {
            submit(ping);
            glean_core::process::fold().unwrap();
            do_not_track();
            assert_eq!(next().kind, GLEAN_UPLOAD_DONE);
            let mut is_woken = 1;
            check(unsafe { glean_upload_wait(1, &mut is_woken) });
            is_woken == 0
        });
    }

    #[test]
    fn do_not_track_needs_no_directory_that_can_be_written() {
        let _turn = take_turn();
        let directory = TempDir::new();
        fs::write(directory.path().join("file"), "").unwrap();
        let impossible = directory.path().join("file").join("below");
        assert_eq!(abi::initialize(&abi::settings(&impossible)), GLEAN_IO);
        check(glean_reset());
        in_child(|| {
            do_not_track();
            abi::log_messages();
            check(abi::initialize(&abi::settings(&impossible)));
            abi::log_messages().iter().all(|(level, _)| *level == 20)
        });
    }

    /// What one of the processes did: which ping it began or finished.
    fn note(log: &Path, what: &str, id: &str) {
        use std::io::Write;
        let line = format!("{what} {id} {}\n", std::process::id());
        let mut file = fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }

    /// Sends until nothing is left for it; the server takes everything.
    fn upload(data_dir: &Path, log: &Path) -> bool {
        let settings = json!({
            "data_dir": data_dir.to_str().unwrap(),
            "rate_limit": { "seconds_per_interval": 1, "pings_per_interval": 1_000_000 },
        });
        if open(&settings) != GLEAN_OK {
            return false;
        }
        loop {
            let task = next();
            match task.kind {
                GLEAN_UPLOAD_SEND => {
                    note(log, "begin", &task.document_id);
                    std::thread::sleep(Duration::from_millis(1));
                    note(log, "end", &task.document_id);
                    report_status(&task.document_id, 200);
                }
                GLEAN_UPLOAD_WAIT => (),
                _ => return true,
            }
        }
    }

    #[test]
    fn processes_that_are_killed_while_they_send_lose_nothing_and_no_two_send_at_once() {
        const PINGS: usize = 300;
        let _turn = take_turn();
        let directory = TempDir::new();
        let log = directory.path().join("log");
        let data_dir = directory.path().join("data");
        let mut process = common::Process::start(&data_dir);
        for _ in 0..PINGS {
            process.add("test.counter", 1);
            process.submit("custom", None);
        }
        process.end();
        let mut dice = common::Dice(3);
        let mut children = Vec::new();
        let mut killed = Vec::new();
        for _ in 0..6 {
            // SAFETY: as in `in_child`.
            match unsafe { libc::fork() } {
                0 => {
                    let outcome = std::panic::catch_unwind(|| upload(&data_dir, &log));
                    // SAFETY: ends this process at once.
                    unsafe { libc::_exit(i32::from(outcome.ok() != Some(true))) }
                }
                -1 => panic!("{}", std::io::Error::last_os_error()),
                pid => children.push(pid),
            }
        }
        for pid in children.drain(..3) {
            std::thread::sleep(Duration::from_millis(dice.roll(40)));
            // SAFETY: nobody waited for it, so the number is still its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            killed.push(pid);
        }
        for pid in killed.iter().chain(&children) {
            let (start, mut status) = (Instant::now(), 0);
            // SAFETY: the child is one of this process, and the pointer is valid.
            while unsafe { libc::waitpid(*pid, &raw mut status, libc::WNOHANG) } == 0 {
                assert!(start.elapsed() < Duration::from_secs(600), "a child hangs");
                std::thread::sleep(Duration::from_millis(2));
            }
            assert!(status == 0 || killed.contains(pid), "a child failed");
        }
        let text = fs::read_to_string(&log).unwrap();
        let mut under_way: BTreeMap<&str, &str> = BTreeMap::new();
        let mut ended: BTreeMap<&str, usize> = BTreeMap::new();
        for line in text.lines() {
            let [what, id, pid] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
            if what == "begin" {
                assert_eq!(under_way.insert(id, pid), None, "two processes sent {id}");
            } else {
                assert_eq!(under_way.remove(id), Some(pid));
                *ended.entry(id).or_default() += 1;
            }
        }
        assert!(ended.values().all(|times| *times == 1));
        // What the killed ones had taken is there still, and a later process sends it.
        let waiting = inspect(&data_dir, 0)["waiting"].as_array().unwrap().clone();
        let ids: Vec<&str> = waiting.iter().map(|ping| ping["document_id"].as_str().unwrap()).collect();
        assert!(ids.len() <= killed.len(), "{ids:?}");
        assert!(under_way.keys().all(|id| ids.contains(id)), "{under_way:?} {ids:?}");
        let mut all: Vec<&str> = ended.keys().copied().chain(ids.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), PINGS);
    }
}
