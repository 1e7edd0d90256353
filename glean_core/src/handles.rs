//! Handles: numbers that stand for metrics and pings, checked at each use.

use std::sync::Arc;

use crate::journal::log::Number;
use crate::metrics::timer::Timer;
use crate::metrics::{Kind, Label, MetricDefinition};
use crate::ping::PingDefinition;

const INDEX_BITS: u32 = 24;
const MAX_OBJECTS: usize = 1 << INDEX_BITS;

/// What a handle stands for.
#[derive(Debug)]
pub enum Object {
    /// A metric that can be recorded.
    Metric(Metric),
    /// A labeled metric, whose parts can.
    Labeled(Labeled),
    /// A ping.
    Ping(Arc<PingDefinition>),
}

/// A metric that can be recorded.
#[derive(Debug)]
pub struct Metric {
    /// Its description.
    pub definition: Arc<MetricDefinition>,
    /// Its number in the journal.
    pub number: Number,
    /// Whether it is a sum.
    pub counts: bool,
    /// What it measures right now.
    pub timer: Timer,
}

/// A labeled metric.
#[derive(Debug, Clone)]
pub struct Labeled {
    /// What its parts are.
    pub definition: Arc<MetricDefinition>,
    /// The labels that may be used; any, if `None`.
    pub labels: Option<Arc<Vec<String>>>,
}

impl Labeled {
    /// Returns the description of the part with a label.
    pub fn part(&self, label: &str) -> MetricDefinition {
        let label = match &self.labels {
            None => Label::Dynamic(label.to_owned()),
            Some(labels) => Label::Static(label.to_owned(), labels.iter().any(|listed| listed == label)),
        };
        MetricDefinition { label, ..(*self.definition).clone() }
    }

    /// Returns the description of the part with a key and a category; `None` if it has none of that kind.
    pub fn dual_part(&self, key: &str, category: &str) -> Option<MetricDefinition> {
        matches!(self.definition.kind, Kind::DualLabeledCounter { .. }).then(|| MetricDefinition {
            label: Label::Dual(key.to_owned(), category.to_owned()),
            ..(*self.definition).clone()
        })
    }
}

impl Metric {
    /// Makes a metric that measures nothing.
    pub fn new(definition: Arc<MetricDefinition>) -> Metric {
        let counts = matches!(definition.kind, Kind::Counter | Kind::Denominator(_) | Kind::DualLabeledCounter { .. });
        Metric { counts, definition, number: Number::new(), timer: Timer::default() }
    }
}

/// All objects that have handles.
///
/// A handle is, from the lowest bit: 24 bits of slot, 40 bits of generation. The generation of a slot grows when its object
/// is destroyed, so an old handle doesn't reach the next object. No generation is 0, so 0 is never a handle.
#[derive(Debug)]
pub struct Handles {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u64,
    object: Option<Object>,
}

impl Handles {
    /// Makes an empty table.
    pub const fn new() -> Handles {
        Handles { slots: Vec::new(), free: Vec::new() }
    }

    /// Gives an object a handle; `None` if there are too many.
    pub fn insert(&mut self, object: Object) -> Option<u64> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < MAX_OBJECTS => {
                self.slots.push(Slot { generation: 1, object: None });
                (self.slots.len() - 1) as u32
            }
            None => return None,
        };
        let slot = &mut self.slots[index as usize];
        slot.object = Some(object);
        Some(slot.generation << INDEX_BITS | u64::from(index))
    }

    /// Returns the object of a handle.
    #[inline]
    pub fn get(&mut self, handle: u64) -> Option<&mut Object> {
        let slot = self.slots.get_mut((handle & (MAX_OBJECTS as u64 - 1)) as usize)?;
        if slot.generation == handle >> INDEX_BITS { slot.object.as_mut() } else { None }
    }

    /// Takes the object of a handle out; the handle is good for nothing afterwards.
    pub fn remove(&mut self, handle: u64) -> Option<Object> {
        self.get(handle)?;
        let index = (handle & (MAX_OBJECTS as u64 - 1)) as u32;
        let slot = &mut self.slots[index as usize];
        slot.generation += 1;
        self.free.push(index);
        slot.object.take()
    }
}

impl Default for Handles {
    fn default() -> Handles {
        Handles::new()
    }
}
