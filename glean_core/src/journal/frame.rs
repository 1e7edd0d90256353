//! Frames: payload bytes with a length and a checksum.
//!
//! A frame starts at a multiple of 8: CRC-32 and length of the payload (both little-endian u32), then the payload,
//! padded with zeros to a multiple of 8. The checksum starts from the offset of the frame, so a frame that was copied to
//! another place is damage. A header of zeros is the end.
//!
//! A frame whose length has its highest bit set counts: behind the payload follows one more number, which may grow as
//! long as no other frame follows. It is a multiple of [`COUNT_CODE`], so that no single flipped bit makes another count
//! of it, and it is replaced in one step. This is what makes adding to the same counter again and again cheap, and keeps
//! the journal from growing by it. The checksum of the frame behind it starts from its last count as well: after a power
//! cut, an older count with a younger frame behind it is damage, and not a hole in the order of calls.

/// Size of a header; also the alignment of frames.
pub(crate) const HEADER_BYTES: usize = 8;
/// The largest prime below 2¹⁶. Flipping one bit changes a number by a power of two, which is no multiple of it.
pub(crate) const COUNT_CODE: u64 = 65_521;
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

/// What is at an offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'a> {
    /// An intact frame: its payload.
    Payload(&'a [u8]),
    /// An intact frame that counts: its payload, and how far it counted.
    Counted(&'a [u8], u64),
    /// Nothing yet.
    End,
    /// Something that is no frame.
    Damage,
}

impl Found<'_> {
    /// Returns how many bytes it takes; 0 for what is no frame.
    pub fn size(&self) -> usize {
        match self {
            Found::Payload(payload) => size(payload.len()),
            Found::Counted(payload, _) => size(payload.len()) + HEADER_BYTES,
            Found::End | Found::Damage => 0,
        }
    }

    /// Returns what the frame behind it has to know of it.
    pub fn count(&self) -> u64 {
        if let Found::Counted(_, count) = self { *count } else { 0 }
    }
}

/// Looks for the frame at `offset` of a file that was read or is mapped; `previous` is the count of the one before.
///
/// `word` reads 8 bytes at an offset in one step, because the file may be growing; 0 behind its end.
pub fn read_with(bytes: &[u8], offset: usize, previous: u64, word: impl Fn(usize) -> u64) -> Found<'_> {
    let header = word(offset);
    if header == 0 {
        return Found::End;
    }
    let length = (header >> 32 & !COUNTS) as usize;
    let start = offset + HEADER_BYTES;
    let Some(payload) = start.checked_add(length).and_then(|end| bytes.get(start..end)) else { return Found::Damage };
    if length == 0 {
        return Found::Damage;
    }
    if self::header(payload, offset, previous) == header {
        return Found::Payload(payload);
    }
    let count = word(offset + size(length));
    if counting_header(payload, offset, previous) == header && count != 0 && count % COUNT_CODE == 0 {
        return Found::Counted(payload, count / COUNT_CODE);
    }
    Found::Damage
}

/// [`read_with`] for bytes that don't change, behind a frame that doesn't count.
pub fn read(bytes: &[u8], offset: usize) -> Found<'_> {
    read_after(bytes, offset, 0)
}

/// [`read_with`] for bytes that don't change.
pub fn read_after(bytes: &[u8], offset: usize, previous: u64) -> Found<'_> {
    read_with(bytes, offset, previous, |offset| word_at(bytes, offset))
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
    while let found @ Found::Payload(payload) = read(bytes, offset) {
        apply(payload);
        offset += found.size();
    }
    offset
}

/// Tells whether a lost or damaged part follows: the bytes at `offset` are no frame, but an intact one comes later or the
/// header is damaged.
///
/// A process that dies while it writes leaves at most one unfinished payload behind a header of zeros.
pub fn is_damaged_from(bytes: &[u8], offset: usize, previous: u64) -> bool {
    if read_after(bytes, offset, previous) == Found::Damage {
        return true;
    }
    let rest = bytes.get(offset..).unwrap_or_default();
    if rest.len() < HEADER_BYTES && rest.iter().any(|byte| *byte != 0) {
        return true;
    }
    let mut later = offset + HEADER_BYTES;
    while later < bytes.len() {
        // The frame before may count, and then its last count is right in front.
        let before = word_at(bytes, later - HEADER_BYTES);
        let counts = [0, if before % COUNT_CODE == 0 { before / COUNT_CODE } else { 0 }];
        let is_frame = |count| matches!(read_after(bytes, later, count), Found::Payload(_) | Found::Counted(..));
        if counts.into_iter().any(is_frame) {
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
        assert_eq!(read(&moved, 24), Found::Damage);
    }

    #[test]
    fn a_count_is_read_and_any_flipped_bit_in_it_is_damage() {
        let mut bytes = vec![0; 8];
        let payload = b"abc";
        bytes.extend_from_slice(&counting_header(payload, 8, 0).to_le_bytes());
        bytes.extend_from_slice(b"abc\0\0\0\0\0");
        bytes.extend_from_slice(&(7 * COUNT_CODE).to_le_bytes());
        assert_eq!(read(&bytes, 8), Found::Counted(payload, 7));
        for bit in 64..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let is_padding = (19..24).contains(&(bit / 8));
            assert_eq!(read(&damaged, 8) == Found::Damage, !is_padding, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_behind_an_older_count_is_damage() {
        let mut bytes = vec![0; 8];
        bytes.extend_from_slice(&counting_header(b"abc", 8, 0).to_le_bytes());
        bytes.extend_from_slice(b"abc\0\0\0\0\0");
        bytes.extend_from_slice(&(7 * COUNT_CODE).to_le_bytes());
        bytes.extend_from_slice(&header(b"next", 32, 7).to_le_bytes());
        bytes.extend_from_slice(b"next\0\0\0\0");
        assert_eq!(read_after(&bytes, 32, 7), Found::Payload(b"next"));
        assert_eq!(read_after(&bytes, 32, 6), Found::Damage);
    }

    #[test]
    fn an_unfinished_payload_is_an_end_and_a_hole_is_damage() {
        let mut bytes = frames(&[b"first", b"second", b"third"]);
        bytes[24..32].fill(0);
        assert!(is_damaged_from(&bytes, 24, 0));
        let mut torn = frames(&[b"first", b"second"]);
        torn[24..32].fill(0);
        assert!(!is_damaged_from(&torn, 24, 0));
        assert!(!is_damaged_from(&frames(&[b"first"]), 24, 0));
    }
}
