//! Events: things that happened, in their order, with up to 50 extras.

use super::EventRecording;
use super::scope::Scope;
use super::string::note_cut;
use crate::error_recording::ErrorType;

/// Longer values of extras are cut.
pub(crate) const MAX_EXTRA_BYTES: usize = 500;

/// Tells whether an event is kept. An extra that isn't allowed is [`ErrorType::InvalidValue`], and the event is dropped.
pub(crate) fn check(scope: &mut Scope<'_>, allowed: &[String], event: &EventRecording) -> bool {
    if let Some(key) = event.extra.keys().find(|key| !allowed.contains(key)) {
        scope.record_error(ErrorType::InvalidValue, 1, &format!("no extra is called {key:?}"));
        return false;
    }
    note_cut(scope, event.cut, MAX_EXTRA_BYTES);
    true
}
