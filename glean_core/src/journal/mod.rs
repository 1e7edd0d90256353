//! Where calls are kept: [`frame`]s of bytes, in [`segment`]s, which a process appends to through its [`log`].
//!
//! What the bytes mean is not known here.

pub mod file;
pub mod folded;
pub mod frame;
pub mod log;
pub mod map;
pub mod segment;
