//! The shared library of `glean_core`: what is exported is defined in that crate's `ffi` module.

pub use core_library::ffi::*;
