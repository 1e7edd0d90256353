//! How much may wait: the newest pings that fit. Requests for deletion are never removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::observation::Observation;
use super::queue::{self, Folder, Listing};
use crate::sort;

/// How many pings wait at most, if nobody says otherwise.
///
/// cbindgen:ignore
pub const DEFAULT_COUNT: u64 = 500;
/// How many bytes they have together at most.
///
/// cbindgen:ignore
pub const DEFAULT_BYTES: u64 = 50 << 20;
/// How many files are removed at a time.
const REMOVED_AT_ONCE: usize = 256;

/// Why a file is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Count,
    Size,
    Foreign,
}

/// A file to be removed.
#[derive(Debug)]
pub struct Doomed {
    path: PathBuf,
    why: Why,
}

impl Doomed {
    /// One that is no ping.
    pub fn foreign(path: PathBuf) -> Doomed {
        Doomed { path, why: Why::Foreign }
    }
}

/// What [`apply`] found.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many pings there were.
    pub found: u64,
    /// How many bytes those have that stay.
    pub bytes: u64,
    /// What is to be removed, the oldest last.
    pub doomed: Vec<Doomed>,
}

/// Takes out of a listing what is too much, and what is no ping. A ping that is being sent stays.
pub fn apply(listing: &mut Listing, max_count: u64, max_bytes: u64, data_dir: &Path, now_ms: i64) -> Applied {
    let mut applied = Applied { found: listing.pings.len() as u64, ..Applied::default() };
    sort::by(&mut listing.pings, |a, b| b.order().cmp(&a.order()));
    let mut kept = 0;
    let mut why = None;
    listing.pings.retain(|ping| {
        kept += 1;
        applied.bytes = applied.bytes.saturating_add(ping.size_bytes);
        // Whatever is older than the first one that is too much is too much as well.
        if why.is_none() && applied.bytes > max_bytes {
            why = Some(Why::Size);
        } else if why.is_none() && kept > max_count {
            why = Some(Why::Count);
        }
        let Some(why) = why.filter(|_| ping.leased_until(now_ms).is_none()) else { return true };
        applied.bytes -= ping.size_bytes;
        applied.doomed.push(Doomed { path: ping.path(data_dir), why });
        false
    });
    applied.doomed.extend(listing.foreign.drain(..).map(Doomed::foreign));
    applied
}

/// Removes up to `most` of the files, from the last one on; returns what is to be counted.
pub fn remove(doomed: &mut Vec<Doomed>, most: usize) -> Option<Observation> {
    let (mut by_count, mut by_size) = (0, 0);
    for file in doomed.drain(doomed.len().saturating_sub(most)..) {
        // Another process may have been faster, and counts it.
        match (fs::remove_file(&file.path).is_ok(), file.why) {
            (true, Why::Count) => by_count += 1,
            (true, Why::Size) => by_size += 1,
            _ => (),
        }
    }
    (by_count + by_size > 0).then_some(Observation::Trimmed { by_count, by_size })
}

/// Keeps the folder within its bounds while pings are made, and nobody may send them.
///
/// It knows about how much waits, so the folder is read only when that may be too much.
#[derive(Debug)]
pub struct Guard {
    data_dir: PathBuf,
    max_count: u64,
    max_bytes: u64,
    /// At most so many pings and bytes wait; `None` before it looked.
    waiting: Option<(u64, u64)>,
    doomed: Vec<Doomed>,
}

impl Guard {
    /// Makes one; nothing is read.
    pub fn new(data_dir: &Path, max_count: u64, max_bytes: u64) -> Guard {
        Guard { data_dir: data_dir.to_path_buf(), max_count, max_bytes, waiting: None, doomed: Vec::new() }
    }

    /// Takes over that pings were published, and removes some of what is too much; returns what is to be counted.
    pub fn published(&mut self, pings: u64, bytes: u64, now_ms: i64) -> Option<Observation> {
        let waiting = self.waiting.map(|(count, sum)| (count + pings, sum + bytes));
        // A little more than allowed, so that not every ping costs a look at all the others.
        let is_enough = |(count, sum): (u64, u64)| {
            count <= self.max_count + self.max_count / 16 && sum <= self.max_bytes + self.max_bytes / 16
        };
        self.waiting = waiting;
        if self.doomed.is_empty() && !waiting.is_some_and(is_enough) {
            let mut listing = queue::list(&self.data_dir, Folder::Pending);
            let applied = apply(&mut listing, self.max_count, self.max_bytes, &self.data_dir, now_ms);
            self.waiting = Some((listing.pings.len() as u64, applied.bytes));
            self.doomed = applied.doomed;
        }
        remove(&mut self.doomed, REMOVED_AT_ONCE)
    }
}
