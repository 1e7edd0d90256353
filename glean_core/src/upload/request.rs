//! A ping file as a request: path, headers, compressed body.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::disk::OwnFile;
use crate::time::http_date;

/// How large a compressed body may be.
///
/// cbindgen:ignore
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// How large a file may be. What is larger is no ping, and is not read into the memory of the host.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A ping, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub document_id: String,
    /// The name of the ping.
    pub ping_name: String,
    /// The endpoint and the submission path.
    pub url: String,
    /// The compressed body.
    pub body: Vec<u8>,
    /// The body as it is in the file.
    pub payload: String,
    /// The headers.
    pub headers: BTreeMap<String, String>,
    /// What an uploader has to be able to do.
    pub capabilities: Vec<String>,
}

/// Why a file is no request.
#[derive(Debug)]
pub enum Unsendable {
    /// It was removed.
    Gone,
    /// It cannot be read now.
    Unreadable(String),
    /// It is no ping.
    Malformed(&'static str),
    /// Its compressed body has so many bytes.
    TooLarge(u64),
}

/// What a ping file says, besides the body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    headers: BTreeMap<String, String>,
    ping_name: String,
    uploader_capabilities: Vec<String>,
}

/// The three lines of a ping file.
#[derive(Debug)]
pub struct PingFile {
    /// The submission path.
    pub path: String,
    /// The body, which is valid JSON.
    pub payload: String,
    /// The name of the ping.
    pub name: String,
    /// Headers that were stored with it.
    pub headers: BTreeMap<String, String>,
    /// What an uploader has to be able to do.
    pub capabilities: Vec<String>,
}

/// Reads a ping file.
///
/// # Errors
///
/// [`Unsendable`], except [`Unsendable::TooLarge`].
pub fn read_file(file: &Path) -> Result<PingFile, Unsendable> {
    let mut bytes = Vec::with_capacity(4 << 10);
    let file = OwnFile::open_read(file).map_err(|error| match error.is_not_found() {
        true => Unsendable::Gone,
        false => Unsendable::Unreadable(error.to_string()),
    })?;
    match file.get().and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)) {
        Ok(size) if size as u64 > MAX_FILE_BYTES => return Err(Unsendable::Malformed("its file is too large")),
        Ok(_) => (),
        Err(error) => return Err(Unsendable::Unreadable(error.to_string())),
    }
    let mut text = String::from_utf8(bytes).map_err(|_| Unsendable::Malformed("it is not UTF-8"))?;
    let (path, rest) = text.split_once('\n').ok_or(Unsendable::Malformed("it has one line only"))?;
    // It goes right behind the endpoint, whose host it must not change.
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unsendable::Malformed("its first line is no path"));
    }
    let (payload, metadata) = rest.split_once('\n').unwrap_or((rest, ""));
    if serde_json::from_str::<IgnoredAny>(payload).is_err() {
        return Err(Unsendable::Malformed("its body is no JSON"));
    }
    let Metadata { mut headers, ping_name, uploader_capabilities } = serde_json::from_str(metadata).unwrap_or_default();
    let is_header = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    headers.retain(|name, value| is_header(name) && is_header(value));
    let name = match ping_name.is_empty() {
        true => path.split('/').nth(3).unwrap_or_default().to_owned(),
        false => ping_name,
    };
    let (path, payload) = (path.to_owned(), path.len() + 1..path.len() + 1 + payload.len());
    text.truncate(payload.end);
    text.drain(..payload.start);
    Ok(PingFile { path, payload: text, name, headers, capabilities: uploader_capabilities })
}

/// Makes a request of a ping file.
///
/// # Errors
///
/// [`Unsendable`].
pub fn read(file: &Path, document_id: &str, endpoint: &str, now_ms: i64) -> Result<Request, Unsendable> {
    let ping = read_file(file)?;
    let body = compress(&ping.payload);
    if body.len() > MAX_BODY_BYTES {
        return Err(Unsendable::TooLarge(body.len() as u64));
    }
    let mut headers = ping.headers;
    let agent = format!("Glean/{} (Python on {})", crate::VERSION, operating_system());
    for (name, value) in [
        ("Content-Type", "application/json; charset=utf-8".to_owned()),
        ("Content-Encoding", "gzip".to_owned()),
        ("Content-Length", body.len().to_string()),
        ("Date", http_date(now_ms)),
        ("X-Telemetry-Agent", agent),
    ] {
        headers.insert(name.to_owned(), value);
    }
    Ok(Request {
        document_id: document_id.to_owned(),
        ping_name: ping.name,
        url: format!("{endpoint}{}", ping.path),
        body,
        payload: ping.payload,
        headers,
        capabilities: ping.capabilities,
    })
}

fn compress(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 2 + 64), Compression::default());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("writing to a Vec cannot fail")
}

/// Returns the name of the system this library was built for.
pub(crate) fn operating_system() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "windows" => "Windows",
        "freebsd" => "FreeBSD",
        "netbsd" => "NetBSD",
        "openbsd" => "OpenBSD",
        "solaris" => "Solaris",
        "android" => "Android",
        "ios" => "iOS",
        _ => "Unknown",
    }
}
