//! How fast pings are sent.

use super::RateLimit;

const DEFAULT: RateLimit = RateLimit { seconds_per_interval: 60, pings_per_interval: 15 };

/// Counts what was sent in the interval that runs. It begins with the first ping after the one before ended.
#[derive(Debug)]
pub struct Rate {
    limit: RateLimit,
    since_ms: Option<u64>,
    sent: u32,
}

impl Rate {
    /// Starts with nothing sent.
    pub fn new(limit: Option<RateLimit>) -> Rate {
        Rate { limit: limit.unwrap_or(DEFAULT), since_ms: None, sent: 0 }
    }

    fn end_ms(&self) -> Option<u64> {
        self.since_ms.map(|since| since.saturating_add(self.limit.seconds_per_interval.saturating_mul(1000)))
    }

    /// Returns how long to wait before the next one; `None` if it may be sent now.
    pub fn rest_ms(&self, uptime_ms: u64) -> Option<u64> {
        let end_ms = self.end_ms().filter(|end_ms| uptime_ms < *end_ms)?;
        // One at a time is always possible, or nothing would ever be sent.
        (self.sent >= self.limit.pings_per_interval.max(1)).then(|| end_ms - uptime_ms)
    }

    /// Counts one.
    pub fn count(&mut self, uptime_ms: u64) {
        if self.end_ms().is_none_or(|end_ms| uptime_ms >= end_ms) {
            self.since_ms = Some(uptime_ms);
            self.sent = 0;
        }
        self.sent += 1;
    }
}
