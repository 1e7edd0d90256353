/* The C ABI of glean_core, generated from glean_core/src/ffi by cbindgen. Do not edit; see docs/adding-a-metric-type.md. */

#ifndef GLEAN_H
#define GLEAN_H

#include <stdint.h>

/*
 Version of this interface. A binding made for another version must not be used.
 */
#define GLEAN_ABI_VERSION 3

/*
 Added to a status while log messages wait for `glean_log_next`.
 */
#define GLEAN_LOGGED 256

/*
 The call did what it says.
 */
#define GLEAN_OK 0

/*
 A pointer that has to point somewhere is NULL.
 */
#define GLEAN_NULL_POINTER 1

/*
 A text isn't UTF-8.
 */
#define GLEAN_INVALID_UTF8 2

/*
 A number or a length is outside of what the parameter allows.
 */
#define GLEAN_OUT_OF_RANGE 3

/*
 The handle was destroyed, never given out, or is none of a metric where one is needed, or of a ping.
 A recording call for another type of metric is `GLEAN_OK` and counted as an invalid state of that metric.
 */
#define GLEAN_INVALID_HANDLE 4

/*
 An argument isn't acceptable.
 */
#define GLEAN_INVALID_ARGUMENT 5

/*
 Glean isn't running.
 */
#define GLEAN_NOT_INITIALIZED 6

/*
 Glean was initialized before; the call changed nothing.
 */
#define GLEAN_ALREADY_INITIALIZED 7

/*
 There is nothing to return.
 */
#define GLEAN_NO_VALUE 8

/*
 A file or directory could not be used.
 */
#define GLEAN_IO 9

/*
 Another process holds the data directory for too long.
 */
#define GLEAN_LOCKED 10

/*
 An error inside the library; nothing else is affected.
 */
#define GLEAN_PANIC 12

/*
 Too many metrics or pings exist at the same time.
 */
#define GLEAN_TOO_MANY_HANDLES 13

/*
 There is nothing to send now.
 */
#define GLEAN_UPLOAD_DONE 0

/*
 A ping is to be sent.
 */
#define GLEAN_UPLOAD_SEND 1

/*
 The next call has to wait.
 */
#define GLEAN_UPLOAD_WAIT 2

/*
 The server answered.
 */
#define GLEAN_UPLOAD_HTTP_STATUS 0

/*
 There was no answer, but there may be one later.
 */
#define GLEAN_UPLOAD_RECOVERABLE_FAILURE 1

/*
 There never will be one.
 */
#define GLEAN_UPLOAD_UNRECOVERABLE_FAILURE 2

/*
 The uploader can't do what the ping needs.
 */
#define GLEAN_UPLOAD_INCAPABLE 3

/*
 The uploader stopped before it knew: the ping stays.
 */
#define GLEAN_UPLOAD_STOPPED 4

/*
 Bytes that the library allocated for the caller, to be freed once with `glean_buffer_free`.
 */
typedef struct {
  /*
   Address of the first byte; NULL if there are none.
   */
  uint8_t *data;
  /*
   Number of bytes.
   */
  uint64_t len;
} GleanBuffer;

/*
 What is to be done next, to be freed with `glean_upload_task_free`.
 */
typedef struct {
  /*
   `GLEAN_UPLOAD_DONE`, `GLEAN_UPLOAD_SEND` or `GLEAN_UPLOAD_WAIT`.
   */
  int32_t kind;
  /*
   Milliseconds until the next call makes sense; `UINT64_MAX` if nothing changes by itself.
   */
  uint64_t ms;
  /*
   The id of the ping; this and what follows is empty unless it is to be sent.
   */
  GleanBuffer document_id;
  /*
   Where to.
   */
  GleanBuffer url;
  /*
   The compressed body.
   */
  GleanBuffer body;
  /*
   The headers, as a JSON object.
   */
  GleanBuffer headers;
  /*
   What the uploader has to be able to do, as a JSON array.
   */
  GleanBuffer capabilities;
} GleanUploadTask;

/*
 Writes `GLEAN_ABI_VERSION` as the library was built with. Works in any process and before anything else.

 # Safety

 `out_version` is NULL or valid for a write.
 */
int32_t glean_abi_version(uint32_t *out_version);

/*
 Writes the version of the library as a text, for example `0.1.0`.

 # Safety

 `out_version` is NULL or valid for a write.
 */
int32_t glean_version(GleanBuffer *out_version);

/*
 Writes why the last failed call of this thread failed; an empty text if none did.

 # Safety

 `out_message` is NULL or valid for a write.
 */
int32_t glean_last_error(GleanBuffer *out_message);

/*
 Sets the lowest level of log messages that are kept: 10 debug, 20 info (at start), 30 warning, 40 error.
 */
int32_t glean_log_set_level(int32_t level);

/*
 Writes the address of the number of waiting log messages. It may be read at any time, without a call.

 # Safety

 `out_address` is NULL or valid for a write.
 */
int32_t glean_log_pending(const uint32_t **out_address);

/*
 Takes the oldest waiting log message: its level (10, 20, 30, 40) and text. `GLEAN_NO_VALUE` if there is none.

 At most 1000 messages wait; older ones are dropped for newer ones.

 # Safety

 `out_level` and `out_message` are NULL or valid for a write.
 */
int32_t glean_log_next(int32_t *out_level, GleanBuffer *out_message);

/*
 The user began to use the application.
 */
int32_t glean_handle_client_active(void);

/*
 The user stopped using the application.
 */
int32_t glean_handle_client_inactive(void);

/*
 Starts a session, if the application is in charge of them.
 */
int32_t glean_session_start(void);

/*
 Ends the session, if the application is in charge of them. `reason` is NULL for none.

 # Safety

 `reason` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_session_end(const uint8_t *reason, uint64_t len);

/*
 Frees the bytes of a buffer and empties it, so that a second call does nothing. NULL is allowed.

 # Safety

 `buffer` is NULL or points to a buffer that this library filled, or that is all zero.
 */
int32_t glean_buffer_free(GleanBuffer *buffer);

/*
 Sets the tag sent as `X-Debug-ID`; writes whether it is one: 1 to 20 of `A`–`Z`, `a`–`z`, `0`–`9`, `-`.

 # Safety

 `tag` is NULL or valid for reads of `len` bytes, `out_accepted` is NULL or valid for a write.
 */
int32_t glean_set_debug_view_tag(const uint8_t *tag, uint64_t len, uint8_t *out_accepted);

/*
 Writes that tag; `GLEAN_NO_VALUE` if there is none.

 # Safety

 `out_tag` is NULL or valid for a write.
 */
int32_t glean_get_debug_view_tag(GleanBuffer *out_tag);

/*
 Sets the tags sent as `X-Source-Tags` from a JSON array; writes whether all of them are tags.

 # Safety

 `tags` is NULL or valid for reads of `len` bytes, `out_accepted` is NULL or valid for a write.
 */
int32_t glean_set_source_tags(const uint8_t *tags, uint64_t len, uint8_t *out_accepted);

/*
 Sets whether pings are logged when they are uploaded.
 */
int32_t glean_set_log_pings(uint8_t enabled);

/*
 Writes whether they are.

 # Safety

 `out_enabled` is NULL or valid for a write.
 */
int32_t glean_get_log_pings(uint8_t *out_enabled);

/*
 Writes the handle of the counter with this key and category. It is to be destroyed like any other.

 # Safety

 `key` is NULL or valid for reads of `key_len` bytes, `category` likewise, `out_handle` is NULL or valid for a write.
 */
int32_t glean_dual_labeled_counter_get(uint64_t handle,
                                       const uint8_t *key,
                                       uint64_t key_len,
                                       const uint8_t *category,
                                       uint64_t category_len,
                                       uint64_t *out_handle);

/*
 Starts or replaces an experiment. `extra` is a JSON object of strings; NULL for none.

 # Safety

 `id` is NULL or valid for reads of `id_len` bytes; `branch` and `extra` likewise.
 */
int32_t glean_set_experiment_active(const uint8_t *id,
                                    uint64_t id_len,
                                    const uint8_t *branch,
                                    uint64_t branch_len,
                                    const uint8_t *extra,
                                    uint64_t extra_len);

/*
 Ends an experiment.

 # Safety

 `id` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_set_experiment_inactive(const uint8_t *id, uint64_t len);

/*
 Writes branch and extra of an experiment as JSON; `GLEAN_NO_VALUE` if it isn't active.

 # Safety

 `id` is NULL or valid for reads of `len` bytes, `out_data` is NULL or valid for a write.
 */
int32_t glean_test_get_experiment_data(const uint8_t *id, uint64_t len, GleanBuffer *out_data);

/*
 Sets the tag that every ping with a client id carries.

 # Safety

 `id` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_set_experimentation_id(const uint8_t *id, uint64_t len);

/*
 Writes that tag; `GLEAN_NO_VALUE` if there is none.

 # Safety

 `out_id` is NULL or valid for a write.
 */
int32_t glean_test_get_experimentation_id(GleanBuffer *out_id);

/*
 Sets those fields of attribution that are given, from a JSON object.

 # Safety

 `fields` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_update_attribution(const uint8_t *fields, uint64_t len);

/*
 Removes all fields of attribution.
 */
int32_t glean_clear_attribution(void);

/*
 Writes the fields of attribution that are set, as a JSON object.

 # Safety

 `out_fields` is NULL or valid for a write.
 */
int32_t glean_test_get_attribution(GleanBuffer *out_fields);

/*
 Sets those fields of distribution that are given, from a JSON object.

 # Safety

 `fields` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_update_distribution(const uint8_t *fields, uint64_t len);

/*
 Removes all fields of distribution.
 */
int32_t glean_clear_distribution(void);

/*
 Writes the fields of distribution that are set, as a JSON object.

 # Safety

 `out_fields` is NULL or valid for a write.
 */
int32_t glean_test_get_distribution(GleanBuffer *out_fields);

/*
 Writes the handle of the metric with this label. It is to be destroyed like any other.

 # Safety

 `label` is NULL or valid for reads of `len` bytes, `out_handle` is NULL or valid for a write.
 */
int32_t glean_labeled_get(uint64_t handle, const uint8_t *label, uint64_t len, uint64_t *out_handle);

/*
 Starts Glean with a JSON description and runs the calls that waited for it. What is slow happens after it returned.

 After `GLEAN_IO` or `GLEAN_INVALID_ARGUMENT` Glean is off until [`glean_reset`]: recording does nothing and returns
 `GLEAN_NOT_INITIALIZED`. `GLEAN_ALREADY_INITIALIZED` changes nothing.

 # Safety

 `settings` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_initialize(const uint8_t *settings, uint64_t len);

/*
 Ends Glean: what was asked for is done, later calls do nothing and return `GLEAN_NOT_INITIALIZED`.

 `GLEAN_NOT_INITIALIZED` if it doesn't run; calls that waited for it are dropped.
 */
int32_t glean_shutdown(void);

/*
 Folds the last calls, because the process ends. Later calls are still taken; the next start in the directory finds them.

 `GLEAN_NOT_INITIALIZED` if Glean doesn't run.
 */
int32_t glean_finish(void);

/*
 Ends Glean as the end of its process does, and makes [`glean_initialize`] possible again. Handles stay valid.
 */
int32_t glean_reset(void);

/*
 Sets whether every call is carried out before it returns, for tests.
 */
int32_t glean_set_test_mode(uint8_t enabled);

/*
 Carries out everything that was called so far, before it returns.
 */
int32_t glean_fold(void);

/*
 Does nothing: what was recorded is kept already. It is there for programs that ask for it.
 */
int32_t glean_persist_ping_lifetime_data(void);

/*
 Switches collection on (1) or off (0); off removes what was recorded and submits a `deletion-request`.

 `GLEAN_NOT_INITIALIZED` if Glean doesn't run: nothing is remembered.
 */
int32_t glean_set_collection_enabled(uint8_t enabled);

/*
 Sets the flag that makes the next start send a ping about an unclean end.
 */
int32_t glean_set_dirty_flag(uint8_t dirty);

/*
 Sets `client_info.app_channel`.

 # Safety

 `channel` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_set_app_channel(const uint8_t *channel, uint64_t len);

/*
 Merges settings from a server, as JSON. An empty text changes nothing; what isn't valid is logged and changes nothing.

 # Safety

 `knobs` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_apply_server_knobs_config(const uint8_t *knobs, uint64_t len);

/*
 Makes a metric from its JSON description and writes its handle.

 That is an object with `category`, `name`, `send_in_pings`, `lifetime` (`"ping"`, `"application"`, `"user"`),
 `disabled`, `in_session`, and `type`: a word such as `"counter"`, or an object of the word and the parameters of the
 type, `{"timespan": "second"}`. `is_labeled` makes one that has metrics by label, with `labels` only for those. `label`
 is the label of a metric that belongs to one.

 # Safety

 `definition` is NULL or valid for reads of `len` bytes, `out_handle` is NULL or valid for a write.
 */
int32_t glean_metric_new(const uint8_t *definition, uint64_t len, uint64_t *out_handle);

/*
 Gives the handle of a metric back. What was recorded stays.
 */
int32_t glean_metric_destroy(uint64_t handle);

/*
 Writes what is stored for a metric in a ping, as JSON; the first ping of the metric if `ping` is NULL.

 # Safety

 `ping` is NULL or valid for reads of `len` bytes, `out_value` is NULL or valid for a write.
 */
int32_t glean_metric_test_get_value(uint64_t handle, const uint8_t *ping, uint64_t len, GleanBuffer *out_value);

/*
 Writes how many errors of a kind (0 to 3) a metric has in the ping `metrics`.

 # Safety

 `out_count` is NULL or valid for a write.
 */
int32_t glean_metric_test_get_num_recorded_errors(uint64_t handle, int32_t error, int32_t *out_count);

/*
 Makes a ping from its JSON description, registers it, and writes its handle. One of the same name is replaced.

 # Safety

 `definition` is NULL or valid for reads of `len` bytes, `out_handle` is NULL or valid for a write.
 */
int32_t glean_ping_new(const uint8_t *definition, uint64_t len, uint64_t *out_handle);

/*
 Gives the handle of a ping back. The ping stays registered.
 */
int32_t glean_ping_destroy(uint64_t handle);

/*
 Submits a ping. `reason` is NULL for none; one that the ping doesn't list is logged and left out.

 What was recorded before is in it, what is recorded after isn't. The file is written later.

 # Safety

 `reason` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_ping_submit(uint64_t handle, const uint8_t *reason, uint64_t len);

/*
 Switches a ping on or off. Off removes its values, and its files that wait for upload.
 */
int32_t glean_ping_set_enabled(uint64_t handle, uint8_t enabled);

/*
 Submits the ping of this name. An unknown name is logged.

 # Safety

 `name` is NULL or valid for reads of `name_len` bytes, `reason` likewise.
 */
int32_t glean_submit_ping_by_name(const uint8_t *name, uint64_t name_len, const uint8_t *reason, uint64_t reason_len);

/*
 Submits the ping of this name before it returns, and writes whether there was something to send.

 # Safety

 `name` is NULL or valid for reads of `name_len` bytes, `reason` likewise; `out_submitted` is NULL or valid for a write.
 */
int32_t glean_submit_ping_by_name_sync(const uint8_t *name,
                                       uint64_t name_len,
                                       const uint8_t *reason,
                                       uint64_t reason_len,
                                       uint8_t *out_submitted);

/*
 Writes the names of all registered pings as a JSON array.

 # Safety

 `out_names` is NULL or valid for a write.
 */
int32_t glean_get_registered_ping_names(GleanBuffer *out_names);

/*
 Adds to a counter, or to the numerator of a rate, at most up to 2147483647.

 A negative amount is recorded as an invalid value. Zero does nothing to a counter, makes the rate, and is an invalid
 value of a denominator.
 */
int32_t glean_counter_add(uint64_t handle, int32_t amount);

/*
 Adds 1: `glean_counter_add` with one argument less to convert.
 */
int32_t glean_counter_increment(uint64_t handle);

/*
 Adds to the denominator of a rate, as `glean_counter_add` does to its numerator.
 */
int32_t glean_metric_add_to_denominator(uint64_t handle, int32_t amount);

/*
 Sets a boolean; any number but 0 is true.
 */
int32_t glean_metric_set_bool(uint64_t handle, uint8_t value);

/*
 Sets a number; a negative one is recorded as an invalid value.

 A timespan takes it for nanoseconds: a negative number for 0, and while a duration is measured for an invalid state.
 */
int32_t glean_metric_set_number(uint64_t handle, int64_t value);

/*
 Sets a string, text, URL or UUID. What is longer than the type allows is cut and recorded as an overflow: a string has
 255 bytes, a URL 8 KiB, a text 200 KiB.

 A URL without a scheme, or with `data:`, and what is no UUID are recorded as invalid values.

 # Safety

 `text` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_metric_set_text(uint64_t handle, const uint8_t *text, uint64_t len);

/*
 Sets an object from JSON text; what is none is recorded as an invalid value.

 # Safety

 `text` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_metric_set_object(uint64_t handle, const uint8_t *text, uint64_t len);

/*
 Records that something was to be set that the metric cannot hold, as an invalid value.
 */
int32_t glean_metric_refuse_value(uint64_t handle);

/*
 Adds a string to a list, cut to 100 bytes. A full list is recorded as an invalid value.

 # Safety

 `text` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_metric_add_to_list(uint64_t handle, const uint8_t *text, uint64_t len);

/*
 Sets a list from a JSON array of strings: the first 100, each cut to 100 bytes.

 # Safety

 `list` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_metric_set_list(uint64_t handle, const uint8_t *list, uint64_t len);

/*
 Sets a point in time by the calendar and the clock there. What no calendar has is recorded as an invalid value.

 `offset_seconds` is what to add to UTC to get local time.
 */
int32_t glean_metric_set_datetime(uint64_t handle,
                                  int32_t year,
                                  uint32_t month,
                                  uint32_t day,
                                  uint32_t hour,
                                  uint32_t minute,
                                  uint32_t second,
                                  uint32_t nanos,
                                  int32_t offset_seconds);

/*
 Sets the present local time.
 */
int32_t glean_metric_set_datetime_now(uint64_t handle);

/*
 Starts to measure a duration and returns the id of that. A timespan has one, with the id 0, and a second start of it is
 recorded as an invalid state. The id is 0 as well if the handle is none of a metric that measures.
 */
uint64_t glean_metric_start(uint64_t handle);

/*
 Stops to measure and adds or sets the duration. An id that is not measured is recorded as an invalid state.
 */
int32_t glean_metric_stop(uint64_t handle, uint64_t id);

/*
 Stops to measure and records nothing.
 */
int32_t glean_metric_cancel(uint64_t handle, uint64_t id);

/*
 Adds a sample to a distribution, in the unit of the metric; if it isn't accepted, that is recorded as an error.
 */
int32_t glean_metric_accumulate(uint64_t handle, int64_t sample);

/*
 Adds samples to a distribution, in the unit of the metric; those that aren't accepted are recorded as errors.

 # Safety

 `samples` is NULL or valid for reads of `count` numbers.
 */
int32_t glean_metric_accumulate_samples(uint64_t handle, const int64_t *samples, uint64_t count);

/*
 Records an event. `extra` is a JSON object of strings; NULL for none.

 An extra that the metric doesn't allow is recorded as an invalid value, and the event is dropped.

 # Safety

 `extra` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_metric_record_event(uint64_t handle, const uint8_t *extra, uint64_t len);

/*
 Sets whether each submitted ping is listed.
 */
int32_t glean_set_store_submitted_pings_enabled(uint8_t enabled);

/*
 Writes the list as a JSON array.

 # Safety

 `out_pings` is NULL or valid for a write.
 */
int32_t glean_get_all_stored_submitted_pings(GleanBuffer *out_pings);

/*
 Writes those of one name as a JSON array.

 # Safety

 `name` is NULL or valid for reads of `len` bytes, `out_pings` is NULL or valid for a write.
 */
int32_t glean_get_stored_submitted_pings_by_name(const uint8_t *name, uint64_t len, GleanBuffer *out_pings);

/*
 Empties the list.
 */
int32_t glean_clear_stored_submitted_pings(void);

/*
 Writes what is to be done next. `endpoint` is the URL that the submission path is appended to; nothing is sent without.

 Carries out what was called so far, may read and compress a file, and may remove a bounded number of files.

 # Safety

 `endpoint` is NULL or valid for reads of `len` bytes, `out_task` is NULL or valid for a write.
 */
int32_t glean_upload_next(const uint8_t *endpoint, uint64_t len, GleanUploadTask *out_task);

/*
 Frees what is in a task and empties it, so that a second call does nothing. NULL is allowed.

 # Safety

 `task` is NULL or points to a task that this library filled, or that is all zero.
 */
int32_t glean_upload_task_free(GleanUploadTask *task);

/*
 Takes over what became of a request.

 `result` is one of `GLEAN_UPLOAD_HTTP_STATUS` and those that follow, `http_status` counts with the first one only.
 `retry_after_ms` is what the server asked for, `UINT64_MAX` if it did not. Writes 1 if the caller should stop for now.

 # Safety

 `document_id` is NULL or valid for reads of `len` bytes, `out_is_over` is NULL or valid for a write.
 */
int32_t glean_upload_report(const uint8_t *document_id,
                            uint64_t len,
                            int32_t result,
                            uint32_t http_status,
                            uint64_t retry_after_ms,
                            uint8_t *out_is_over);

/*
 Sleeps until a ping is published or `glean_upload_wake` is called, at most so long; writes 0 if neither happened.

 # Safety

 `out_is_woken` is NULL or valid for a write.
 */
int32_t glean_upload_wait(uint64_t timeout_ms, uint8_t *out_is_woken);

/*
 Ends `glean_upload_wait`, also one that begins later.
 */
int32_t glean_upload_wake(void);

/*
 Prepares uploads from a directory in a process in which Glean doesn't run, with a JSON description.

 `GLEAN_NO_VALUE` if there is no such directory, or the environment says `DO_NOT_TRACK`; `GLEAN_LOCKED` if another process
 has it; `GLEAN_ALREADY_INITIALIZED` if Glean runs.

 # Safety

 `settings` is NULL or valid for reads of `len` bytes.
 */
int32_t glean_upload_open(const uint8_t *settings,
                          uint64_t len);

/*
 Ends uploads: what is being sent is given back, and the directory is left. Until then they go on when Glean ends.
 */
int32_t glean_upload_close(void);

/*
 Writes whether there is something to send, as a JSON object: `waiting`, `retry_ms`, `is_exclusive_taken`, `is_frozen`.

 # Safety

 `out_json` is NULL or valid for a write.
 */
int32_t glean_upload_peek(GleanBuffer *out_json);

/*
 Writes what is in a data directory, as a JSON object; with the bodies of pings if `with_bodies` isn't 0.

 Changes nothing, also beside a running program. `GLEAN_NO_VALUE` if it is no data directory.

 # Safety

 `data_dir` is NULL or valid for reads of `len` bytes, `out_json` is NULL or valid for a write.
 */
int32_t glean_inspect(const uint8_t *data_dir, uint64_t len, uint8_t with_bodies, GleanBuffer *out_json);

/*
 Removes the pings that wait, except requests for deletion; writes how many.

 # Safety

 `data_dir` is NULL or valid for reads of `len` bytes, `out_removed` is NULL or valid for a write.
 */
int32_t glean_purge(const uint8_t *data_dir, uint64_t len, uint64_t *out_removed);

/*
 Writes whether the environment says `DO_NOT_TRACK`: Glean does nothing then.

 # Safety

 `out_frozen` is NULL or valid for a write.
 */
int32_t glean_is_frozen(uint8_t *out_frozen);

#endif  /* GLEAN_H */
