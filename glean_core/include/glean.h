/* The C ABI of glean_core, generated from glean_core/src/ffi by cbindgen. Do not edit; see docs/adding-a-metric-type.md. */

#ifndef GLEAN_H
#define GLEAN_H

#include <stdint.h>

/*
 Version of this interface. A binding made for another version must not be used.
 */
#define GLEAN_ABI_VERSION 1

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
 The handle was destroyed, never given out, or belongs to another type.
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
 Another process owns the data directory.
 */
#define GLEAN_LOCKED 10

/*
 The process was forked from one that runs Glean; nothing is recorded in it.
 */
#define GLEAN_FORKED 11

/*
 An error inside the library; nothing else is affected.
 */
#define GLEAN_PANIC 12

/*
 Too many metrics or pings exist at the same time.
 */
#define GLEAN_TOO_MANY_HANDLES 13

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
 A text inside a struct: UTF-8 bytes without a terminator, NUL being a character like any other.
 */
typedef struct {
  /*
   Address of the first byte; NULL means "no text" where that is allowed, and else an empty one if `len` is 0.
   */
  const uint8_t *data;
  /*
   Number of bytes.
   */
  uint64_t len;
} GleanString;

/*
 What [`glean_initialize`] is told; borrowed for the call.
 */
typedef struct {
  /*
   The directory for everything Glean keeps; created with its parents.
   */
  GleanString data_dir;
  /*
   Id of the application; must not be empty.
   */
  GleanString application_id;
  /*
   `client_info.app_display_version`.
   */
  GleanString app_display_version;
  /*
   `client_info.app_build`.
   */
  GleanString app_build;
  /*
   `client_info.app_channel`; NULL data for none.
   */
  GleanString channel;
  /*
   `client_info.architecture`.
   */
  GleanString architecture;
  /*
   `client_info.os_version`.
   */
  GleanString os_version;
  /*
   Tag added to every ping that has a client id; NULL data for none.
   */
  GleanString experimentation_id;
  /*
   1 if anything is recorded and sent.
   */
  uint8_t collection_enabled;
  /*
   1 if the pings `baseline`, `metrics`, `events` and `health` start enabled.
   */
  uint8_t enable_internal_pings;
} GleanConfiguration;

/*
 What all metrics have in common; borrowed for the call.
 */
typedef struct {
  /*
   First part of the identifier; may be empty.
   */
  GleanString category;
  /*
   Last part of the identifier.
   */
  GleanString name;
  /*
   The label of one metric of a labeled one; NULL data for none.
   */
  GleanString label;
  /*
   Names of the pings the metric is sent in.
   */
  const GleanString *send_in_pings;
  /*
   Number of names in `send_in_pings`.
   */
  uint64_t send_in_pings_len;
  /*
   0 until the ping is collected, 1 until the next start, 2 until collection is switched off.
   */
  int32_t lifetime;
  /*
   1 if nothing is recorded.
   */
  uint8_t disabled;
  /*
   1 if the metric belongs to a session.
   */
  uint8_t in_session;
} GleanCommonMetricData;

/*
 What a ping is; borrowed for the call.
 */
typedef struct {
  /*
   Name of the ping.
   */
  GleanString name;
  /*
   Names of pings that are submitted right after this one.
   */
  const GleanString *schedules_pings;
  /*
   Number of names in `schedules_pings`.
   */
  uint64_t schedules_pings_len;
  /*
   The reasons this ping may be submitted for.
   */
  const GleanString *reason_codes;
  /*
   Number of texts in `reason_codes`.
   */
  uint64_t reason_codes_len;
  /*
   What an uploader has to be able to do to send this ping.
   */
  const GleanString *uploader_capabilities;
  /*
   Number of texts in `uploader_capabilities`.
   */
  uint64_t uploader_capabilities_len;
  /*
   1 if `client_info` has the client id.
   */
  uint8_t include_client_id;
  /*
   1 if the ping is sent without any metric.
   */
  uint8_t send_if_empty;
  /*
   1 if times have milliseconds, 0 if they end with the minute.
   */
  uint8_t precise_timestamps;
  /*
   1 if the ping has `ping_info` and `client_info`.
   */
  uint8_t include_info_sections;
  /*
   1 if the ping is enabled from the start.
   */
  uint8_t enabled;
  /*
   1 if the ping is off while collection is off.
   */
  uint8_t follows_collection_enabled;
} GleanPingDefinition;

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
 Starts Glean and runs the calls that waited for it.

 After `GLEAN_LOCKED`, `GLEAN_IO` or `GLEAN_INVALID_ARGUMENT` Glean is off until [`glean_reset`]: recording does
 nothing and returns `GLEAN_NOT_INITIALIZED`. `GLEAN_ALREADY_INITIALIZED` changes nothing.

 # Safety

 `configuration` is NULL or valid for reads, and so are the texts in it.
 */
int32_t glean_initialize(const GleanConfiguration *configuration);

/*
 Ends Glean: everything is on the disk, later calls do nothing and return `GLEAN_NOT_INITIALIZED`.

 `GLEAN_NOT_INITIALIZED` if it doesn't run; calls that waited for it are dropped.
 */
int32_t glean_shutdown(void);

/*
 Ends Glean like [`glean_shutdown`] and makes [`glean_initialize`] possible again. Handles stay valid.
 */
int32_t glean_reset(void);

/*
 Switches collection on (1) or off (0); off removes what was recorded and submits a `deletion-request`.

 `GLEAN_NOT_INITIALIZED` if Glean doesn't run: nothing is remembered.
 */
int32_t glean_set_collection_enabled(uint8_t enabled);

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
 Makes a boolean metric and writes its handle, to be released with `glean_boolean_destroy`.

 # Safety

 `meta` is NULL or valid for reads, and so is what it points to; `out_handle` is NULL or valid for a write.
 */
int32_t glean_boolean_new(const GleanCommonMetricData *meta, uint64_t *out_handle);

/*
 Stores true (anything but 0) or false (0).
 */
int32_t glean_boolean_set(uint64_t handle, uint8_t value);

/*
 Writes the value stored for a ping, or for the first ping of the metric if `ping_name` is NULL; `GLEAN_NO_VALUE` if
 nothing is stored. It is 0 or 1.

 # Safety

 `ping_name` is NULL or valid for reads of `ping_name_len` bytes; `out_value` is NULL or valid for a write.
 */
int32_t glean_boolean_test_get_value(uint64_t handle,
                                     const uint8_t *ping_name,
                                     uint64_t ping_name_len,
                                     uint8_t *out_value);

/*
 Writes the number of errors of one kind, as counted in the `metrics` ping.

 # Safety

 `out_count` is NULL or valid for a write.
 */
int32_t glean_boolean_test_get_num_recorded_errors(uint64_t handle, int32_t error, int32_t *out_count);

/*
 Releases the handle; what was recorded stays.
 */
int32_t glean_boolean_destroy(uint64_t handle);

/*
 Frees the bytes of a buffer and empties it, so that a second call does nothing. NULL is allowed.

 # Safety

 `buffer` is NULL or points to a buffer that this library filled, or that is all zero.
 */
int32_t glean_buffer_free(GleanBuffer *buffer);

/*
 Makes a counter and writes its handle, to be released with `glean_counter_destroy`.

 # Safety

 `meta` is NULL or valid for reads, and so is what it points to; `out_handle` is NULL or valid for a write.
 */
int32_t glean_counter_new(const GleanCommonMetricData *meta, uint64_t *out_handle);

/*
 Adds `amount`; the sum saturates at 2147483647. Zero changes nothing, a negative amount is recorded as an error.
 */
int32_t glean_counter_add(uint64_t handle, int32_t amount);

/*
 Writes the value stored for a ping, or for the first ping of the metric if `ping_name` is NULL; `GLEAN_NO_VALUE` if
 nothing is stored.

 # Safety

 `ping_name` is NULL or valid for reads of `ping_name_len` bytes; `out_value` is NULL or valid for a write.
 */
int32_t glean_counter_test_get_value(uint64_t handle,
                                     const uint8_t *ping_name,
                                     uint64_t ping_name_len,
                                     int32_t *out_value);

/*
 Writes the number of errors of one kind, as counted in the `metrics` ping.

 # Safety

 `out_count` is NULL or valid for a write.
 */
int32_t glean_counter_test_get_num_recorded_errors(uint64_t handle, int32_t error, int32_t *out_count);

/*
 Releases the handle; what was recorded stays.
 */
int32_t glean_counter_destroy(uint64_t handle);

/*
 Makes a ping, registers it and writes its handle, to be released with `glean_ping_destroy`.

 A ping that was registered under the same name is replaced.

 # Safety

 `definition` is NULL or valid for reads, and so is what it points to; `out_handle` is NULL or valid for a write.
 */
int32_t glean_ping_new(const GleanPingDefinition *definition, uint64_t *out_handle);

/*
 Submits a ping: what is stored for it is written to a file that waits for upload.

 `reason` is NULL or one of its reason codes; another one is logged and left out.

 # Safety

 `reason` is NULL or valid for reads of `reason_len` bytes.
 */
int32_t glean_ping_submit(uint64_t handle, const uint8_t *reason, uint64_t reason_len);

/*
 Switches a ping on (1) or off (0); off removes its values and its files that wait for upload.
 */
int32_t glean_ping_set_enabled(uint64_t handle, uint8_t enabled);

/*
 Submits the ping registered under a name, for pings without a handle such as `metrics`.

 # Safety

 `name` and `reason` are NULL or valid for reads of as many bytes as their lengths say.
 */
int32_t glean_submit_ping_by_name(const uint8_t *name, uint64_t name_len, const uint8_t *reason, uint64_t reason_len);

/*
 Releases the handle; the ping stays registered.
 */
int32_t glean_ping_destroy(uint64_t handle);

/*
 Makes a string metric and writes its handle, to be released with `glean_string_destroy`.

 # Safety

 `meta` is NULL or valid for reads, and so is what it points to; `out_handle` is NULL or valid for a write.
 */
int32_t glean_string_new(const GleanCommonMetricData *meta, uint64_t *out_handle);

/*
 Stores a text; more than 255 bytes are cut off and recorded as an error.

 # Safety

 `value` is NULL or valid for reads of `value_len` bytes.
 */
int32_t glean_string_set(uint64_t handle, const uint8_t *value, uint64_t value_len);

/*
 Writes the value stored for a ping, or for the first ping of the metric if `ping_name` is NULL; `GLEAN_NO_VALUE` if
 nothing is stored.

 # Safety

 `ping_name` is NULL or valid for reads of `ping_name_len` bytes; `out_value` is NULL or valid for a write.
 */
int32_t glean_string_test_get_value(uint64_t handle,
                                    const uint8_t *ping_name,
                                    uint64_t ping_name_len,
                                    GleanBuffer *out_value);

/*
 Writes the number of errors of one kind, as counted in the `metrics` ping.

 # Safety

 `out_count` is NULL or valid for a write.
 */
int32_t glean_string_test_get_num_recorded_errors(uint64_t handle, int32_t error, int32_t *out_count);

/*
 Releases the handle; what was recorded stays.
 */
int32_t glean_string_destroy(uint64_t handle);

/*
 Makes a UUID metric and writes its handle, to be released with `glean_uuid_destroy`.

 # Safety

 `meta` is NULL or valid for reads, and so is what it points to; `out_handle` is NULL or valid for a write.
 */
int32_t glean_uuid_new(const GleanCommonMetricData *meta, uint64_t *out_handle);

/*
 Stores a UUID in one of its usual spellings; anything else is recorded as an error.

 # Safety

 `value` is NULL or valid for reads of `value_len` bytes.
 */
int32_t glean_uuid_set(uint64_t handle, const uint8_t *value, uint64_t value_len);

/*
 Writes the value stored for a ping, or for the first ping of the metric if `ping_name` is NULL; `GLEAN_NO_VALUE` if
 nothing is stored. It is lower-case and hyphenated.

 # Safety

 `ping_name` is NULL or valid for reads of `ping_name_len` bytes; `out_value` is NULL or valid for a write.
 */
int32_t glean_uuid_test_get_value(uint64_t handle,
                                  const uint8_t *ping_name,
                                  uint64_t ping_name_len,
                                  GleanBuffer *out_value);

/*
 Writes the number of errors of one kind, as counted in the `metrics` ping.

 # Safety

 `out_count` is NULL or valid for a write.
 */
int32_t glean_uuid_test_get_num_recorded_errors(uint64_t handle, int32_t error, int32_t *out_count);

/*
 Releases the handle; what was recorded stays.
 */
int32_t glean_uuid_destroy(uint64_t handle);

#endif  /* GLEAN_H */
