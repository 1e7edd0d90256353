//! The journal of a process: every call, in order, in memory-mapped files that survive the death of the process.
//!
//! A call is an operation, written down. [`frame`] wraps it in a length and a checksum, [`segment`] is one mapped file of frames,
//! [`log`] is what the calls of a process are appended to: memory before `initialize`, segments after it.

pub mod frame;
#[cfg(unix)]
pub mod guard_pages;
pub mod log;
pub mod segment;
