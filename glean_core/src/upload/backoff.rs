//! Pauses after failures, for all processes of a data directory.
//!
//! The pauses of many clients have to be spread, or they come back all at once: each is drawn between nothing and a limit
//! that doubles, and the limit is capped before the draw.

use serde::{Deserialize, Serialize};

use super::lease::LEASE_MS;

/// How many failures in a row cost no pause.
const FREE_FAILURES: u32 = 2;
/// The limit of the first pause.
const FIRST_MS: u64 = 60_000;
/// The limit of all pauses.
///
/// cbindgen:ignore
pub const CAP_MS: u64 = 4 * 3600 * 1000;
/// What a server may ask for: it leaves as much for the draw.
const MAX_ASKED_MS: u64 = CAP_MS / 2;
/// How long a process that starts after a failure waits at most.
const START_MS: u64 = 60_000;

/// What is known of failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backoff {
    /// How many failures there were since the last success.
    pub failures: u32,
    /// When the pause ends, in milliseconds since 1970; 0 if there was none since the last success.
    pub not_before_ms: i64,
    /// Whether a start has drawn its delay already.
    pub is_start_drawn: bool,
}

impl Backoff {
    /// Returns how much of the pause is left. One that is longer than any can be was made by a clock that was wrong.
    pub fn pause_ms(&self, now_ms: i64) -> Option<u64> {
        let rest = u64::try_from(self.not_before_ms.saturating_sub(now_ms)).ok()?;
        (0 < rest && rest <= CAP_MS).then_some(rest)
    }

    /// Tells whether one ping has to get through before the others are sent.
    pub fn is_probing(&self) -> bool {
        self.not_before_ms != 0
    }

    /// A ping could not be sent. `asked_ms` is what the server asked for.
    pub fn fail(&mut self, asked_ms: Option<u64>, now_ms: i64, chance: &mut dyn FnMut(u64) -> u64) {
        self.failures = self.failures.saturating_add(1);
        if self.failures <= FREE_FAILURES && asked_ms.is_none() && !self.is_probing() {
            return;
        }
        let doublings = self.failures.saturating_sub(FREE_FAILURES + 1).min(16);
        let asked_ms = asked_ms.unwrap_or(0).min(MAX_ASKED_MS);
        let limit_ms = (FIRST_MS << doublings).min(CAP_MS - asked_ms);
        self.pause(now_ms, asked_ms + chance(limit_ms));
        self.is_start_drawn = false;
    }

    /// The server took a ping, or said that it never will.
    pub fn succeed(&mut self) {
        *self = Backoff::default();
    }

    /// A process starts: it waits a little, once for each failure, as many start at the same time.
    pub fn start(&mut self, now_ms: i64, chance: &mut dyn FnMut(u64) -> u64) {
        if self.is_probing() && !self.is_start_drawn && self.pause_ms(now_ms).is_none() {
            self.is_start_drawn = true;
            self.pause(now_ms, chance(START_MS));
        }
    }

    /// A ping is about to show whether the server works: other processes wait for that.
    pub fn begin_probe(&mut self, now_ms: i64) {
        if self.is_probing() {
            self.pause(now_ms, LEASE_MS.unsigned_abs());
        }
    }

    /// That ping was given back.
    pub fn end_probe(&mut self, now_ms: i64) {
        if self.is_probing() {
            self.pause(now_ms, 0);
        }
    }

    fn pause(&mut self, now_ms: i64, pause_ms: u64) {
        let end_ms = now_ms.saturating_add(i64::try_from(pause_ms).unwrap_or(i64::MAX));
        // 0 says that there was none.
        self.not_before_ms = if end_ms == 0 { 1 } else { end_ms };
    }
}
