//! What is stored: values in memory ([`state`]), the file they are saved in ([`base`]), and the directory around it.

pub mod base;
pub mod directory;
pub mod event;
pub mod lock;
pub mod state;
pub mod value;

pub use event::{SessionMetadata, StoredEvent};
pub use state::{Address, Entry, State};
pub use value::Value;

/// The pseudo-store whose values make up `client_info`.
pub(crate) const CLIENT_INFO_STORE: &str = "glean_client_info";
/// The pseudo-store of bookkeeping: sequence numbers, start times, experiments, the session.
pub(crate) const INTERNAL_STORE: &str = "glean_internal_info";
/// The pseudo-store whose application-lifetime values appear in every ping.
pub(crate) const ALL_PINGS_STORE: &str = "all-pings";

/// Name of the file with the client id, for the case that the base is lost.
pub(crate) const CLIENT_ID_FILE: &str = "client_id.txt";

/// Tells whether a store belongs to no ping, and so is never switched off.
pub fn is_pseudo_store(store: &str) -> bool {
    [CLIENT_INFO_STORE, INTERNAL_STORE, ALL_PINGS_STORE].contains(&store)
}
