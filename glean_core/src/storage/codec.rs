//! Changes of the database as bytes, one journal payload holding any number of them.
//!
//! A change is a tag byte, a lifetime byte, the store, and for `SET` and `REMOVE` the identifier, the label (a presence
//! byte first), and for `SET` the kind and bytes of the value. Texts and values carry a little-endian u32 length.

use uuid::Uuid;

use super::{Address, Value};
use crate::common_metric_data::Lifetime;
use crate::time::{TimeUnit, Timestamp};

const SET: u8 = 1;
const REMOVE: u8 = 2;
const CLEAR: u8 = 3;

const COUNTER: u8 = 1;
const BOOLEAN: u8 = 2;
const STRING: u8 = 3;
const UUID: u8 = 4;
const DATETIME: u8 = 5;

/// One change, read back from a journal.
#[derive(Debug, PartialEq)]
pub enum Change<'a> {
    /// A value was set; `None` if this version doesn't know its kind.
    Set(&'a str, Lifetime, &'a str, Option<&'a str>, Option<Value>),
    /// A value was removed.
    Remove(&'a str, Lifetime, &'a str, Option<&'a str>),
    /// All values of one lifetime were removed from a store.
    Clear(&'a str, Lifetime),
}

/// Appends "this value was set".
pub fn push_set(out: &mut Vec<u8>, store: &str, address: Address<'_>, value: &Value) {
    push_place(out, SET, store, address);
    match value {
        Value::Counter(count) => push_value(out, COUNTER, &count.to_le_bytes()),
        Value::Boolean(value) => push_value(out, BOOLEAN, &[u8::from(*value)]),
        Value::String(text) => push_value(out, STRING, text.as_bytes()),
        Value::Uuid(uuid) => push_value(out, UUID, uuid.as_bytes()),
        Value::Datetime(time, unit) => {
            let mut bytes = [0; 13];
            bytes[..8].copy_from_slice(&time.unix_ms.to_le_bytes());
            bytes[8..12].copy_from_slice(&time.offset_s.to_le_bytes());
            bytes[12] = *unit as u8;
            push_value(out, DATETIME, &bytes);
        }
    }
}

/// Appends "this value was removed".
pub fn push_remove(out: &mut Vec<u8>, store: &str, address: Address<'_>) {
    push_place(out, REMOVE, store, address);
}

/// Appends "all values of this lifetime were removed from the store".
pub fn push_clear(out: &mut Vec<u8>, store: &str, lifetime: Lifetime) {
    out.extend_from_slice(&[CLEAR, lifetime as u8]);
    push_bytes(out, store.as_bytes());
}

/// Hands each change of a payload to `apply`; stops at the first one that doesn't make sense.
pub fn read(payload: &[u8], mut apply: impl FnMut(Change<'_>)) {
    let mut reader = Reader { rest: payload };
    while let Some(change) = reader.change() {
        apply(change);
    }
}

fn push_place(out: &mut Vec<u8>, tag: u8, store: &str, address: Address<'_>) {
    out.extend_from_slice(&[tag, address.lifetime as u8]);
    push_bytes(out, store.as_bytes());
    push_bytes(out, address.identifier.as_bytes());
    out.push(u8::from(address.label.is_some()));
    if let Some(label) = address.label {
        push_bytes(out, label.as_bytes());
    }
}

fn push_value(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    push_bytes(out, bytes);
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("texts are limited far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn change(&mut self) -> Option<Change<'a>> {
        let tag = self.byte()?;
        let lifetime = Lifetime::from_number(self.byte()?.into())?;
        let store = self.text()?;
        if tag == CLEAR {
            return Some(Change::Clear(store, lifetime));
        }
        let identifier = self.text()?;
        let label = if self.byte()? == 0 { None } else { Some(self.text()?) };
        match tag {
            SET => Some(Change::Set(store, lifetime, identifier, label, self.value()?)),
            REMOVE => Some(Change::Remove(store, lifetime, identifier, label)),
            _ => None,
        }
    }

    /// Returns `Some(None)` for a value of a kind that a later version wrote: skipped, the rest is still read.
    fn value(&mut self) -> Option<Option<Value>> {
        let kind = self.byte()?;
        let bytes = self.bytes()?;
        Some(decode_value(kind, bytes))
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.take(4)?;
        let length = u32::from_le_bytes(length.try_into().expect("four bytes: taken so"));
        self.take(length as usize)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }
}

fn decode_value(kind: u8, bytes: &[u8]) -> Option<Value> {
    match kind {
        COUNTER => Some(Value::Counter(i32::from_le_bytes(bytes.try_into().ok()?))),
        BOOLEAN => Some(Value::Boolean(*bytes.first()? != 0)),
        STRING => Some(Value::String(std::str::from_utf8(bytes).ok()?.to_owned())),
        UUID => Some(Value::Uuid(Uuid::from_slice(bytes).ok()?)),
        DATETIME => {
            let bytes: &[u8; 13] = bytes.try_into().ok()?;
            let unix_ms = i64::from_le_bytes(bytes[..8].try_into().expect("eight bytes: sliced so"));
            let offset_s = i32::from_le_bytes(bytes[8..12].try_into().expect("four bytes: sliced so"));
            Some(Value::Datetime(Timestamp { unix_ms, offset_s }, TimeUnit::from_number(bytes[12])?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<Value> {
        vec![
            Value::Counter(i32::MAX),
            Value::Boolean(true),
            Value::String("a\0ü".into()),
            Value::Uuid(Uuid::from_u128(7)),
            Value::Datetime(Timestamp { unix_ms: -1, offset_s: -3600 }, TimeUnit::Day),
        ]
    }

    #[test]
    fn every_kind_of_value_is_read_back() {
        for value in values() {
            let address = Address { lifetime: Lifetime::User, identifier: "a.b", label: Some("l") };
            let mut payload = Vec::new();
            push_set(&mut payload, "store", address, &value);
            push_clear(&mut payload, "other", Lifetime::Ping);
            let mut count = 0;
            read(&payload, |change| {
                match count {
                    0 => {
                        assert_eq!(change, Change::Set("store", Lifetime::User, "a.b", Some("l"), Some(value.clone())))
                    }
                    _ => assert_eq!(change, Change::Clear("other", Lifetime::Ping)),
                }
                count += 1;
            });
            assert_eq!(count, 2);
        }
    }

    #[test]
    fn a_value_of_an_unknown_kind_is_skipped_and_the_rest_is_read() {
        let address = Address::plain(Lifetime::Ping, "x");
        let mut payload = Vec::new();
        push_place(&mut payload, SET, "s", address);
        push_value(&mut payload, 250, b"future");
        push_remove(&mut payload, "s", address);
        let mut seen = Vec::new();
        read(&payload, |change| seen.push(format!("{change:?}")));
        assert_eq!(seen.len(), 2);
        assert!(seen[0].ends_with("None, None)"), "{}", seen[0]);
    }

    #[test]
    fn every_prefix_of_a_payload_is_read_without_a_panic() {
        let mut payload = Vec::new();
        for value in values() {
            push_set(&mut payload, "s", Address::plain(Lifetime::Ping, "x"), &value);
        }
        for length in 0..payload.len() {
            read(&payload[..length], |_| ());
        }
    }
}
