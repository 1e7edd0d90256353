//! Frames: payload bytes with a length and a checksum.
//!
//! A frame starts at a multiple of 8: CRC-32 and length of the payload (both little-endian u32), then the payload,
//! padded with zeros to a multiple of 8. The checksum starts from the offset of the frame, so a frame that was copied to
//! another place is damage. A header of zeros is the end so far; [`SEAL`] in its place is the end for ever.
//!
//! A frame whose length has its highest bit set counts: behind the payload follows one more number, which may grow as
//! long as no other frame follows. It is a multiple of [`COUNT_CODE`], so that no single flipped bit makes another count
//! of it, and it is replaced in one step. This is what makes adding to the same counter again and again cheap, and keeps
//! the journal from growing by it. [`SEALED_COUNT`] in it says that it doesn't grow any more. The checksum of the frame
//! behind it starts from its last count as well: after a power cut, an older count with a younger frame behind it is
//! damage, and not a hole in the order of calls.

/// Size of a header; also the alignment of frames.
pub(crate) const HEADER_BYTES: usize = 8;
/// The largest prime below 2¹⁶. Flipping one bit changes a number by a power of two, which is no multiple of it.
pub(crate) const COUNT_CODE: u64 = 65_521;
/// Set in a count that stays as it is.
pub(crate) const SEALED_COUNT: u64 = 1 << 63;
/// In place of a header: nothing ever follows. No frame has the length 0.
pub(crate) const SEAL: u64 = 0x5345_414c;
/// No operation is nearly as long. A length beyond it is damage, so that nobody makes room for it.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 64 << 20;
const COUNTS: u64 = 1 << 31;

/// Returns the checksum of a payload, starting from what is special about the frame.
fn checksum(payload: &[u8], start: u32) -> u64 {
    let mut hasher = crc32fast::Hasher::new_with_initial(start);
    hasher.update(payload);
    // Never 0, so that a header is never all zeros, whatever the length.
    u64::from(hasher.finalize() | 1)
}

/// Returns where the checksum of the frame at `offset` starts. `previous` is the count of the frame before it, or 0.
fn start(offset: usize, previous: u64) -> u32 {
    offset as u32 ^ previous as u32 ^ (previous >> 32) as u32
}

/// Returns the header of a frame as one number, to be stored in one step.
pub fn header(payload: &[u8], offset: usize, previous: u64) -> u64 {
    checksum(payload, start(offset, previous)) | (payload.len() as u64) << 32
}

/// Returns the header of a frame that counts.
pub fn counting_header(payload: &[u8], offset: usize, previous: u64) -> u64 {
    checksum(payload, !start(offset, previous)) | (payload.len() as u64 | COUNTS) << 32
}

/// Returns how many bytes a frame takes.
pub const fn size(payload_len: usize) -> usize {
    HEADER_BYTES + payload_len.next_multiple_of(HEADER_BYTES)
}

/// Where frames are read from. It may be growing.
pub trait Source {
    /// Returns the 8 bytes at `offset`, read in one step; 0 behind the end.
    fn word(&mut self, offset: usize) -> u64;

    /// Returns the bytes of a payload whose header was read; `None` if they aren't all there.
    fn payload(&mut self, start: usize, length: usize) -> Option<&[u8]>;

    /// [`Source::word`], of what was not read in advance.
    fn fresh_word(&mut self, offset: usize) -> u64 {
        self.word(offset)
    }

    /// Forgets what was read in advance.
    fn refresh(&mut self) {}

    /// Tells whether something could not be read, and was taken for zeros.
    fn has_failed(&self) -> bool {
        false
    }
}

/// Bytes that don't change.
impl Source for &[u8] {
    fn word(&mut self, offset: usize) -> u64 {
        word_at(self, offset)
    }

    fn payload(&mut self, start: usize, length: usize) -> Option<&[u8]> {
        self.get(start..start.checked_add(length)?)
    }
}

/// What is at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An intact frame: the length of its payload.
    Payload(usize),
    /// An intact frame that counts: the length of its payload, and how far it counted.
    Counted(usize, u64),
    /// Nothing yet.
    End,
    /// Nothing ever.
    Sealed,
    /// Something that is no frame.
    Damage,
}

impl Found {
    /// Returns how many bytes it takes; 0 for what is no frame.
    pub fn size(self) -> usize {
        match self {
            Found::Payload(length) => size(length),
            Found::Counted(length, _) => size(length) + HEADER_BYTES,
            Found::End | Found::Sealed | Found::Damage => 0,
        }
    }

    /// Returns what the frame behind it has to know of it.
    pub fn count(self) -> u64 {
        if let Found::Counted(_, count) = self { count } else { 0 }
    }
}

/// Looks for the frame at `offset`; `previous` is the count of the one before.
pub fn find(source: &mut impl Source, offset: usize, previous: u64) -> Found {
    let header = source.word(offset);
    match header {
        0 => return Found::End,
        SEAL => return Found::Sealed,
        _ => (),
    }
    let length = (header >> 32 & !COUNTS) as usize;
    let counts = header >> 32 & COUNTS != 0;
    if length == 0 || length > MAX_PAYLOAD_BYTES {
        return Found::Damage;
    }
    let count = if counts { source.word(offset + size(length)) } else { 0 };
    let Some(payload) = source.payload(offset + HEADER_BYTES, length) else { return Found::Damage };
    if !counts && self::header(payload, offset, previous) == header {
        return Found::Payload(length);
    }
    match read_count(count) {
        Some(count) if counts && counting_header(payload, offset, previous) == header => Found::Counted(length, count),
        _ => Found::Damage,
    }
}

/// Returns how far a count came; `None` if the number is none.
pub fn read_count(word: u64) -> Option<u64> {
    let count = word & !SEALED_COUNT;
    (count != 0 && count % COUNT_CODE == 0).then_some(count / COUNT_CODE)
}

/// Returns the payload of the frame at `offset` of bytes that don't change; `None` if there is none that doesn't count.
pub fn payload_at(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let mut source = bytes;
    match find(&mut source, offset, 0) {
        Found::Payload(length) => bytes.get(offset + HEADER_BYTES..)?.get(..length),
        _ => None,
    }
}

/// Returns the 8 bytes at `offset`, or 0 behind the end.
pub fn word_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..offset.saturating_add(HEADER_BYTES))
        .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes: sliced so")))
}

/// Appends a frame to a growing list of bytes whose length is a multiple of 8.
pub fn push(bytes: &mut Vec<u8>, payload: &[u8]) {
    push_with(bytes, |bytes| bytes.extend_from_slice(payload));
}

/// [`push`] for a payload that `write` appends.
pub fn push_with(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let offset = bytes.len();
    let start = offset + HEADER_BYTES;
    bytes.resize(start, 0);
    write(bytes);
    let header = header(&bytes[start..], offset, 0);
    bytes[offset..start].copy_from_slice(&header.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(HEADER_BYTES), 0);
}

/// Hands every intact frame that doesn't count to `apply`, in order; returns where the first thing that is none begins.
pub fn scan<'a>(bytes: &'a [u8], mut offset: usize, mut apply: impl FnMut(&'a [u8])) -> usize {
    while let Some(payload) = payload_at(bytes, offset) {
        apply(payload);
        offset += size(payload.len());
    }
    offset
}

/// Tells whether a lost or damaged part follows: the bytes at `offset` are no frame, but an intact one comes later, before
/// `end`, or the header is damaged.
///
/// A process that dies while it writes leaves at most one unfinished payload behind a header of zeros.
pub fn is_damaged_from(source: &mut impl Source, offset: usize, previous: u64, end: usize) -> bool {
    if find(source, offset, previous) == Found::Damage {
        return true;
    }
    let mut later = offset + HEADER_BYTES;
    while later < end {
        // The frame before may count, and then its last count is right in front.
        let before = source.word(later - HEADER_BYTES);
        let counts = [0, read_count(before).unwrap_or(0)];
        if source.word(later) != 0 && counts.into_iter().any(|count| find(source, later, count).size() > 0) {
            return true;
        }
        later += HEADER_BYTES;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        payloads.iter().for_each(|payload| push(&mut bytes, payload));
        bytes
    }

    fn found(mut bytes: &[u8], offset: usize, previous: u64) -> String {
        format!("{:?}", find(&mut bytes, offset, previous))
    }

    #[test]
    fn what_was_pushed_is_scanned_in_order() {
        let bytes = frames(&[b"a", b"12345678", b"xyz"]);
        let mut seen = Vec::new();
        let end = scan(&bytes, 8, |payload| seen.push(payload.to_vec()));
        assert_eq!(seen, [b"a".to_vec(), b"12345678".to_vec(), b"xyz".to_vec()]);
        assert_eq!(end, bytes.len());
    }

    #[test]
    fn any_flipped_bit_ends_the_scan_at_its_frame() {
        let bytes = frames(&[b"first", b"second", b"third"]);
        for bit in 64..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut seen = Vec::new();
            let end = scan(&damaged, 8, |payload| seen.push(payload.to_vec()));
            let intact: Vec<Vec<u8>> = [&b"first"[..], b"second", b"third"].iter().map(|p| p.to_vec()).collect();
            assert_eq!(seen[..], intact[..seen.len()]);
            // The only bits that don't count are those of the padding.
            assert!(end <= bit / 8 || seen.len() == 3);
        }
    }

    #[test]
    fn a_frame_at_another_place_is_damage() {
        let bytes = frames(&[b"first", b"again"]);
        let mut moved = bytes.clone();
        moved.copy_within(8..24, 24);
        assert_eq!(found(&moved, 24, 0), "Damage");
    }

    fn counting(payload: &[u8], count: u64) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        bytes.extend_from_slice(&counting_header(payload, 8, 0).to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes
    }

    #[test]
    fn a_count_is_read_and_any_flipped_bit_in_it_is_damage() {
        let bytes = counting(b"abc", 7 * COUNT_CODE);
        let intact = "Counted(3, 7)";
        assert_eq!(found(&bytes, 8, 0), intact);
        for bit in 64..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let is_padding = (19..24).contains(&(bit / 8));
            // The highest bit says that it grows no more, which makes no other number of it.
            let is_seal = bit == bytes.len() * 8 - 1;
            assert_eq!(found(&damaged, 8, 0) == intact, is_padding || is_seal, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_behind_an_older_count_is_damage() {
        let mut bytes = counting(b"abc", 7 * COUNT_CODE);
        bytes.extend_from_slice(&header(b"next", 32, 7).to_le_bytes());
        bytes.extend_from_slice(b"next\0\0\0\0");
        assert_eq!(found(&bytes, 32, 7), "Payload(4)");
        assert_eq!(found(&bytes, 32, 6), "Damage");
    }

    #[test]
    fn an_unfinished_payload_is_an_end_and_a_hole_is_damage() {
        let is_damaged = |bytes: &[u8]| {
            let mut source = bytes;
            is_damaged_from(&mut source, 24, 0, bytes.len())
        };
        let mut bytes = frames(&[b"first", b"second", b"third"]);
        bytes[24..32].fill(0);
        assert!(is_damaged(&bytes));
        let mut torn = frames(&[b"first", b"second"]);
        torn[24..32].fill(0);
        assert!(!is_damaged(&torn));
        assert!(!is_damaged(&frames(&[b"first"])));
    }

    #[test]
    fn a_seal_is_an_end() {
        let mut bytes = frames(&[b"first"]);
        bytes.extend_from_slice(&SEAL.to_le_bytes());
        assert_eq!(found(&bytes, 24, 0), "Sealed");
        assert!(!is_damaged_from(&mut &bytes[..], 24, 0, bytes.len()));
    }
}
