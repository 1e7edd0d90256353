//! Handles: numbers that stand for metrics and pings, checked at each use.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Failure, GLEAN_INVALID_HANDLE, GLEAN_TOO_MANY_HANDLES, Outcome};

const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;
const MAX_OBJECTS: usize = 1 << INDEX_BITS;

/// The objects of one type that have handles.
///
/// A handle is, from the lowest bit: 24 bits of slot, 32 bits of generation, 8 bits of type. The generation of a slot
/// grows when its object is destroyed, so an old handle doesn't reach the next object.
#[derive(Debug)]
pub struct HandleTable<T> {
    kind: u8,
    slots: RwLock<Slots<T>>,
}

#[derive(Debug)]
struct Slots<T> {
    all: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    object: Option<Arc<T>>,
}

impl<T> HandleTable<T> {
    /// Makes an empty table. `kind` differs between types and isn't 0, so that 0 is never a handle.
    pub const fn new(kind: u8) -> HandleTable<T> {
        assert!(kind != 0, "0 is no handle");
        HandleTable { kind, slots: RwLock::new(Slots { all: Vec::new(), free: Vec::new() }) }
    }

    /// Gives an object a handle.
    pub(crate) fn insert(&self, object: T) -> Result<u64, Failure> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let index = match slots.free.pop() {
            Some(index) => index,
            None if slots.all.len() < MAX_OBJECTS => {
                slots.all.push(Slot { generation: 0, object: None });
                (slots.all.len() - 1) as u32
            }
            None => {
                return Err(Failure::new(GLEAN_TOO_MANY_HANDLES, format!("{MAX_OBJECTS} objects of this type exist")));
            }
        };
        let slot = &mut slots.all[index as usize];
        slot.object = Some(Arc::new(object));
        let kind = u64::from(self.kind) << (INDEX_BITS + GENERATION_BITS);
        Ok(kind | u64::from(slot.generation) << INDEX_BITS | u64::from(index))
    }

    /// Returns the object of a handle.
    pub(crate) fn get(&self, handle: u64) -> Result<Arc<T>, Failure> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let object = self.index(handle).and_then(|(index, generation)| {
            slots.all.get(index).filter(|slot| slot.generation == generation)?.object.clone()
        });
        object.ok_or_else(|| invalid(handle))
    }

    /// Makes a handle invalid. Calls that already have its object finish.
    pub(crate) fn remove(&self, handle: u64) -> Outcome {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let (index, generation) = self.index(handle).ok_or_else(|| invalid(handle))?;
        let slot = slots.all.get_mut(index).filter(|slot| slot.generation == generation && slot.object.is_some());
        let slot = slot.ok_or_else(|| invalid(handle))?;
        slot.object = None;
        slot.generation = slot.generation.wrapping_add(1);
        slots.free.push(index as u32);
        Ok(())
    }

    /// Splits a handle of this type into slot and generation.
    fn index(&self, handle: u64) -> Option<(usize, u32)> {
        let index = handle as usize & (MAX_OBJECTS - 1);
        let generation = (handle >> INDEX_BITS) as u32;
        (handle >> (INDEX_BITS + GENERATION_BITS) == u64::from(self.kind)).then_some((index, generation))
    }
}

fn invalid(handle: u64) -> Failure {
    Failure::new(GLEAN_INVALID_HANDLE, format!("{handle:#x} is no handle of this type, or was destroyed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destroyed_handle_doesnt_reach_the_next_object_in_its_slot() {
        let table = HandleTable::new(1);
        let old = table.insert("old").unwrap();
        table.remove(old).unwrap();
        let new = table.insert("new").unwrap();
        assert_ne!(old, new);
        assert!(table.get(old).is_err());
        assert!(table.remove(old).is_err());
        assert_eq!(*table.get(new).unwrap(), "new");
    }

    #[test]
    fn a_handle_of_another_type_is_refused() {
        let (numbers, texts) = (HandleTable::new(1), HandleTable::new(2));
        let number = numbers.insert(1).unwrap();
        texts.insert("text").unwrap();
        assert!(texts.get(number).is_err());
    }

    #[test]
    fn garbage_is_refused() {
        let table = HandleTable::new(1);
        table.insert(()).unwrap();
        for handle in [0, 1, u64::MAX, 1 << 55, (1 << 56) + 1, (2 << 56)] {
            assert!(table.get(handle).is_err(), "{handle:#x}");
            assert!(table.remove(handle).is_err(), "{handle:#x}");
        }
    }
}
