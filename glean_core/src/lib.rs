//! The core of Glean for Python: records metrics, keeps them on disk and turns them into ping files.
//!
//! A call becomes an operation in a [`journal`], which survives the death of the process. The [`engine`] folds journals
//! into what is [`store`]d, by a [`machine`] that knows what each operation means. [`process`] holds the one Glean of a
//! process together, and [`ffi`] is the C ABI over it; `include/glean.h` is generated from that.
//!
//! Telemetry stays out of the host's way: misuse of a metric is recorded as data ([`error_recording`]), I/O trouble is a
//! [`Result`] plus a log line ([`logging`]), and a panic is caught at the C boundary.

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod common_metric_data;
pub mod disk;
pub mod do_not_track;
pub mod engine;
pub mod error;
pub mod error_recording;
pub mod events;
pub mod experiments;
pub mod ffi;
pub mod handles;
pub mod histogram;
pub mod journal;
pub mod logging;
pub mod machine;
pub mod metrics;
pub mod ping;
pub mod process;
pub mod sort;
pub mod store;
pub mod text;
pub mod time;
pub mod upload;

pub use common_metric_data::{CommonMetricData, Lifetime};
pub use error::{Error, Result};
pub use error_recording::ErrorType;
pub use ping::PingDefinition;

/// Version of this crate, reported as `telemetry_sdk_build`.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
