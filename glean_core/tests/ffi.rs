//! The C ABI as a careless caller uses it: NULL, wrong handles, broken texts, impossible lengths.

mod common;

use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{TempDir, sent};
use glean_core::ffi::buffers::{GleanBuffer, glean_buffer_free};
use glean_core::ffi::strings::GleanString;
use glean_core::ffi::{boolean::*, counter::*, ping::*, string::*, uuid::*, *};

/// The ABI has one Glean per process: its tests take turns.
fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(glean_reset(), GLEAN_OK);
    turn
}

const fn text(text: &'static str) -> GleanString {
    GleanString { data: text.as_ptr(), len: text.len() as u64 }
}

const NONE: GleanString = GleanString { data: null(), len: 0 };
const BAD_UTF8: GleanString = GleanString { data: b"\xff\xfe".as_ptr(), len: 2 };
const ENDLESS: GleanString = GleanString { data: b"x".as_ptr(), len: u64::MAX };
const NULL_WITH_LENGTH: GleanString = GleanString { data: null(), len: 5 };
/// What is wrong with a text, and the status that says so.
const BAD_TEXTS: [(GleanString, i32); 3] =
    [(BAD_UTF8, GLEAN_INVALID_UTF8), (ENDLESS, GLEAN_OUT_OF_RANGE), (NULL_WITH_LENGTH, GLEAN_NULL_POINTER)];
const BAD_HANDLES: [u64; 4] = [0, 1, u64::MAX, (1 << 56) | 0xff_ffff];

fn meta(pings: &[GleanString]) -> GleanCommonMetricData {
    GleanCommonMetricData {
        category: text("test"),
        name: text("metric"),
        label: NONE,
        send_in_pings: pings.as_ptr(),
        send_in_pings_len: pings.len() as u64,
        lifetime: 0,
        disabled: 0,
        in_session: 0,
    }
}

fn definition() -> GleanPingDefinition {
    GleanPingDefinition {
        name: text("custom"),
        schedules_pings: null(),
        schedules_pings_len: 0,
        reason_codes: null(),
        reason_codes_len: 0,
        uploader_capabilities: null(),
        uploader_capabilities_len: 0,
        include_client_id: 1,
        send_if_empty: 0,
        precise_timestamps: 1,
        include_info_sections: 1,
        enabled: 1,
        follows_collection_enabled: 1,
    }
}

fn start(directory: &TempDir) -> i32 {
    let data_dir = directory.path().to_str().unwrap();
    let configuration = GleanConfiguration {
        data_dir: GleanString { data: data_dir.as_ptr(), len: data_dir.len() as u64 },
        application_id: text("ffi-tests"),
        app_display_version: text("1.0"),
        app_build: text("Unknown"),
        channel: NONE,
        architecture: text("Unknown"),
        os_version: text("Unknown"),
        experimentation_id: NONE,
        collection_enabled: 1,
        enable_internal_pings: 1,
    };
    unsafe { glean_initialize(&configuration) }
}

fn take(buffer: &mut GleanBuffer) -> String {
    let bytes = match buffer.data.is_null() {
        true => Vec::new(),
        false => unsafe { std::slice::from_raw_parts(buffer.data, buffer.len as usize) }.to_vec(),
    };
    assert_eq!(unsafe { glean_buffer_free(buffer) }, GLEAN_OK);
    assert!(buffer.data.is_null());
    assert_eq!(unsafe { glean_buffer_free(buffer) }, GLEAN_OK, "a second time is harmless");
    String::from_utf8(bytes).unwrap()
}

fn empty() -> GleanBuffer {
    GleanBuffer { data: null_mut(), len: 0 }
}

fn last_error() -> String {
    let mut buffer = empty();
    assert_eq!(unsafe { glean_last_error(&mut buffer) }, GLEAN_OK);
    take(&mut buffer)
}

#[test]
fn null_instead_of_an_output_or_a_struct_is_refused() {
    let _turn = take_turn();
    let pings = [text("custom")];
    let meta = meta(&pings);
    let mut handle = 0;
    unsafe {
        for status in [
            glean_abi_version(null_mut()),
            glean_version(null_mut()),
            glean_last_error(null_mut()),
            glean_initialize(null()),
            glean_log_pending(null_mut()),
            glean_log_next(null_mut(), &mut empty()),
            glean_log_next(&mut 0, null_mut()),
            glean_counter_new(&meta, null_mut()),
            glean_boolean_new(&meta, null_mut()),
            glean_string_new(&meta, null_mut()),
            glean_uuid_new(&meta, null_mut()),
            glean_ping_new(&definition(), null_mut()),
            glean_counter_new(null(), &mut handle),
            glean_boolean_new(null(), &mut handle),
            glean_string_new(null(), &mut handle),
            glean_uuid_new(null(), &mut handle),
            glean_ping_new(null(), &mut handle),
            glean_counter_test_get_value(0, null(), 0, null_mut()),
            glean_boolean_test_get_value(0, null(), 0, null_mut()),
            glean_string_test_get_value(0, null(), 0, null_mut()),
            glean_uuid_test_get_value(0, null(), 0, null_mut()),
            glean_counter_test_get_num_recorded_errors(0, 0, null_mut()),
            glean_boolean_test_get_num_recorded_errors(0, 0, null_mut()),
            glean_string_test_get_num_recorded_errors(0, 0, null_mut()),
            glean_uuid_test_get_num_recorded_errors(0, 0, null_mut()),
        ] {
            assert_eq!(status, GLEAN_NULL_POINTER);
            assert!(last_error().contains("is NULL"), "{}", last_error());
        }
        assert_eq!(glean_buffer_free(null_mut()), GLEAN_OK);
    }
}

#[test]
fn a_wrong_handle_is_refused_by_every_function() {
    let _turn = take_turn();
    let directory = TempDir::new();
    assert_eq!(start(&directory), GLEAN_OK);
    for handle in BAD_HANDLES {
        unsafe {
            for status in [
                glean_counter_add(handle, 1),
                glean_counter_test_get_value(handle, null(), 0, &mut 0),
                glean_counter_test_get_num_recorded_errors(handle, 0, &mut 0),
                glean_counter_destroy(handle),
                glean_boolean_set(handle, 1),
                glean_boolean_test_get_value(handle, null(), 0, &mut 0),
                glean_boolean_test_get_num_recorded_errors(handle, 0, &mut 0),
                glean_boolean_destroy(handle),
                glean_string_set(handle, null(), 0),
                glean_string_test_get_value(handle, null(), 0, &mut empty()),
                glean_string_test_get_num_recorded_errors(handle, 0, &mut 0),
                glean_string_destroy(handle),
                glean_uuid_set(handle, null(), 0),
                glean_uuid_test_get_value(handle, null(), 0, &mut empty()),
                glean_uuid_test_get_num_recorded_errors(handle, 0, &mut 0),
                glean_uuid_destroy(handle),
                glean_ping_submit(handle, null(), 0),
                glean_ping_set_enabled(handle, 1),
                glean_ping_destroy(handle),
            ] {
                assert_eq!(status, GLEAN_INVALID_HANDLE, "{handle:#x}");
            }
        }
    }
}

#[test]
fn broken_texts_are_refused_by_every_function() {
    let _turn = take_turn();
    let pings = [text("custom")];
    let mut handle = 0;
    for (bad, expected) in BAD_TEXTS {
        let GleanString { data, len } = bad;
        let bad_pings = [bad];
        let mut metas = [meta(&pings), meta(&pings), meta(&bad_pings)];
        metas[0].category = bad;
        metas[1].name = bad;
        let mut bad_name = definition();
        bad_name.name = bad;
        let mut bad_reasons = definition();
        (bad_reasons.reason_codes, bad_reasons.reason_codes_len) = (bad_pings.as_ptr(), 1);
        unsafe {
            for meta in &metas {
                assert_eq!(glean_counter_new(meta, &mut handle), expected);
                assert_eq!(glean_boolean_new(meta, &mut handle), expected);
                assert_eq!(glean_string_new(meta, &mut handle), expected);
                assert_eq!(glean_uuid_new(meta, &mut handle), expected);
            }
            assert_eq!(glean_ping_new(&bad_name, &mut handle), expected);
            assert_eq!(glean_ping_new(&bad_reasons, &mut handle), expected);
            assert_eq!(glean_string_set(0, data, len), expected);
            assert_eq!(glean_uuid_set(0, data, len), expected);
            assert_eq!(glean_submit_ping_by_name(data, len, null(), 0), expected);
            if !data.is_null() {
                assert_eq!(glean_ping_submit(0, data, len), expected);
                assert_eq!(glean_counter_test_get_value(0, data, len, &mut 0), expected);
                assert_eq!(glean_boolean_test_get_value(0, data, len, &mut 0), expected);
                assert_eq!(glean_string_test_get_value(0, data, len, &mut empty()), expected);
                assert_eq!(glean_uuid_test_get_value(0, data, len, &mut empty()), expected);
            }
        }
    }
    assert_eq!(handle, 0);
}

#[test]
fn impossible_numbers_are_refused() {
    let _turn = take_turn();
    let pings = [text("custom")];
    let mut handle = 0;
    let mut bad = meta(&pings);
    bad.lifetime = 3;
    assert_eq!(unsafe { glean_counter_new(&bad, &mut handle) }, GLEAN_OUT_OF_RANGE);
    let mut bad = meta(&pings);
    bad.send_in_pings_len = u64::MAX / 8;
    assert_eq!(unsafe { glean_counter_new(&bad, &mut handle) }, GLEAN_OUT_OF_RANGE);
    assert_eq!(unsafe { glean_counter_new(&meta(&pings), &mut handle) }, GLEAN_OK);
    for error in [-1, 4] {
        let status = unsafe { glean_counter_test_get_num_recorded_errors(handle, error, &mut 0) };
        assert_eq!(status, GLEAN_OUT_OF_RANGE);
    }
    assert_eq!(glean_counter_destroy(handle), GLEAN_OK);
}

#[test]
fn a_whole_life_through_the_abi() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let pings = [text("custom")];
    let (mut counter, mut boolean, mut string, mut uuid, mut ping) = (0, 0, 0, 0, 0);
    let mut version = 0;
    unsafe {
        assert_eq!(glean_abi_version(&mut version), GLEAN_OK);
        assert_eq!(version, GLEAN_ABI_VERSION);
        assert_eq!(glean_counter_new(&meta(&pings), &mut counter), GLEAN_OK);
        assert_eq!(glean_boolean_new(&meta(&pings), &mut boolean), GLEAN_OK);
        assert_eq!(glean_string_new(&meta(&pings), &mut string), GLEAN_OK);
        assert_eq!(glean_uuid_new(&meta(&pings), &mut uuid), GLEAN_OK);
        assert_eq!(glean_ping_new(&definition(), &mut ping), GLEAN_OK);
        assert_eq!(glean_counter_add(counter, 1), GLEAN_OK, "kept until initialize");
        assert_eq!(glean_counter_test_get_value(counter, null(), 0, &mut 0), GLEAN_NOT_INITIALIZED);
        assert_eq!(glean_set_collection_enabled(0), GLEAN_NOT_INITIALIZED);
        assert_eq!(start(&directory), GLEAN_OK);
        assert_eq!(start(&directory), GLEAN_ALREADY_INITIALIZED);

        let mut count = 0;
        assert_eq!(glean_counter_add(counter, -1), GLEAN_OK);
        assert_eq!(glean_counter_test_get_value(counter, null(), 0, &mut count), GLEAN_OK);
        assert_eq!(count, 1);
        assert_eq!(glean_counter_test_get_num_recorded_errors(counter, 0, &mut count), GLEAN_OK);
        assert_eq!(count, 1);
        let mut value = 9;
        assert_eq!(glean_boolean_test_get_value(boolean, null(), 0, &mut value), GLEAN_NO_VALUE);
        assert_eq!(value, 9, "untouched without GLEAN_OK");
        assert_eq!(glean_boolean_set(boolean, 200), GLEAN_OK);
        assert_eq!(glean_boolean_test_get_value(boolean, null(), 0, &mut value), GLEAN_OK);
        assert_eq!(value, 1);
        let mut buffer = empty();
        assert_eq!(glean_string_set(string, b"a\0b".as_ptr(), 3), GLEAN_OK);
        assert_eq!(glean_string_test_get_value(string, null(), 0, &mut buffer), GLEAN_OK);
        assert_eq!(take(&mut buffer), "a\0b");
        let id = "0123456789ABCDEF0123456789ABCDEF";
        assert_eq!(glean_uuid_set(uuid, id.as_ptr(), 32), GLEAN_OK);
        assert_eq!(glean_uuid_test_get_value(uuid, null(), 0, &mut buffer), GLEAN_OK);
        assert_eq!(take(&mut buffer), "01234567-89ab-cdef-0123-456789abcdef");

        let mut pending = null();
        assert_eq!(glean_log_pending(&mut pending), GLEAN_OK);
        assert_ne!(*pending, 0, "the negative amount was logged");
        let mut level = 0;
        let mut messages = Vec::new();
        while glean_log_next(&mut level, &mut buffer) == GLEAN_OK {
            messages.push((level, take(&mut buffer)));
        }
        assert!(messages.iter().any(|(level, text)| *level == 30 && text.starts_with("test.metric")), "{messages:?}");
        assert_eq!(*pending, 0);

        assert_eq!(glean_ping_submit(ping, null(), 0), GLEAN_OK);
        assert_eq!(sent(directory.path(), "pending_pings").len(), 1);
        assert_eq!(glean_submit_ping_by_name(b"custom".as_ptr(), 6, null(), 0), GLEAN_OK);
        assert_eq!(sent(directory.path(), "pending_pings").len(), 1, "empty by now");
        assert_eq!(glean_ping_set_enabled(ping, 0), GLEAN_OK);
        assert_eq!(sent(directory.path(), "pending_pings").len(), 0);
    }
    assert_eq!(glean_shutdown(), GLEAN_OK);
    assert_eq!(glean_shutdown(), GLEAN_NOT_INITIALIZED);
    assert_eq!(glean_counter_add(counter, 1), GLEAN_NOT_INITIALIZED);
    assert_eq!(glean_counter_destroy(boolean), GLEAN_INVALID_HANDLE, "a handle of another type");
    assert_eq!(glean_counter_destroy(counter), GLEAN_OK);
    assert_eq!(glean_counter_add(counter, 1), GLEAN_INVALID_HANDLE);
    assert_eq!(glean_ping_destroy(ping), GLEAN_OK);
    assert_eq!(glean_string_destroy(string), GLEAN_OK);
    assert_eq!(glean_boolean_destroy(boolean), GLEAN_OK);
    assert_eq!(glean_uuid_destroy(uuid), GLEAN_OK);
}

#[test]
fn a_locked_directory_has_a_status_of_its_own() {
    let _turn = take_turn();
    let directory = TempDir::new();
    let db = directory.path().join("db");
    let owner = glean_core::storage::Database::open(&db).unwrap();
    assert_eq!(start(&directory), GLEAN_LOCKED);
    assert!(last_error().contains("is locked"), "{}", last_error());
    drop(owner);
    assert_eq!(start(&directory), GLEAN_ALREADY_INITIALIZED, "only a reset makes it startable again");
    assert_eq!(glean_reset(), GLEAN_OK);
    assert_eq!(start(&directory), GLEAN_OK);
}
