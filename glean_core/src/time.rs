//! Points in time with their UTC offset, and their spelling in pings.

use chrono::{DateTime, Datelike, FixedOffset, Local, Timelike, Utc};

/// The precision a time is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TimeUnit {
    /// Three digits of a second.
    Millisecond = 2,
    /// No fraction.
    Second = 3,
    /// Hours and minutes.
    Minute = 4,
    /// The date only.
    Day = 6,
}

impl TimeUnit {
    /// Returns the unit with this number.
    pub fn from_number(number: u8) -> Option<TimeUnit> {
        [TimeUnit::Millisecond, TimeUnit::Second, TimeUnit::Minute, TimeUnit::Day]
            .into_iter()
            .find(|unit| *unit as u8 == number)
    }
}

/// A point in time and the offset of the clock on the wall there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Milliseconds since 1970-01-01T00:00:00 UTC.
    pub unix_ms: i64,
    /// Seconds to add to UTC to get local time.
    pub offset_s: i32,
}

impl Timestamp {
    /// Returns the current time with the local offset.
    pub fn now() -> Timestamp {
        let now = Local::now();
        Timestamp { unix_ms: now.timestamp_millis(), offset_s: now.offset().local_minus_utc() }
    }

    /// Returns 1970-01-01T00:00:00+00:00.
    pub fn epoch() -> Timestamp {
        Timestamp { unix_ms: 0, offset_s: 0 }
    }

    /// Writes the local time cut to `unit`, then the offset as `±HH:MM`.
    ///
    /// A time or an offset that no calendar holds is written as 1970-01-01 UTC.
    pub fn to_text(self, unit: TimeUnit) -> String {
        let utc = DateTime::<Utc>::from_timestamp_millis(self.unix_ms).unwrap_or_default();
        let offset = FixedOffset::east_opt(self.offset_s)
            .unwrap_or_else(|| FixedOffset::east_opt(0).expect("zero is a valid offset"));
        let local = utc.with_timezone(&offset);
        let mut text = format!("{:04}-{:02}-{:02}", local.year(), local.month(), local.day());
        if unit != TimeUnit::Day {
            text += &format!("T{:02}:{:02}", local.hour(), local.minute());
        }
        if unit == TimeUnit::Second || unit == TimeUnit::Millisecond {
            text += &format!(":{:02}", local.second());
        }
        if unit == TimeUnit::Millisecond {
            text += &format!(".{:03}", local.timestamp_subsec_millis());
        }
        let offset_s = offset.local_minus_utc();
        let sign = if offset_s < 0 { '-' } else { '+' };
        let minutes = offset_s.abs() / 60;
        text + &format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_cuts_and_keeps_the_offset() {
        let time = Timestamp { unix_ms: 1_614_830_767_123, offset_s: 3600 };
        assert_eq!(time.to_text(TimeUnit::Millisecond), "2021-03-04T05:06:07.123+01:00");
        assert_eq!(time.to_text(TimeUnit::Second), "2021-03-04T05:06:07+01:00");
        assert_eq!(time.to_text(TimeUnit::Minute), "2021-03-04T05:06+01:00");
        assert_eq!(time.to_text(TimeUnit::Day), "2021-03-04+01:00");
    }

    #[test]
    fn zones_west_of_greenwich_and_times_before_1970_are_written_right() {
        let time = Timestamp { unix_ms: -1, offset_s: -(5 * 3600 + 1800) };
        assert_eq!(time.to_text(TimeUnit::Millisecond), "1969-12-31T18:29:59.999-05:30");
    }

    #[test]
    fn nonsense_is_written_as_the_epoch() {
        let time = Timestamp { unix_ms: i64::MAX, offset_s: i32::MAX };
        assert_eq!(time.to_text(TimeUnit::Second), "1970-01-01T00:00:00+00:00");
    }
}
