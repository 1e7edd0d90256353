//! What the core submits by itself when its time comes: the ping `health` shortly after the start, so that it counts what
//! was called during the start, and the ping `metrics` once a day.

use std::time::{Duration, Instant};

use crate::machine::metrics_schedule::METRICS_HOUR;
use crate::machine::op::{Moment, Op};
use crate::time::LocalDatetime;

/// How long after the start the ping `health` is submitted.
const HEALTH_DELAY: Duration = Duration::from_millis(100);
/// How long to sleep at most: the clock on the wall may be set, and stands still for who sleeps while the computer does.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What is due when in this process.
#[derive(Debug)]
pub struct Schedule {
    health: Option<Instant>,
    /// By the clock on the wall.
    metrics_ms: Option<i64>,
}

impl Schedule {
    /// Nothing is due.
    pub const fn new() -> Schedule {
        Schedule { health: None, metrics_ms: None }
    }

    /// Plans what follows a start.
    pub fn start(&mut self, moment: &Moment, has_health: bool, has_metrics: bool) {
        self.health = has_health.then(|| Instant::now() + HEALTH_DELAY);
        self.metrics_ms = has_metrics.then(|| next_metrics_ms(&moment.local, moment.unix_ms));
    }

    /// In the child of a fork: what is due once is submitted by the parent.
    #[cfg(unix)]
    pub fn leave_to_parent(&mut self) {
        self.health = None;
    }

    /// Returns how long to sleep until something may be due; `None` if nothing will be.
    pub fn rest(&self) -> Option<Duration> {
        let health = self.health.map(|due| due.saturating_duration_since(Instant::now()));
        let metrics = self.metrics_ms.map(|due_ms| {
            let rest_ms = u64::try_from(due_ms.saturating_sub(crate::time::unix_ms_now())).unwrap_or(0);
            Duration::from_millis(rest_ms).min(LONGEST_SLEEP)
        });
        health.into_iter().chain(metrics).min()
    }

    /// Takes the ping `health`, if it is still to come: this process ends.
    pub fn take_health(&mut self) -> Option<Op<'static>> {
        self.health.take().map(|_| health(Moment::now()))
    }

    /// Takes what is due.
    pub fn take_due(&mut self) -> Vec<Op<'static>> {
        let mut due = Vec::new();
        if self.health.is_some_and(|due| due <= Instant::now()) {
            due.extend(self.take_health());
        }
        if let Some(due_ms) = self.metrics_ms {
            let moment = Moment::now();
            // It may have been set back meanwhile, and the zone may be another one.
            let next_ms = next_metrics_ms(&moment.local, moment.unix_ms);
            self.metrics_ms = Some(if due_ms <= moment.unix_ms { next_ms } else { due_ms.min(next_ms) });
            if due_ms <= moment.unix_ms {
                due.push(Op::MetricsPingDue(moment));
            }
        }
        due
    }
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule::new()
    }
}

fn health(moment: Moment) -> Op<'static> {
    Op::Submit { ping: "health", reason: Some("pre_init"), moment }
}

/// Returns when the ping `metrics` is due next.
fn next_metrics_ms(local: &LocalDatetime, unix_ms: i64) -> i64 {
    unix_ms.saturating_add(local.ms_until_hour(METRICS_HOUR))
}
