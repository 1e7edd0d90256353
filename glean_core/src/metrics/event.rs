//! Events: things that happened, in their order, with up to 50 extras.

use super::EventRecording;
use super::string::note_cut;
use crate::error_recording::ErrorType;
use crate::events;
use crate::machine::scope::Scope;

/// Longer values of extras are cut.
pub(crate) const MAX_EXTRA_BYTES: usize = 500;

/// Records an event. An extra that isn't allowed is [`ErrorType::InvalidValue`], and the event is dropped.
pub(super) fn record(scope: &mut Scope<'_, '_>, allowed: &[String], event: &EventRecording) {
    if !scope.machine.context.collection_enabled {
        return;
    }
    if let Some(key) = event.extra.keys().find(|key| !allowed.contains(key)) {
        return scope.record_error(ErrorType::InvalidValue, 1, &format!("no extra is called {key:?}"));
    }
    note_cut(scope, event.cut, MAX_EXTRA_BYTES);
    let known = scope.known();
    events::record(scope.machine, &known, event);
}
