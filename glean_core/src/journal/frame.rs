//! Frames: payload bytes with a length and a checksum.
//!
//! A frame starts at a multiple of 8: CRC-32 and length of the payload (both little-endian u32), then the payload,
//! padded with zeros to a multiple of 8. The checksum starts from the offset of the frame, so a frame that was copied to
//! another place is damage. A header of zeros is the end.

/// Size of a header; also the alignment of frames.
pub(crate) const HEADER_BYTES: usize = 8;

/// Returns the checksum of a payload in the frame at `offset`.
fn checksum(payload: &[u8], offset: usize) -> u32 {
    // Never 0, so that a header is never all zeros, whatever the length.
    let mut hasher = crc32fast::Hasher::new_with_initial(offset as u32);
    hasher.update(payload);
    hasher.finalize() | 1
}

/// Returns the header of a frame as one number, to be stored in one step.
pub fn header(payload: &[u8], offset: usize) -> u64 {
    u64::from(checksum(payload, offset)) | (payload.len() as u64) << 32
}

/// Returns how many bytes a frame takes.
pub const fn size(payload_len: usize) -> usize {
    HEADER_BYTES + payload_len.next_multiple_of(HEADER_BYTES)
}

/// What is at an offset.
#[derive(Debug, PartialEq)]
pub enum Found<'a> {
    /// An intact frame: its payload.
    Payload(&'a [u8]),
    /// Nothing yet.
    End,
    /// Something that is no frame.
    Damage,
}

/// Looks for the frame at `offset` of a file that was read or is mapped.
///
/// `header` was read from there in one step, because the file may be growing.
pub fn read(bytes: &[u8], offset: usize, header: u64) -> Found<'_> {
    if header == 0 {
        return Found::End;
    }
    let length = (header >> 32) as usize;
    let start = offset + HEADER_BYTES;
    match start.checked_add(length).and_then(|end| bytes.get(start..end)) {
        Some(payload) if length > 0 && self::header(payload, offset) == header => Found::Payload(payload),
        _ => Found::Damage,
    }
}

/// Returns the 8 bytes at `offset`, or 0 behind the end.
pub fn header_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..offset + HEADER_BYTES).map_or(0, |bytes| {
        u64::from_le_bytes(bytes.try_into().expect("eight bytes: sliced so"))
    })
}

/// Appends a frame to a growing list of bytes whose length is a multiple of 8.
pub fn push(bytes: &mut Vec<u8>, payload: &[u8]) {
    let offset = bytes.len();
    bytes.extend_from_slice(&header(payload, offset).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(offset + size(payload.len()), 0);
}

/// Hands every intact frame from `offset` on to `apply`, in order; returns where the first thing that is none begins.
pub fn scan<'a>(bytes: &'a [u8], mut offset: usize, mut apply: impl FnMut(&'a [u8])) -> usize {
    while let Found::Payload(payload) = read(bytes, offset, header_at(bytes, offset)) {
        apply(payload);
        offset += size(payload.len());
    }
    offset
}

/// Tells whether a lost or damaged part follows: the bytes at `offset` are no frame, but an intact one comes later or the
/// header is damaged.
///
/// A process that dies while it writes leaves at most one unfinished payload behind a header of zeros.
pub fn is_damaged_from(bytes: &[u8], offset: usize) -> bool {
    if read(bytes, offset, header_at(bytes, offset)) == Found::Damage {
        return true;
    }
    let mut later = offset + HEADER_BYTES;
    while later < bytes.len() {
        if matches!(read(bytes, later, header_at(bytes, later)), Found::Payload(_)) {
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
        assert_eq!(read(&moved, 24, header_at(&moved, 24)), Found::Damage);
    }

    #[test]
    fn an_unfinished_payload_is_an_end_and_a_hole_is_damage() {
        let mut bytes = frames(&[b"first", b"second", b"third"]);
        bytes[24..32].fill(0);
        assert!(is_damaged_from(&bytes, 24));
        let mut torn = frames(&[b"first", b"second"]);
        torn[24..32].fill(0);
        assert!(!is_damaged_from(&torn, 24));
        assert!(!is_damaged_from(&frames(&[b"first"]), 24));
    }
}
