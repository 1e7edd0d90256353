//! The core of Glean for Python: records metrics, keeps them on disk and turns them into ping files.
//!
//! [`Glean`] owns one data directory. [`global`] holds the one instance of a process together with the calls made before
//! it exists. [`ffi`] is the C ABI over both; `include/glean.h` is generated from it.
//!
//! Telemetry stays out of the host's way: misuse of a metric is recorded as data ([`error_recording`]), I/O trouble is a
//! [`Result`] plus a log line ([`logging`]), and a panic is caught at the C boundary.

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod common_metric_data;
pub mod error;
pub mod error_recording;
pub mod ffi;
pub mod glean;
pub mod global;
pub mod logging;
pub mod metrics;
pub mod ping;
pub mod storage;
pub mod time;

pub use common_metric_data::{CommonMetricData, Lifetime};
pub use error::{Error, Result};
pub use error_recording::ErrorType;
pub use glean::{Configuration, Glean};
pub use ping::{PingDefinition, PingType};

/// Version of this crate, reported as `telemetry_sdk_build`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
