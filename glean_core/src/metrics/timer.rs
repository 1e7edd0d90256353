//! Measurements that run, in the memory of the process alone.

use std::collections::BTreeMap;

use super::{Kind, Recording};
use crate::error_recording::ErrorType;
use crate::time::awake_nanos;

/// The id of the one measurement that a timespan has.
const TIMESPAN: u64 = 0;

/// The measurements of one metric: when each was started, by id, on the clock of [`awake_nanos`].
#[derive(Debug, Default)]
pub struct Timer {
    running: BTreeMap<u64, u64>,
    last_id: u64,
}

impl Timer {
    /// Starts to measure and returns the id of that; or what is recorded because it cannot be started.
    pub(crate) fn start(&mut self, kind: &Kind) -> Result<u64, Recording<'static>> {
        let id = match kind {
            Kind::Timespan(_) if self.is_timespan_running() => return Err(invalid_state("started already")),
            Kind::Timespan(_) => TIMESPAN,
            Kind::TimingDistribution(_) => {
                self.last_id += 1;
                self.last_id
            }
            _ => return Err(invalid_state("the type of the metric measures nothing")),
        };
        self.running.insert(id, awake_nanos());
        Ok(id)
    }

    /// Stops to measure and returns what is recorded.
    pub(crate) fn stop(&mut self, id: u64) -> Recording<'static> {
        match self.running.remove(&id).map(|started| awake_nanos().checked_sub(started)) {
            None => invalid_state("not started, or stopped already"),
            Some(None) => Recording::Error(ErrorType::InvalidValue, 1, "the clock went back"),
            Some(Some(nanos)) => Recording::Duration(nanos),
        }
    }

    /// Stops to measure.
    pub(crate) fn cancel(&mut self, id: u64) {
        self.running.remove(&id);
    }

    /// Returns what is recorded when a number is set.
    pub(crate) fn set_number(&self, number: i64) -> Recording<'static> {
        if self.is_timespan_running() {
            return invalid_state("a duration is set while one is measured");
        }
        Recording::NumberSet(number)
    }

    fn is_timespan_running(&self) -> bool {
        self.running.contains_key(&TIMESPAN)
    }
}

fn invalid_state(why: &'static str) -> Recording<'static> {
    Recording::Error(ErrorType::InvalidState, 1, why)
}
