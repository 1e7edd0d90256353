//! Points in time with their UTC offset, their spelling in pings, and the clocks that measure durations.

#[cfg(not(target_vendor = "apple"))]
use chrono::{Datelike, Local, NaiveDate, Timelike};
#[cfg(target_vendor = "apple")]
use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

const SECONDS_PER_DAY: i64 = 86_400;
const MS_PER_MINUTE: i64 = 60_000;
const NANOS_PER_SECOND: u32 = 1_000_000_000;
const NANOS_PER_MS: u32 = 1_000_000;

/// The precision a time is written with, and the unit of a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// A fraction of 0, 3, 6 or 9 digits, as needed.
    Nanosecond,
    /// Six digits of a second.
    Microsecond,
    /// Three digits of a second.
    Millisecond,
    /// No fraction.
    Second,
    /// Hours and minutes.
    Minute,
    /// Hours.
    Hour,
    /// The date only.
    Day,
}

impl TimeUnit {
    /// Returns the nanoseconds of that many units; saturates.
    pub fn to_nanos(self, units: u64) -> u64 {
        units.saturating_mul(self.nanos())
    }

    /// Returns the nanoseconds of one unit.
    fn nanos(self) -> u64 {
        match self {
            TimeUnit::Nanosecond => 1,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Minute => 60_000_000_000,
            TimeUnit::Hour => 3_600_000_000_000,
            TimeUnit::Day => 86_400_000_000_000,
        }
    }
}

/// Returns how many whole units fit into `nanos`; saturates.
pub fn nanos_to_unit(nanos: u64, unit: TimeUnit) -> i64 {
    i64::try_from(nanos / unit.nanos()).unwrap_or(i64::MAX)
}

/// Returns the last full minute up to a time, both in milliseconds since 1970.
pub fn start_of_minute(unix_ms: i64) -> i64 {
    unix_ms.saturating_sub(unix_ms.rem_euclid(MS_PER_MINUTE))
}

/// What a calendar, a clock on the wall and a map show: local date and time to the nanosecond, and the UTC offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalDatetime {
    year: i32,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    /// From 1,000,000,000 on it is the fraction of a leap second that follows `second`.
    nanos: u32,
    offset_seconds: i32,
}

impl LocalDatetime {
    /// Puts a local time together.
    ///
    /// # Arguments
    ///
    /// * `nanos`: below 2,000,000,000; the second half stands for a leap second.
    /// * `offset_seconds`: what to add to UTC to get local time, less than 24 hours either way.
    ///
    /// # Returns
    ///
    /// `None` if a number is out of range or the calendar doesn't have the date.
    #[expect(clippy::too_many_arguments, reason = "these are the fields of the C function, in its order")]
    pub fn new(
        year: i32,
        month: u32,
        day: u32,
        hour: u32,
        minute: u32,
        second: u32,
        nanos: u32,
        offset_seconds: i32,
    ) -> Option<LocalDatetime> {
        NaiveDate::from_ymd_opt(year, month, day)?;
        let is_valid = hour < 24
            && minute < 60
            && second < 60
            && nanos < 2 * NANOS_PER_SECOND
            && i64::from(offset_seconds).abs() < SECONDS_PER_DAY;
        let byte = |number: u32| u8::try_from(number).ok();
        is_valid.then_some(LocalDatetime {
            year,
            month: byte(month)?,
            day: byte(day)?,
            hour: byte(hour)?,
            minute: byte(minute)?,
            second: byte(second)?,
            nanos,
            offset_seconds,
        })
    }

    /// Returns the current time in the local time zone.
    #[cfg(target_vendor = "apple")]
    pub fn from_now() -> LocalDatetime {
        LocalDatetime::from_now_by_libc().unwrap_or_else(LocalDatetime::epoch)
    }

    /// Returns the current time in the local time zone.
    #[cfg(not(target_vendor = "apple"))]
    pub fn from_now() -> LocalDatetime {
        let now = Local::now();
        let offset_seconds = now.offset().local_minus_utc();
        let (date, time) = (now.date_naive(), now.time());
        LocalDatetime::new(
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.nanosecond(),
            offset_seconds,
        )
        .unwrap_or_else(LocalDatetime::epoch)
    }

    /// Returns the current time in the local time zone by the C library; `None` where it does not know.
    ///
    /// On macOS chrono asks a framework, which a library that is linked without Apple's SDK cannot have.
    #[cfg(any(target_vendor = "apple", all(test, unix)))]
    fn from_now_by_libc() -> Option<LocalDatetime> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        let seconds = now.as_secs().try_into().ok()?;
        let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: both pointers are valid for the call, which fills in `parts` unless it returns null.
        let is_known = unsafe { !libc::localtime_r(&seconds, parts.as_mut_ptr()).is_null() };
        // SAFETY: all zeros is a valid `tm`, whose text may be null.
        let parts = unsafe { parts.assume_init() };
        is_known.then_some(())?;
        LocalDatetime::new(
            parts.tm_year.checked_add(1900)?,
            u32::try_from(parts.tm_mon).ok()? + 1,
            u32::try_from(parts.tm_mday).ok()?,
            u32::try_from(parts.tm_hour).ok()?,
            u32::try_from(parts.tm_min).ok()?,
            u32::try_from(parts.tm_sec).ok()?.min(59), // 60 in a leap second.
            now.subsec_nanos(),
            i32::try_from(parts.tm_gmtoff).ok()?,
        )
    }

    /// Returns 1970-01-01T00:00:00+00:00.
    pub fn epoch() -> LocalDatetime {
        LocalDatetime { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanos: 0, offset_seconds: 0 }
    }

    /// Returns milliseconds since 1970-01-01T00:00:00 UTC, rounded down.
    pub fn unix_ms(&self) -> i64 {
        // Only a damaged stored value has no date.
        let date = NaiveDate::from_ymd_opt(self.year, self.month.into(), self.day.into()).unwrap_or_default();
        let days = date.signed_duration_since(NaiveDate::default()).num_days();
        let minutes = i64::from(self.hour) * 60 + i64::from(self.minute);
        let local_s = days * SECONDS_PER_DAY + minutes * 60 + i64::from(self.second);
        (local_s - i64::from(self.offset_seconds)) * 1000 + i64::from(self.nanos / NANOS_PER_MS)
    }

    /// Returns the hour.
    pub fn hour(&self) -> u8 {
        self.hour
    }

    /// Tells whether both show the same date.
    pub fn is_same_day(&self, other: &LocalDatetime) -> bool {
        (self.year, self.month, self.day) == (other.year, other.month, other.day)
    }

    /// Returns the milliseconds from here to the next time it is that hour, unless the offset changes on the way.
    pub fn ms_until_hour(&self, hour: u8) -> i64 {
        const DAY_MS: i64 = SECONDS_PER_DAY * 1000;
        let seconds = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        let since_midnight_ms = seconds * 1000 + i64::from(self.nanos / NANOS_PER_MS);
        let rest_ms = (i64::from(hour) * 3_600_000 - since_midnight_ms).rem_euclid(DAY_MS);
        if rest_ms == 0 { DAY_MS } else { rest_ms }
    }

    /// Writes the time cut to `unit`, never rounded, then the offset as `±HH:MM`.
    ///
    /// An offset with seconds is rounded to the minute. A leap second is `:60`, or just the next second where no leap
    /// second can be. Years outside 0 to 9999 have a sign.
    pub fn to_text(&self, unit: TimeUnit) -> String {
        self.local_text(unit) + &offset_text(self.offset_seconds)
    }

    /// Writes the time to the millisecond as in RFC 3339, with `Z` for UTC.
    pub fn to_rfc3339_ms(&self) -> String {
        match self.offset_seconds {
            0 => self.local_text(TimeUnit::Millisecond) + "Z",
            _ => self.to_text(TimeUnit::Millisecond),
        }
    }

    /// Writes the time cut to `unit`, without the offset.
    fn local_text(&self, unit: TimeUnit) -> String {
        let mut text = match self.year {
            0..=9999 => format!("{:04}", self.year),
            _ => format!("{:+05}", self.year),
        };
        text += &format!("-{:02}-{:02}", self.month, self.day);
        if unit == TimeUnit::Day {
            return text;
        }
        text += &format!("T{:02}", self.hour);
        if unit == TimeUnit::Hour {
            return text;
        }
        text += &format!(":{:02}", self.minute);
        if unit == TimeUnit::Minute {
            return text;
        }
        let second = u32::from(self.second) + self.nanos / NANOS_PER_SECOND;
        text + &format!(":{second:02}") + &fraction_text(self.nanos % NANOS_PER_SECOND, unit)
    }
}

/// Writes the fraction of a second that `unit` asks for, with its point.
fn fraction_text(nanos: u32, unit: TimeUnit) -> String {
    match unit {
        TimeUnit::Nanosecond if nanos == 0 => String::new(),
        TimeUnit::Nanosecond if nanos % 1000 != 0 => format!(".{nanos:09}"),
        TimeUnit::Nanosecond if nanos % NANOS_PER_MS == 0 => format!(".{:03}", nanos / NANOS_PER_MS),
        TimeUnit::Nanosecond | TimeUnit::Microsecond => format!(".{:06}", nanos / 1000),
        TimeUnit::Millisecond => format!(".{:03}", nanos / NANOS_PER_MS),
        _ => String::new(),
    }
}

/// Writes an offset as `±HH:MM`, rounded to the minute but below 24 hours.
fn offset_text(offset_seconds: i32) -> String {
    let minutes = (offset_seconds.unsigned_abs().saturating_add(30) / 60).min(24 * 60 - 1);
    let sign = if offset_seconds < 0 && minutes > 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Reads a time written with [`TimeUnit::Minute`]; returns milliseconds since 1970-01-01T00:00:00 UTC.
///
/// The colon of the offset may be missing.
pub fn parse_minute(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let [year, month, day, hour, minute] = take_minute(&mut rest)?;
    let offset_seconds = take_offset(&mut rest)?;
    let year = i32::try_from(year).ok()?;
    let time = LocalDatetime::new(year, month, day, hour, minute, 0, 0, offset_seconds)?;
    rest.is_empty().then(|| time.unix_ms())
}

/// Takes `YYYY-MM-DDTHH:MM` from the front: year, month, day, hour, minute.
fn take_minute(rest: &mut &[u8]) -> Option<[u32; 5]> {
    let year = take_number(rest, 4)?;
    take_literal(rest, b'-')?;
    let month = take_number(rest, 2)?;
    take_literal(rest, b'-')?;
    let day = take_number(rest, 2)?;
    take_literal(rest, b'T')?;
    let hour = take_number(rest, 2)?;
    take_literal(rest, b':')?;
    Some([year, month, day, hour, take_number(rest, 2)?])
}

/// Takes `±HH:MM` or `±HHMM` from the front; returns seconds.
fn take_offset(rest: &mut &[u8]) -> Option<i32> {
    let sign = match rest.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    *rest = &rest[1..];
    let hours = take_number(rest, 2)?;
    let _ = take_literal(rest, b':');
    let minutes = take_number(rest, 2).filter(|minutes| *minutes < 60)?;
    i32::try_from(hours * 3600 + minutes * 60).ok().map(|seconds| sign * seconds)
}

/// Takes a number of exactly `digits` digits, at most 9, from the front.
fn take_number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (number, after) = rest.split_at_checked(digits)?;
    *rest = after;
    let add = |sum: u32, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'));
    number.iter().try_fold(0, add)
}

/// Takes this one byte from the front.
fn take_literal(rest: &mut &[u8], literal: u8) -> Option<()> {
    *rest = rest.strip_prefix(&[literal])?;
    Some(())
}

/// Returns milliseconds since 1970-01-01T00:00:00 UTC by the clock on the wall, which may be set and go back.
pub fn unix_ms_now() -> i64 {
    let since = |milliseconds: u128| i64::try_from(milliseconds).unwrap_or(i64::MAX);
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => since(after.as_millis()),
        Err(before) => -since(before.duration().as_millis()),
    }
}

/// Writes a time as HTTP headers have it, for example `Sun, 22 Nov 2026 14:00:47 GMT`.
pub fn http_date(unix_ms: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = unix_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    // No clock shows a date that no calendar has.
    let date = chrono::TimeDelta::try_days(days)
        .and_then(|days| NaiveDate::default().checked_add_signed(days))
        .unwrap_or_default();
    let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
    let month = MONTHS[date.month0() as usize];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", date.day(), date.year())
}

/// Returns nanoseconds of a clock that never goes back and stands still while the computer is suspended.
///
/// Its zero is unspecified, but the same for all threads of a process.
pub fn awake_nanos() -> u64 {
    clocks::awake_nanos()
}

/// Returns milliseconds of a clock that never goes back and goes on while the computer is suspended.
///
/// Its zero is the start of the computer, so processes can compare their times.
pub fn uptime_ms() -> u64 {
    clocks::uptime_ms()
}

/// A moment by the three clocks that matter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// The clock on the wall.
    pub local: LocalDatetime,
    /// Milliseconds since 1970.
    pub unix_ms: i64,
    /// Milliseconds of a clock that never goes back and runs during suspend.
    pub uptime_ms: u64,
}

impl Moment {
    /// Returns this moment.
    pub fn now() -> Moment {
        let local = LocalDatetime::from_now();
        Moment { unix_ms: local.unix_ms(), local, uptime_ms: uptime_ms() }
    }
}

#[cfg(unix)]
mod clocks {
    use std::mem::MaybeUninit;

    /// On Apple systems `CLOCK_MONOTONIC` goes on during sleep; on others it is the one that stands still.
    #[cfg(target_vendor = "apple")]
    const AWAKE: libc::clockid_t = libc::CLOCK_UPTIME_RAW;
    #[cfg(not(target_vendor = "apple"))]
    const AWAKE: libc::clockid_t = libc::CLOCK_MONOTONIC;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const UPTIME: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const UPTIME: libc::clockid_t = libc::CLOCK_MONOTONIC;

    pub fn awake_nanos() -> u64 {
        let (seconds, nanos) = read(AWAKE).unwrap_or_default();
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    }

    pub fn uptime_ms() -> u64 {
        // A sandbox may forbid one clock and allow the other.
        let (seconds, nanos) = read(UPTIME).or_else(|| read(libc::CLOCK_MONOTONIC)).unwrap_or_default();
        seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
    }

    /// Returns seconds and nanoseconds, or `None` if the system doesn't have the clock.
    fn read(clock: libc::clockid_t) -> Option<(u64, u64)> {
        let mut time = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: the pointer is to a writable `timespec`.
        if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: all bits zero is a valid `timespec`, and the call has filled it.
        let time = unsafe { time.assume_init() };
        // The types of both fields differ between platforms; their values aren't negative.
        Some((time.tv_sec as u64, time.tv_nsec as u64))
    }
}

#[cfg(windows)]
mod clocks {
    use std::ffi::{c_char, c_void};
    use std::sync::OnceLock;

    type ReadUnbiased = unsafe extern "system" fn(*mut u64);

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn QueryPerformanceCounter(ticks: *mut i64) -> i32;
        fn QueryPerformanceFrequency(ticks_per_second: *mut i64) -> i32;
        fn GetModuleHandleA(name: *const c_char) -> *mut c_void;
        fn GetProcAddress(module: *mut c_void, name: *const c_char) -> *mut c_void;
    }

    /// Before Windows 10 the clock that stands still is too coarse for durations (some 15 ms), so the other one is used.
    pub fn awake_nanos() -> u64 {
        static READ: OnceLock<Option<ReadUnbiased>> = OnceLock::new();
        let Some(read) = READ.get_or_init(find_unbiased) else {
            return ticks_in(1_000_000_000);
        };
        let mut hundreds = 0;
        // SAFETY: the function writes one 64-bit number through the pointer.
        unsafe { read(&mut hundreds) };
        hundreds.saturating_mul(100)
    }

    /// The performance counter starts with the computer and goes on during suspend.
    pub fn uptime_ms() -> u64 {
        ticks_in(1000)
    }

    fn find_unbiased() -> Option<ReadUnbiased> {
        // SAFETY: both names end with NUL; kernelbase.dll is part of every process and stays.
        let function = unsafe {
            let module = GetModuleHandleA(c"kernelbase.dll".as_ptr());
            if module.is_null() {
                return None;
            }
            GetProcAddress(module, c"QueryUnbiasedInterruptTimePrecise".as_ptr())
        };
        // SAFETY: this is the documented signature; a null pointer is `None`.
        unsafe { std::mem::transmute::<*mut c_void, Option<ReadUnbiased>>(function) }
    }

    /// Returns the performance counter in parts of a second.
    fn ticks_in(parts_per_second: u128) -> u64 {
        let (mut ticks, mut ticks_per_second) = (0, 0);
        // SAFETY: each function writes one 64-bit number through its pointer.
        unsafe {
            QueryPerformanceCounter(&mut ticks);
            QueryPerformanceFrequency(&mut ticks_per_second);
        }
        let ticks = u128::try_from(ticks).unwrap_or(0);
        let ticks_per_second = u128::try_from(ticks_per_second).unwrap_or(0).max(1);
        u64::try_from(ticks * parts_per_second / ticks_per_second).unwrap_or(u64::MAX)
    }
}

#[cfg(not(any(unix, windows)))]
mod clocks {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    fn since_first_use() -> Duration {
        static FIRST_USE: OnceLock<Instant> = OnceLock::new();
        FIRST_USE.get_or_init(Instant::now).elapsed()
    }

    pub fn awake_nanos() -> u64 {
        u64::try_from(since_first_use().as_nanos()).unwrap_or(u64::MAX)
    }

    pub fn uptime_ms() -> u64 {
        u64::try_from(since_first_use().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2021-03-04, at 05:06.
    const UNITS: [TimeUnit; 7] = [
        TimeUnit::Nanosecond,
        TimeUnit::Microsecond,
        TimeUnit::Millisecond,
        TimeUnit::Second,
        TimeUnit::Minute,
        TimeUnit::Hour,
        TimeUnit::Day,
    ];

    fn time(second: u32, nanos: u32, offset_seconds: i32) -> LocalDatetime {
        LocalDatetime::new(2021, 3, 4, 5, 6, second, nanos, offset_seconds).unwrap()
    }

    #[test]
    fn each_unit_cuts_and_keeps_the_offset() {
        let time = time(7, 123_000_000, 3600);
        assert_eq!(time.to_text(TimeUnit::Nanosecond), "2021-03-04T05:06:07.123+01:00");
        assert_eq!(time.to_text(TimeUnit::Microsecond), "2021-03-04T05:06:07.123000+01:00");
        assert_eq!(time.to_text(TimeUnit::Millisecond), "2021-03-04T05:06:07.123+01:00");
        assert_eq!(time.to_text(TimeUnit::Second), "2021-03-04T05:06:07+01:00");
        assert_eq!(time.to_text(TimeUnit::Minute), "2021-03-04T05:06+01:00");
        assert_eq!(time.to_text(TimeUnit::Hour), "2021-03-04T05+01:00");
        assert_eq!(time.to_text(TimeUnit::Day), "2021-03-04+01:00");
    }

    #[test]
    fn local_datetimes_are_cut_and_never_rounded() {
        let time = time(7, 999_999_999, 3600);
        let texts = [
            "2021-03-04T05:06:07.999999999+01:00",
            "2021-03-04T05:06:07.999999+01:00",
            "2021-03-04T05:06:07.999+01:00",
            "2021-03-04T05:06:07+01:00",
            "2021-03-04T05:06+01:00",
            "2021-03-04T05+01:00",
            "2021-03-04+01:00",
        ];
        for (unit, text) in UNITS.into_iter().zip(texts) {
            assert_eq!(time.to_text(unit), text);
        }
    }

    #[test]
    fn nanoseconds_have_as_many_digits_as_needed() {
        let cases = [
            (0, "07"),
            (7_000_000, "07.007"),
            (120_000_000, "07.120"),
            (1_000, "07.000001"),
            (123_456_000, "07.123456"),
            (7, "07.000000007"),
        ];
        for (nanos, seconds) in cases {
            assert_eq!(time(7, nanos, 0).to_text(TimeUnit::Nanosecond), format!("2021-03-04T05:06:{seconds}+00:00"));
        }
        assert_eq!(time(7, 0, 0).to_text(TimeUnit::Microsecond), "2021-03-04T05:06:07.000000+00:00");
        assert_eq!(time(7, 999, 0).to_text(TimeUnit::Millisecond), "2021-03-04T05:06:07.000+00:00");
    }

    /// Recorded by glean-sdk 71.
    #[test]
    fn leap_seconds_are_written_as_the_second_after() {
        assert_eq!(time(59, 1_123_456_789, 3600).to_text(TimeUnit::Nanosecond), "2021-03-04T05:06:60.123456789+01:00");
        assert_eq!(time(59, 1_000_000_000, 0).to_text(TimeUnit::Millisecond), "2021-03-04T05:06:60.000+00:00");
        assert_eq!(time(59, 1_000_000_000, 0).to_text(TimeUnit::Nanosecond), "2021-03-04T05:06:60+00:00");
        assert_eq!(time(7, 1_999_999_999, -3600).to_text(TimeUnit::Microsecond), "2021-03-04T05:06:08.999999-01:00");
        assert_eq!(time(59, 1_000_000_000, 0).to_text(TimeUnit::Minute), "2021-03-04T05:06+00:00");
    }

    /// Recorded by glean-sdk 71, but for the last two: it loses the one and writes `-00:00` for the other.
    #[test]
    fn offsets_are_written_to_the_minute() {
        let offsets = [
            (3659, "+01:01"),
            (-3659, "-01:01"),
            (-59, "-00:01"),
            (-3600, "-01:00"),
            (19_800, "+05:30"),
            (86_399, "+23:59"),
            (-29, "+00:00"),
        ];
        for (seconds, text) in offsets {
            assert_eq!(time(7, 0, seconds).to_text(TimeUnit::Day), format!("2021-03-04{text}"));
        }
    }

    #[test]
    fn years_beyond_four_digits_have_a_sign() {
        let years = [(5, "0005"), (-5, "-0005"), (9999, "9999"), (10_000, "+10000"), (99_999, "+99999"), (0, "0000")];
        for (year, text) in years {
            let time = LocalDatetime::new(year, 3, 4, 0, 0, 0, 0, 0).unwrap();
            assert_eq!(time.to_text(TimeUnit::Day), format!("{text}-03-04+00:00"));
        }
    }

    #[test]
    fn zones_west_of_greenwich_and_times_before_1970_are_written_right() {
        let time = LocalDatetime::new(1969, 12, 31, 18, 29, 59, 999_000_000, -(5 * 3600 + 1800)).unwrap();
        assert_eq!(time.unix_ms(), -1);
        assert_eq!(time.to_text(TimeUnit::Millisecond), "1969-12-31T18:29:59.999-05:30");
    }

    #[test]
    fn impossible_datetimes_are_refused() {
        let (y, mo, d, h, mi, s, n, o) = (2021, 2, 28, 23, 59, 59, 1_999_999_999, 86_399);
        assert!(LocalDatetime::new(y, mo, d, h, mi, s, n, o).is_some());
        assert!(LocalDatetime::new(y, mo, d, h, mi, s, n, -o).is_some());
        assert!(LocalDatetime::new(2024, 2, 29, 0, 0, 0, 0, 0).is_some());
        let refused = [
            LocalDatetime::new(y, 2, 29, h, mi, s, n, o),
            LocalDatetime::new(y, 0, d, h, mi, s, n, o),
            LocalDatetime::new(y, 13, d, h, mi, s, n, o),
            LocalDatetime::new(y, 258, d, h, mi, s, n, o),
            LocalDatetime::new(y, mo, 0, h, mi, s, n, o),
            LocalDatetime::new(y, mo, d, 24, mi, s, n, o),
            LocalDatetime::new(y, mo, d, h, 60, s, n, o),
            LocalDatetime::new(y, mo, d, h, mi, 60, n, o),
            LocalDatetime::new(y, mo, d, h, mi, s, 2_000_000_000, o),
            LocalDatetime::new(y, mo, d, h, mi, s, u32::MAX, o),
            LocalDatetime::new(y, mo, d, h, mi, s, n, 86_400),
            LocalDatetime::new(y, mo, d, h, mi, s, n, -86_400),
            LocalDatetime::new(y, mo, d, h, mi, s, n, i32::MIN),
            LocalDatetime::new(i32::MAX, mo, d, h, mi, s, n, o),
            LocalDatetime::new(i32::MIN, mo, d, h, mi, s, n, o),
        ];
        assert!(refused.iter().all(Option::is_none), "{refused:?}");
    }

    #[test]
    fn unix_milliseconds_are_those_of_greenwich() {
        let cases = [
            (LocalDatetime::new(1970, 1, 1, 0, 0, 0, 0, 0), 0),
            (LocalDatetime::new(1, 1, 1, 0, 0, 0, 0, 0), -62_135_596_800_000),
            (LocalDatetime::new(9999, 12, 31, 23, 59, 59, 999_999_999, 0), 253_402_300_799_999),
            (LocalDatetime::new(1970, 1, 1, 5, 30, 0, 0, 19_800), 0),
            (LocalDatetime::new(1970, 1, 1, 0, 0, 0, 0, 86_399), -86_399_000),
            (LocalDatetime::new(1970, 1, 1, 0, 0, 0, 0, -86_399), 86_399_000),
        ];
        for (local, unix_ms) in cases {
            assert_eq!(local.map(|local| local.unix_ms()), Some(unix_ms));
        }
        assert_eq!(LocalDatetime::epoch().unix_ms(), 0);
        assert_eq!(time(7, 123_999_999, 3600).unix_ms(), 1_614_830_767_123);
        assert_eq!(time(59, 1_500_000_000, 0).unix_ms(), time(59, 500_000_000, 0).unix_ms() + 1000);
    }

    #[test]
    fn rfc3339_has_z_for_utc_only() {
        assert_eq!(time(7, 89_000_000, 0).to_rfc3339_ms(), "2021-03-04T05:06:07.089Z");
        assert_eq!(time(7, 0, 3600).to_rfc3339_ms(), "2021-03-04T05:06:07.000+01:00");
        assert_eq!(LocalDatetime::epoch().to_rfc3339_ms(), "1970-01-01T00:00:00.000Z");
    }

    #[cfg(unix)]
    #[test]
    fn time_by_the_c_library_is_that_by_chrono() {
        let (before, by_libc) = (LocalDatetime::from_now(), LocalDatetime::from_now_by_libc().unwrap());
        let after = LocalDatetime::from_now();
        assert!((before.unix_ms()..=after.unix_ms()).contains(&by_libc.unix_ms()), "{before:?} {by_libc:?} {after:?}");
        assert_eq!(by_libc.offset_seconds, after.offset_seconds);
    }

    #[test]
    fn minutes_are_read_back() {
        let expected = Some(1_614_830_760_000);
        assert_eq!(parse_minute("2021-03-04T05:06+01:00"), expected);
        assert_eq!(parse_minute("2021-03-04T05:06+0100"), expected);
        assert_eq!(parse_minute("2021-03-03T23:36-04:30"), expected);
        let now = LocalDatetime::from_now();
        let cut = start_of_minute(now.unix_ms());
        if now.offset_seconds % 60 == 0 {
            assert_eq!(parse_minute(&now.to_text(TimeUnit::Minute)), Some(cut));
        }
    }

    #[test]
    fn minutes_start_below_their_times() {
        let cases = [(0, 0), (59_999, 0), (60_000, 60_000), (-1, -60_000), (i64::MIN, i64::MIN)];
        for (unix_ms, start) in cases {
            assert_eq!(start_of_minute(unix_ms), start);
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        let texts = [
            "",
            "nonsense",
            "2021-03-04T05:06",
            "2021-03-04T05:06Z",
            "2021-03-04T05:06+01",
            "2021-03-04T05:06+01:60",
            "2021-03-04T05:06+24:00",
            "2021-03-04T05:06 01:00",
            "2021-03-04T05:06+01:00x",
            "2021-03-04T05:06:07+01:00",
            "2021-03-04T05:60+01:00",
            "2021-03-04T24:06+01:00",
            "2021-11-31T05:06+01:00",
            "2021-3-4T5:6+01:00",
            "2021-03-04t05:06+01:00",
            "-021-03-04T05:06+01:00",
            "2021-03-04T05:06+é1:00",
            "２０２１-03-04T05:06+01:00",
        ];
        for text in texts {
            assert_eq!(parse_minute(text), None, "{text}");
        }
    }

    #[test]
    fn durations_become_whole_units() {
        let nanos = 2 * 86_400_000_000_000 - 1;
        let expected = [nanos as i64, 172_799_999_999, 172_799_999, 172_799, 2879, 47, 1];
        for (unit, units) in UNITS.into_iter().zip(expected) {
            assert_eq!(nanos_to_unit(nanos, unit), units, "{unit:?}");
            assert_eq!(nanos_to_unit(0, unit), 0);
        }
        assert_eq!(nanos_to_unit(u64::MAX, TimeUnit::Nanosecond), i64::MAX);
        assert_eq!(nanos_to_unit(u64::MAX, TimeUnit::Day), 213_503);
    }

    #[test]
    fn units_become_nanoseconds() {
        assert_eq!(TimeUnit::Nanosecond.to_nanos(7), 7);
        assert_eq!(TimeUnit::Millisecond.to_nanos(600_000_000_000), 600_000_000_000_000_000);
        assert_eq!(TimeUnit::Second.to_nanos(600_000_000_000), u64::MAX);
        assert_eq!(TimeUnit::Day.to_nanos(1), 86_400_000_000_000);
    }

    #[test]
    fn clocks_go_forward() {
        let (nanos, ms, unix_ms) = (awake_nanos(), uptime_ms(), unix_ms_now());
        std::thread::sleep(std::time::Duration::from_millis(20));
        let waited = awake_nanos() - nanos;
        assert!((15_000_000..10_000_000_000).contains(&waited), "{waited}");
        assert!((15..10_000).contains(&(uptime_ms() - ms)));
        assert!(unix_ms > 1_600_000_000_000);
        assert!((LocalDatetime::from_now().unix_ms() - unix_ms).abs() < 10_000);
    }

    #[test]
    fn times_survive_storage_and_damage() {
        let stored = serde_json::to_string(&(time(7, 1, -60), TimeUnit::Hour)).unwrap();
        let read: (LocalDatetime, TimeUnit) = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, (time(7, 1, -60), TimeUnit::Hour));
        let damaged = LocalDatetime {
            year: i32::MIN,
            month: 255,
            day: 0,
            hour: 255,
            minute: 255,
            second: 255,
            nanos: u32::MAX,
            offset_seconds: i32::MIN,
        };
        for unit in UNITS {
            damaged.to_text(unit);
        }
        damaged.unix_ms();
    }
}
