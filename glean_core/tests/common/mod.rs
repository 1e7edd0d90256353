//! What the integration tests share: a temporary directory, and a Glean in it.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use glean_core::{CommonMetricData, Configuration, Glean, Lifetime, PingDefinition, PingType};
use serde_json::Value as Json;

/// A directory that is removed when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("glean-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn configuration(data_dir: &Path) -> Configuration {
    Configuration {
        data_dir: data_dir.to_path_buf(),
        application_id: "org.example.Test App".into(),
        app_display_version: "1.2.3".into(),
        app_build: "456".into(),
        channel: Some("nightly".into()),
        architecture: "x86_64".into(),
        os_version: "Unknown".into(),
        experimentation_id: None,
        collection_enabled: true,
        enable_internal_pings: true,
    }
}

pub fn ping(name: &str) -> PingDefinition {
    PingDefinition {
        name: name.into(),
        include_client_id: true,
        send_if_empty: false,
        precise_timestamps: true,
        include_info_sections: true,
        schedules_pings: Vec::new(),
        reason_codes: vec!["first".into(), "second".into()],
        uploader_capabilities: Vec::new(),
        enabled: true,
        follows_collection_enabled: true,
    }
}

/// A running Glean with one ping.
pub fn start(data_dir: &Path, definition: PingDefinition) -> Glean {
    start_with(configuration(data_dir), vec![definition])
}

pub fn start_with(configuration: Configuration, pings: Vec<PingDefinition>) -> Glean {
    let pings = pings.into_iter().map(|definition| Arc::new(PingType::new(definition)));
    Glean::new(configuration, pings, []).unwrap()
}

pub fn metric(identifier: &str, pings: &[&str], lifetime: Lifetime) -> CommonMetricData {
    let (category, name) = identifier.rsplit_once('.').unwrap_or(("", identifier));
    CommonMetricData {
        category: category.into(),
        name: name.into(),
        send_in_pings: pings.iter().map(ToString::to_string).collect(),
        lifetime,
        disabled: false,
        label: None,
        in_session: false,
    }
}

/// A ping file.
pub struct Sent {
    pub path: String,
    pub body: Json,
    pub metadata: Json,
}

/// The ping files of a folder, sorted by sequence number.
pub fn sent(data_dir: &Path, folder: &str) -> Vec<Sent> {
    let Ok(entries) = fs::read_dir(data_dir.join(folder)) else { return Vec::new() };
    let mut all: Vec<Sent> = entries
        .map(|entry| {
            let file = entry.unwrap().path();
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<&str> = text.split('\n').collect();
            let [path, body, metadata] = lines[..] else { panic!("{} lines in {}", lines.len(), file.display()) };
            assert!(path.ends_with(file.file_name().unwrap().to_str().unwrap()));
            Sent {
                path: path.into(),
                body: serde_json::from_str(body).unwrap(),
                metadata: serde_json::from_str(metadata).unwrap(),
            }
        })
        .collect();
    all.sort_by_key(|sent| sent.body["ping_info"]["seq"].as_i64());
    all
}
