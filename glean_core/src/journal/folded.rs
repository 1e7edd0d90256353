//! How far a segment is folded: what a base says of it, and a copy of that in the segment itself.
//!
//! The base is what counts. Its copy is for the case that somebody removes the base and not the segment: what was folded
//! into it may be in pings, and must not be counted again.

use serde::{Deserialize, Serialize};

use super::frame::{HEADER_BYTES, Source};
use super::segment::{FRAMES, MAGIC};

/// How many words a [`Note`] has.
pub(crate) const NOTE_WORDS: usize = 5;

/// How far a segment is folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The offset of the first frame that isn't.
    pub offset: u64,
    /// If that one counts, how much of it is.
    pub counted: u64,
    /// If the one before counts, how far.
    pub previous: u64,
}

impl Position {
    /// Nothing is.
    pub(crate) const START: Position = Position { offset: FRAMES as u64, counted: 0, previous: 0 };
    /// The rest was given up.
    pub(crate) const GIVEN_UP: Position = Position { offset: u64::MAX, counted: 0, previous: 0 };
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which base has it: the number that it keeps from save to save.
    pub lineage: u64,
    /// How much of it.
    pub position: Position,
}

impl Note {
    /// Returns the words to be written into the segment. The last one is a checksum.
    pub fn to_words(self) -> [u64; NOTE_WORDS] {
        let Position { offset, counted, previous } = self.position;
        let words = [self.lineage, offset, counted, previous];
        [words[0], words[1], words[2], words[3], checksum(&words)]
    }

    /// Reads it from a segment.
    pub fn read(source: &mut impl Source) -> Note {
        Note::from_words(std::array::from_fn(|index| source.word(MAGIC.len() + index * HEADER_BYTES)))
    }

    /// Reads it from its words. Where there is none, nothing is folded; of a damaged one nobody knows how much is.
    fn from_words(words: [u64; NOTE_WORDS]) -> Note {
        match words {
            [0, 0, 0, 0, 0] => Note { lineage: 0, position: Position::START },
            [lineage, offset, counted, previous, sum] if sum == checksum(&words[..NOTE_WORDS - 1]) => {
                Note { lineage, position: Position { offset, counted, previous } }
            }
            _ => Note { lineage: u64::MAX, position: Position::GIVEN_UP },
        }
    }

    /// Returns how far a segment that is there is folded, for a base that says nothing of it. One of the same lineage would
    /// say it if it had any of it.
    pub fn for_base(self, lineage: u64) -> Position {
        if self.lineage == lineage { Position::START } else { self.position }
    }
}

fn checksum(words: &[u64]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    words.iter().for_each(|word| hasher.update(&word.to_le_bytes()));
    u64::from(hasher.finalize() | 1)
}
