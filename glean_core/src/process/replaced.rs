//! A value of this process that a fork, or an end that waits no longer, leaves to whoever uses it.

use std::sync::atomic::{AtomicPtr, Ordering};

/// A value that is made when it is first used, and can be replaced while somebody uses the old one.
pub(super) struct Replaced<T: 'static>(AtomicPtr<T>);

impl<T: Default> Replaced<T> {
    pub(super) const fn new() -> Replaced<T> {
        Replaced(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Returns the value.
    pub(super) fn get(&self) -> &'static T {
        let current = self.0.load(Ordering::Acquire);
        let current = if current.is_null() {
            let made = Box::into_raw(Box::<T>::default());
            match self.0.compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => made,
                Err(other) => {
                    // SAFETY: made above, and nobody else saw it.
                    drop(unsafe { Box::from_raw(made) });
                    other
                }
            }
        } else {
            current
        };
        // SAFETY: never freed: who replaces it cannot know who still uses it.
        unsafe { &*current }
    }

    /// Leaves the value to whoever uses it now; the next one gets a new one.
    pub(super) fn leave(&self) {
        self.0.store(std::ptr::null_mut(), Ordering::Release);
    }
}
