//! Which ping is sent when, and what becomes of it: with a clock and dice of the test, on real files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::common::{Dice, Process, TempDir};
use flate2::read::GzDecoder;
use glean_core::store::base;
use glean_core::upload::observation::{Failure, Observation};
use glean_core::upload::request::Request;
use glean_core::upload::{Now, Outcome, RateLimit, Step, Task, UploadSettings, Uploader, backoff, lease, notes};
use serde_json::{Value as Json, json};

const ENDPOINT: &str = "https://telemetry.example.org/base?x=1";
const HOUR_MS: i64 = 3_600_000;

/// One process that uploads, with a clock that only the test moves.
struct Client {
    uploader: Uploader,
    now: Now,
    dice: Dice,
    forbidden: Vec<&'static str>,
    observed: Vec<Observation>,
}

impl Client {
    fn new(data_dir: &Path) -> Client {
        Client::with(data_dir, UploadSettings::default())
    }

    fn with(data_dir: &Path, settings: UploadSettings) -> Client {
        Client {
            uploader: Uploader::new(data_dir, &settings),
            now: Now { unix_ms: 1_795_356_047_000, uptime_ms: 5_000 },
            dice: Dice(1),
            forbidden: Vec::new(),
            observed: Vec::new(),
        }
    }

    /// Another process, at the same time.
    fn other(&self, data_dir: &Path) -> Client {
        Client { now: self.now, dice: Dice(2), ..Client::new(data_dir) }
    }

    fn pass(&mut self, ms: u64) {
        self.now.unix_ms += i64::try_from(ms).unwrap();
        self.now.uptime_ms += ms;
    }

    fn step<T>(&mut self, work: impl FnOnce(&mut Uploader, &mut Step<'_>) -> T) -> T {
        let Client { uploader, now, dice, forbidden, observed } = self;
        let mut step = Step {
            now: *now,
            chance: &mut |limit| dice.roll(limit + 1),
            may_send: &|ping| !forbidden.contains(&ping),
            record: &mut |observation| observed.push(observation),
        };
        work(uploader, &mut step)
    }

    fn next(&mut self) -> Task {
        self.step(|uploader, step| uploader.next(ENDPOINT, step))
    }

    fn report(&mut self, request: &Request, outcome: Outcome) -> bool {
        self.step(|uploader, step| uploader.report(&request.document_id, outcome, None, step))
    }

    #[track_caller]
    fn send(&mut self) -> Request {
        match self.next() {
            Task::Send(request) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn done(&mut self) -> Option<u64> {
        match self.next() {
            Task::Done(ms) => ms,
            other => panic!("{other:?}"),
        }
    }

    /// Sends one ping, with this outcome; returns its id.
    #[track_caller]
    fn finish(&mut self, outcome: Outcome) -> String {
        let request = self.send();
        assert!(!self.report(&request, outcome));
        request.document_id
    }

    fn take_observed(&mut self) -> Vec<Observation> {
        let mut observed = std::mem::take(&mut self.observed);
        observed.retain(|observation| !matches!(observation, Observation::Found { .. }));
        observed
    }
}

/// The id of a ping by number.
fn id(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// Writes a ping that is `number` seconds younger than the first one.
fn put(data_dir: &Path, folder: &str, number: u32) -> PathBuf {
    let content = format!(
        "/submit/app/custom/1/{}\n{{\"number\":{number}}}\n{}",
        id(number),
        json!({ "headers": { "X-Debug-ID": "tag" }, "body_has_info_sections": true, "ping_name": "custom",
                "uploader_capabilities": ["a", "b"] })
    );
    put_content(data_dir, folder, number, content.as_bytes())
}

fn put_content(data_dir: &Path, folder: &str, number: u32, content: &[u8]) -> PathBuf {
    let path = data_dir.join(folder).join(id(number));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + u64::from(number));
    File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    path
}

fn put_pending(data_dir: &Path, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        put(data_dir, crate::common::PENDING, number);
    }
}

/// The names of the files in a folder.
fn names(data_dir: &Path, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(data_dir.join(folder)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn pending(data_dir: &Path) -> Vec<String> {
    names(data_dir, crate::common::PENDING)
}

fn notes_file(data_dir: &Path) -> PathBuf {
    data_dir.join("uploads.json")
}

#[test]
fn a_request_has_the_url_the_headers_and_the_compressed_body() {
    let directory = TempDir::new();
    put_pending(directory.path(), [7]);
    let mut client = Client::new(directory.path());
    let request = client.send();
    assert_eq!(request.document_id, id(7));
    assert_eq!(request.url, format!("{ENDPOINT}/submit/app/custom/1/{}", id(7)));
    assert_eq!(request.capabilities, ["a", "b"]);
    let body: Json = serde_json::from_reader(GzDecoder::new(&request.body[..])).unwrap();
    assert_eq!(body, json!({ "number": 7 }));
    let header = |name: &str| request.headers[name].as_str();
    assert_eq!(header("Content-Type"), "application/json; charset=utf-8");
    assert_eq!(header("Content-Encoding"), "gzip");
    assert_eq!(header("Content-Length"), request.body.len().to_string());
    assert_eq!(header("Date"), "Sun, 22 Nov 2026 14:00:47 GMT");
    assert_eq!(header("X-Debug-ID"), "tag");
    let agent = header("X-Telemetry-Agent");
    assert!(agent.starts_with("Glean/") && agent.contains(" (Python on "), "{agent}");
    assert_eq!(request.headers.len(), 6);
}

#[test]
fn nothing_is_sent_without_an_endpoint_and_nothing_is_touched() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1]);
    let mut client = Client::new(directory.path());
    assert!(matches!(client.step(|uploader, step| uploader.next("", step)), Task::Done(None)));
    assert_eq!(pending(directory.path()), [id(1)]);
    assert_eq!(names(directory.path(), "."), [crate::common::PENDING]);
}

#[test]
fn deletion_requests_come_first_then_the_oldest() {
    let directory = TempDir::new();
    put_pending(directory.path(), [3, 1, 2]);
    put(directory.path(), "deletion_request", 9);
    let mut client = Client::new(directory.path());
    let order: Vec<String> = (0..4).map(|_| client.finish(Outcome::HttpStatus(200))).collect();
    assert_eq!(order, [id(9), id(1), id(2), id(3)]);
    assert_eq!(client.done(), None);
    assert!(pending(directory.path()).is_empty());
    assert!(names(directory.path(), "deletion_request").is_empty());
}

#[test]
fn pings_that_one_save_published_are_sent_in_the_order_they_were_submitted_in() {
    let directory = TempDir::new();
    let mut process = Process::start(directory.path());
    for _ in 0..8 {
        process.add("test.counter", 1);
        process.submit("custom", None);
    }
    process.fold();
    let mut client = Client::new(directory.path());
    let order: Vec<i64> = (0..8)
        .map(|_| {
            let request = client.send();
            client.report(&request, Outcome::HttpStatus(200));
            let body: Json = serde_json::from_str(&request.payload).unwrap();
            body["ping_info"]["seq"].as_i64().unwrap()
        })
        .collect();
    assert_eq!(order, (0..8).collect::<Vec<i64>>());
}

#[test]
fn what_is_published_meanwhile_is_sent_in_the_same_window_and_a_deletion_request_at_once() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1, 2]);
    let mut client = Client::new(directory.path());
    assert_eq!(client.finish(Outcome::HttpStatus(200)), id(1));
    put(directory.path(), "deletion_request", 5);
    put_pending(directory.path(), [3]);
    client.uploader.refresh();
    let order: Vec<String> = (0..3).map(|_| client.finish(Outcome::HttpStatus(200))).collect();
    assert_eq!(order, [id(5), id(2), id(3)]);
    // Another process doesn't tell.
    put_pending(directory.path(), [4]);
    assert_eq!(client.finish(Outcome::HttpStatus(200)), id(4));
    assert_eq!(client.done(), None);
}

#[test]
fn each_result_removes_the_ping_or_keeps_it_and_is_counted() {
    let kept = [
        (Outcome::HttpStatus(408), Failure::Status4xx),
        (Outcome::HttpStatus(429), Failure::Status4xx),
        (Outcome::HttpStatus(500), Failure::Status5xx),
        (Outcome::HttpStatus(599), Failure::Status5xx),
        (Outcome::HttpStatus(0), Failure::StatusUnknown),
        (Outcome::HttpStatus(100), Failure::StatusUnknown),
        (Outcome::HttpStatus(301), Failure::StatusUnknown),
        (Outcome::HttpStatus(600), Failure::StatusUnknown),
        (Outcome::Recoverable, Failure::Recoverable),
    ];
    let removed = [
        (Outcome::HttpStatus(400), Failure::Status4xx),
        (Outcome::HttpStatus(499), Failure::Status4xx),
        (Outcome::Unrecoverable, Failure::Unrecoverable),
        (Outcome::Incapable, Failure::Incapable),
    ];
    for (outcome, failure) in kept.into_iter().chain(removed) {
        let directory = TempDir::new();
        put_pending(directory.path(), [1]);
        let mut client = Client::new(directory.path());
        let request = client.send();
        client.pass(250);
        assert!(!client.report(&request, outcome), "{outcome:?}");
        let is_kept = kept.iter().any(|(kept, _)| *kept == outcome);
        let expected = if is_kept { vec![id(1)] } else { Vec::new() };
        assert_eq!(pending(directory.path()), expected, "{outcome:?}");
        assert_eq!(client.take_observed(), [Observation::Failed { failure, ms: 250 }], "{outcome:?}");
    }
    for status in [200, 204, 299] {
        let directory = TempDir::new();
        put_pending(directory.path(), [1]);
        let mut client = Client::new(directory.path());
        let request = client.send();
        client.pass(1_500);
        assert!(!client.report(&request, Outcome::HttpStatus(status)));
        assert!(pending(directory.path()).is_empty());
        assert_eq!(client.take_observed(), [Observation::Sent { ms: 1_500 }]);
    }
}

#[test]
fn an_uploader_that_stops_gives_the_ping_back_and_ends_the_window() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1, 2]);
    let mut client = Client::new(directory.path());
    let request = client.send();
    assert!(client.report(&request, Outcome::Stopped));
    assert_eq!(pending(directory.path()), [id(1), id(2)]);
    assert_eq!(client.take_observed(), []);
    assert!(!notes_file(directory.path()).exists(), "it was no failure");
    assert_eq!(client.finish(Outcome::HttpStatus(200)), id(1));
}

#[test]
fn a_result_for_an_unknown_ping_is_counted() {
    let directory = TempDir::new();
    let mut client = Client::new(directory.path());
    let over = client.step(|uploader, step| uploader.report("nonsense", Outcome::HttpStatus(200), None, step));
    assert!(!over);
    assert_eq!(client.take_observed(), [Observation::UnknownId]);
}

#[test]
fn a_failed_ping_goes_to_the_end_and_the_third_failure_in_a_row_makes_a_pause() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1, 2, 3]);
    let mut client = Client::new(directory.path());
    assert_eq!(client.finish(Outcome::HttpStatus(503)), id(1));
    assert_eq!(client.finish(Outcome::HttpStatus(200)), id(2));
    // A success forgives.
    assert_eq!(client.finish(Outcome::Recoverable), id(3));
    assert_eq!(client.finish(Outcome::Recoverable), id(1));
    assert_eq!(client.finish(Outcome::Recoverable), id(3));
    let pause_ms = client.done().unwrap();
    assert!((1..=60_000).contains(&pause_ms), "{pause_ms}");
    // Also for another process that runs, and for one that starts.
    assert_eq!(client.other(directory.path()).done(), Some(pause_ms));
    client.pass(pause_ms - 1);
    assert_eq!(client.done(), Some(1));
    client.pass(1);
    // One probe; while it runs nobody else tries.
    let probe = client.send();
    assert_eq!(client.other(directory.path()).done(), Some(60_000));
    assert_eq!(client.done(), Some(60_000));
    assert!(!client.report(&probe, Outcome::HttpStatus(200)));
    client.finish(Outcome::HttpStatus(200));
    assert_eq!(client.done(), None);
    assert!(pending(directory.path()).is_empty());
    let content = notes::read(directory.path());
    assert_eq!(content.backoff, backoff::Backoff::default());
    let results: Vec<&str> = content.results.iter().map(|result| result.result.as_str()).collect();
    assert_eq!(results, ["503", "200", "recoverable", "recoverable", "recoverable", "200", "200"]);
}

#[test]
fn a_probe_is_drawn_so_that_a_ping_that_no_server_takes_does_not_stop_the_others() {
    let directory = TempDir::new();
    put_pending(directory.path(), 1..=4);
    let mut client = Client::new(directory.path());
    let mut sent = Vec::new();
    for _ in 0..200 {
        match client.next() {
            Task::Send(request) if request.document_id == id(1) => {
                client.report(&request, Outcome::HttpStatus(500));
            }
            Task::Send(request) => {
                client.report(&request, Outcome::HttpStatus(200));
                sent.push(request.document_id);
            }
            Task::Wait(ms) | Task::Done(Some(ms)) => client.pass(ms),
            Task::Done(None) => break,
        }
        if sent.len() < 7 && sent.len() >= 3 {
            put_pending(directory.path(), [10 + sent.len() as u32]);
        }
    }
    assert_eq!(sent.len(), 7, "{sent:?}");
    assert_eq!(pending(directory.path()), [id(1)]);
}

#[test]
fn a_server_that_asks_for_a_pause_gets_one_and_more() {
    for (outcome, asked_ms, least_ms, most_ms) in [
        (Outcome::HttpStatus(429), None, 0, 60_000),
        (Outcome::HttpStatus(429), Some(90_000), 90_000, 150_000),
        (Outcome::HttpStatus(503), Some(120_000), 120_000, 180_000),
        // Capped, so that there is something to draw.
        (Outcome::HttpStatus(503), Some(u64::MAX - 1), 2 * 3_600_000, 2 * 3_600_000 + 60_000),
    ] {
        for seed in 0..20 {
            let directory = TempDir::new();
            put_pending(directory.path(), [1, 2]);
            let mut client = Client::new(directory.path());
            client.dice = Dice(seed);
            let request = client.send();
            client.step(|uploader, step| uploader.report(&request.document_id, outcome, asked_ms, step));
            let pause_ms = client.done().unwrap_or(0);
            assert!((least_ms..=most_ms).contains(&pause_ms), "{outcome:?} {asked_ms:?}: {pause_ms}");
        }
    }
}

#[test]
fn pauses_double_up_to_four_hours_and_are_drawn_after_the_cap() {
    let mut dice = Dice(3);
    let mut backoff = backoff::Backoff::default();
    let mut limits = Vec::new();
    for _ in 0..14 {
        backoff.fail(None, 0, &mut |limit| {
            limits.push(limit);
            dice.roll(limit + 1)
        });
    }
    let minutes: Vec<u64> = limits.iter().map(|limit| limit / 60_000).collect();
    assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240, 240]);
}

#[test]
fn a_start_after_a_failure_waits_a_little_once() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1]);
    let mut client = Client::new(directory.path());
    for _ in 0..3 {
        client.finish(Outcome::Recoverable);
    }
    client.pass(10 * 60_000);
    let mut second = client.other(directory.path());
    let delay_ms = second.done().unwrap();
    assert!((1..=60_000).contains(&delay_ms), "{delay_ms}");
    // A third one doesn't draw again: programs that live shorter than that would never send.
    second.pass(delay_ms);
    second.other(directory.path()).send();
}

#[test]
fn stored_times_that_no_clock_of_ours_wrote_and_damaged_notes_are_ignored() {
    let now_ms = 1_795_356_047_000_i64;
    let stored = |not_before_ms: i64| json!({ "backoff": { "failures": 9, "not_before_ms": not_before_ms, "is_start_drawn": true } });
    for content in [
        stored(now_ms + 4 * HOUR_MS + 1).to_string().into_bytes(),
        stored(i64::MAX).to_string().into_bytes(),
        stored(i64::MIN).to_string().into_bytes(),
        stored(now_ms).to_string().into_bytes(),
        b"".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe".to_vec(),
        br#"{"backoff":{"failures":-1}}"#.to_vec(),
        br#"{"backoff":{"failures":1e99,"not_before_ms":"x"}}"#.to_vec(),
        vec![b'['; 4 << 20],
    ] {
        let directory = TempDir::new();
        put_pending(directory.path(), [1, 2, 3]);
        fs::write(notes_file(directory.path()), &content).unwrap();
        let mut client = Client::new(directory.path());
        client.finish(Outcome::HttpStatus(200));
        client.done_after_all();
        // It is written anew, small and whole.
        let text = fs::read(notes_file(directory.path())).unwrap();
        assert!(text.len() < 4096 && serde_json::from_slice::<Json>(&text).is_ok());
    }
    let directory = TempDir::new();
    put_pending(directory.path(), [1]);
    fs::write(notes_file(directory.path()), stored(now_ms + 4 * HOUR_MS).to_string()).unwrap();
    assert_eq!(Client::new(directory.path()).done(), Some(backoff::CAP_MS), "the longest that can have been stored");
}

impl Client {
    /// Sends all there is.
    fn done_after_all(&mut self) {
        loop {
            match self.next() {
                Task::Send(request) => drop(self.report(&request, Outcome::HttpStatus(200))),
                Task::Wait(ms) => self.pass(ms),
                Task::Done(_) => return,
            }
        }
    }
}

#[test]
fn what_cannot_be_noted_holds_for_this_process() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1]);
    // In the way, of the file and of its temporary one.
    fs::create_dir(notes_file(directory.path())).unwrap();
    let mut client = Client::new(directory.path());
    for _ in 0..3 {
        client.finish(Outcome::Recoverable);
    }
    let pause_ms = client.done().unwrap();
    client.pass(pause_ms);
    client.finish(Outcome::HttpStatus(200));
    assert_eq!(client.done(), None);
    assert!(names(directory.path(), "tmp").is_empty(), "nothing is left of the attempts");
}

#[test]
fn fifteen_pings_are_sent_in_a_minute_and_three_waits_in_a_row_end_the_window() {
    let directory = TempDir::new();
    put_pending(directory.path(), 0..40);
    let mut client = Client::new(directory.path());
    for number in 0..15 {
        assert_eq!(client.finish(Outcome::HttpStatus(200)), id(number));
        client.pass(1_000);
    }
    for _ in 0..3 {
        assert!(matches!(client.next(), Task::Wait(45_000)));
    }
    assert_eq!(client.done(), Some(45_000));
    assert!(matches!(client.next(), Task::Wait(45_000)), "a new window");
    client.pass(44_999);
    assert!(matches!(client.next(), Task::Wait(1)));
    client.pass(1);
    for number in 15..30 {
        assert_eq!(client.finish(Outcome::HttpStatus(200)), id(number));
    }
    assert!(matches!(client.next(), Task::Wait(60_000)));
    // The clock on the wall may jump.
    client.now.unix_ms -= 400 * 24 * HOUR_MS;
    assert!(matches!(client.next(), Task::Wait(60_000)));
    let rate_limit = Some(RateLimit { seconds_per_interval: 10, pings_per_interval: 2 });
    let mut other = Client::with(directory.path(), UploadSettings { rate_limit, ..UploadSettings::default() });
    other.finish(Outcome::HttpStatus(200));
    other.finish(Outcome::HttpStatus(200));
    assert!(matches!(other.next(), Task::Wait(10_000)));
}

#[test]
fn the_newest_pings_that_fit_are_kept_and_deletion_requests_always() {
    let directory = TempDir::new();
    put_pending(directory.path(), 0..30);
    for number in 100..120 {
        put(directory.path(), "deletion_request", number);
    }
    let limits = UploadSettings { max_pending_pings_count: Some(10), ..UploadSettings::default() };
    let mut client = Client::with(directory.path(), limits);
    client.send();
    let expected: Vec<String> = (20..30).map(id).collect();
    assert_eq!(pending(directory.path()), expected);
    assert_eq!(names(directory.path(), "deletion_request").len(), 20);
    assert_eq!(client.take_observed(), [Observation::Trimmed { by_count: 20, by_size: 0 }]);

    let directory = TempDir::new();
    put_pending(directory.path(), 0..30);
    let size = fs::metadata(directory.path().join(crate::common::PENDING).join(id(20))).unwrap().len();
    let limits = UploadSettings { max_pending_pings_directory_size: Some(size * 5 + 1), ..UploadSettings::default() };
    let mut client = Client::with(directory.path(), limits);
    client.send();
    assert_eq!(pending(directory.path()).len(), 5);
    assert_eq!(client.take_observed(), [Observation::Trimmed { by_count: 0, by_size: 25 }]);
}

#[test]
fn a_folder_full_of_files_is_emptied_in_bounded_steps() {
    const FILES: u32 = 2_000;
    let directory = TempDir::new();
    let folder = directory.path().join(crate::common::PENDING);
    fs::create_dir(&folder).unwrap();
    for number in 0..FILES {
        File::create(folder.join(if number % 2 == 0 { id(number) } else { format!("foreign {number}") })).unwrap();
    }
    let limits = UploadSettings { max_pending_pings_count: Some(0), ..UploadSettings::default() };
    let mut client = Client::with(directory.path(), limits);
    let mut left = FILES as usize;
    loop {
        let is_done = matches!(client.next(), Task::Done(None));
        let now = fs::read_dir(&folder).unwrap().count();
        assert!(left - now <= 512, "one step removed {}", left - now);
        left = now;
        if is_done {
            break;
        }
    }
    assert_eq!(left, 0);
    let removed: u32 = client
        .take_observed()
        .iter()
        .map(|observation| match observation {
            Observation::Trimmed { by_count, .. } => *by_count,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(removed, FILES / 2);
}

#[test]
fn what_is_no_ping_is_removed_and_what_is_too_large_is_counted() {
    let directory = TempDir::new();
    let put = |number, content: &[u8]| put_content(directory.path(), crate::common::PENDING, number, content);
    let mut dice = Dice(5);
    // Digits take more than three bits each, however well they are compressed.
    let digits: String = (0..4_000_000).map(|_| char::from(b'0' + dice.roll(10) as u8)).collect();
    put(1, b"");
    put(2, b"/submit/a/b/1/c\n");
    put(3, b"/submit/a/b/1/c\nno json\n{}");
    put(4, b"@elsewhere.example\n{}\n{}");
    put(5, b"\xff\n{}\n{}");
    put(6, format!("/submit/a/b/1/c\n\"{digits}\"").as_bytes());
    put(7, b"/submit/a/named/1/c\n{\"fine\":1}\nno metadata");
    put(8, b"/a\n{}\n{\"headers\":{\"X-A\":\"b\\r\\nX-B: c\",\"X-C\":\"d\"}}");
    fs::write(directory.path().join(crate::common::PENDING).join("notes.txt"), "foreign").unwrap();
    fs::create_dir(directory.path().join(crate::common::PENDING).join("folder")).unwrap();
    let mut client = Client::new(directory.path());
    let seventh = client.send();
    assert_eq!((seventh.document_id.clone(), seventh.ping_name.as_str()), (id(7), "named"));
    let observed = client.take_observed();
    assert!(matches!(observed[..], [Observation::TooLarge { bytes }] if bytes > 1 << 20), "{observed:?}");
    client.report(&seventh, Outcome::HttpStatus(200));
    let eighth = client.send();
    assert_eq!((eighth.headers.get("X-A"), eighth.headers.get("X-C").unwrap().as_str()), (None, "d"));
    client.report(&eighth, Outcome::HttpStatus(200));
    assert_eq!(client.done(), None);
    assert_eq!(pending(directory.path()), ["folder"]);
}

#[test]
fn a_ping_that_was_removed_or_is_not_agreed_to_any_more_is_not_sent() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1, 2, 3]);
    put(directory.path(), "deletion_request", 4);
    let mut client = Client::new(directory.path());
    assert_eq!(client.finish(Outcome::HttpStatus(200)), id(4));
    fs::remove_file(directory.path().join(crate::common::PENDING).join(id(1))).unwrap();
    let second = client.send();
    assert_eq!(second.document_id, id(2));
    // It is removed while it is sent: a failure doesn't bring it back.
    for name in pending(directory.path()).iter().filter(|name| name.starts_with(&id(2))) {
        fs::remove_file(directory.path().join(crate::common::PENDING).join(name)).unwrap();
    }
    client.report(&second, Outcome::Recoverable);
    client.forbidden.push("custom");
    put(directory.path(), "deletion_request", 5);
    client.uploader.refresh();
    assert_eq!(client.finish(Outcome::HttpStatus(200)), id(5), "a deletion request is sent nevertheless");
    assert_eq!(client.done(), None);
    assert_eq!(pending(directory.path()), [id(3)], "the fold removes it");
}

#[test]
fn two_processes_never_send_a_ping_at_once_and_a_killed_one_gives_its_ping_back() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1, 2]);
    let mut first = Client::new(directory.path());
    let mut second = first.other(directory.path());
    assert_eq!(first.send().document_id, id(1));
    assert_eq!(second.finish(Outcome::HttpStatus(200)), id(2));
    assert_eq!(second.done(), Some(60_000));
    drop(first);
    second.pass(59_999);
    assert_eq!(second.done(), Some(1));
    second.pass(1);
    assert_eq!(second.finish(Outcome::HttpStatus(200)), id(1));
    assert!(pending(directory.path()).is_empty());
}

/// Returns a process, beside a ping that another one has taken until so many milliseconds from now.
fn beside_a_lease(rest_ms: i64) -> (TempDir, Client) {
    let directory = TempDir::new();
    let path = put(directory.path(), crate::common::PENDING, 1);
    let client = Client::new(directory.path());
    let until_ms = client.now.unix_ms + rest_ms;
    fs::rename(&path, path.with_file_name(format!("{}.sending-{until_ms}", id(1)))).unwrap();
    (directory, client)
}

#[test]
fn a_ping_that_another_process_took_after_the_look_at_the_clock_is_left_to_it() {
    let (_directory, mut client) = beside_a_lease(60_001);
    assert_ne!(client.done(), None, "it looks again when the lease ends");
}

#[test]
fn a_lease_from_a_clock_that_was_wrong_does_not_last() {
    let (_directory, mut client) = beside_a_lease(120_001);
    assert_eq!(client.send().document_id, id(1));
}

#[test]
fn a_copy_of_a_ping_that_is_sent_is_not_sent_and_goes_with_it() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1]);
    let mut client = Client::new(directory.path());
    let request = client.send();
    // A save that was interrupted is carried out again.
    put_pending(directory.path(), [1]);
    assert_eq!(client.other(directory.path()).done(), Some(60_000));
    client.report(&request, Outcome::HttpStatus(200));
    assert!(pending(directory.path()).is_empty());
}

#[test]
fn a_save_that_is_carried_out_again_leaves_a_ping_alone_that_is_being_sent() {
    for mark in [base::mark::BEGUN, base::mark::PUBLISHED] {
        for is_damaged in [false, true] {
            let directory = TempDir::new();
            let mut process = Process::start(directory.path());
            process.add("test.counter", 4);
            process.submit("custom", None);
            process.fold();
            process.kill();
            let mut client = Client::new(directory.path());
            let request = client.send();
            let [leased] = &pending(directory.path())[..] else { panic!("one file") };
            // It died before it noted that the ping is published; the power may have gone as well.
            let base = directory.path().join("db").join("base");
            let mut bytes = fs::read(&base).unwrap();
            bytes[8..16].copy_from_slice(&mark);
            fs::write(base, bytes).unwrap();
            if is_damaged {
                fs::write(directory.path().join(crate::common::PENDING).join(leased), "").unwrap();
            }
            Process::start(directory.path()).fold();
            if is_damaged {
                assert_eq!(pending(directory.path()), std::slice::from_ref(&request.document_id));
                assert_eq!(crate::common::sum_sent(directory.path(), "custom", "test.counter"), 4);
            } else {
                assert_eq!(pending(directory.path()), std::slice::from_ref(leased));
            }
            client.report(&request, Outcome::HttpStatus(200));
            assert!(pending(directory.path()).is_empty());
        }
    }
}

#[test]
fn closing_gives_back_what_is_being_sent() {
    let directory = TempDir::new();
    put_pending(directory.path(), [1]);
    let mut client = Client::new(directory.path());
    client.send();
    client.uploader.close();
    assert_eq!(pending(directory.path()), [id(1)]);
}

#[test]
fn names_of_files_are_ids_with_or_without_a_lease() {
    let name = id(1);
    assert_eq!(lease::parse(&name), Some((name.as_str(), None)));
    let leased = format!("{name}.sending-17");
    assert_eq!(lease::parse(&leased), Some((name.as_str(), Some(17))));
    for foreign in ["", "x", ".sending-1", "notes.txt", &format!("{name}.sending-x"), &format!("{name}.tmp")] {
        assert_eq!(lease::parse(foreign), None, "{foreign}");
    }
}

/// A server that is down for a day, as 100,000 clients see it; returns their attempts after it came back.
fn attempts_after_an_outage(clients: u32) -> Vec<i64> {
    const DAY_MS: i64 = 24 * HOUR_MS;
    let mut dice = Dice(11);
    let mut attempts = Vec::new();
    for _ in 0..clients {
        let mut backoff = backoff::Backoff::default();
        // Each has its first ping at some time of the first hour.
        let mut now_ms = 1 + dice.roll(HOUR_MS as u64) as i64;
        while now_ms < DAY_MS {
            backoff.fail(None, now_ms, &mut |limit| dice.roll(limit + 1));
            // Those that cost no pause take some seconds each.
            now_ms += backoff.pause_ms(now_ms).map_or(5_000, |pause_ms| pause_ms as i64);
        }
        attempts.push(now_ms - DAY_MS);
    }
    attempts
}

#[test]
fn a_server_that_returns_sees_no_more_than_twice_the_mean_of_its_clients() {
    let attempts = attempts_after_an_outage(100_000);
    let last_ms = *attempts.iter().max().unwrap();
    assert!(last_ms <= 4 * HOUR_MS, "every client is back within the longest pause: {last_ms}");
    const SLOT_MS: i64 = 15 * 60_000;
    let mut slots = vec![0_u32; (4 * HOUR_MS / SLOT_MS) as usize];
    attempts.iter().for_each(|at_ms| slots[((at_ms / SLOT_MS) as usize).min(15)] += 1);
    let mean = f64::from(slots.iter().sum::<u32>()) / slots.len() as f64;
    let peak = f64::from(*slots.iter().max().unwrap());
    assert!(peak <= 2.0 * mean, "peak {peak}, mean {mean}: {slots:?}");
}
