//! Tests of the layers below the C boundary. Each has its own directory, so one program runs them side by side.

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod disks;
mod layers;
mod metric_types;
mod pings;
mod processes;
mod schedule;
mod storage;
mod uploads;
