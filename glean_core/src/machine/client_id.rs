//! The client id: made once, kept in the database and, for the case that it is lost, in `client_id.txt`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use uuid::Uuid;

use super::Machine;
use crate::common_metric_data::Lifetime;
use crate::store::base::Effect;
use crate::store::{Address, CLIENT_ID_FILE, CLIENT_INFO_STORE, Value};

/// Id that very old releases stored while collection was off. It is never sent.
pub(crate) const PLACEHOLDER: Uuid = Uuid::from_u128(0xc0ff_eec0_ffee_c0ff_eec0_ffee_c0ff_eec0);
/// Where it is stored.
pub(crate) const ADDRESS: Address<'static> = Address { lifetime: Lifetime::User, identifier: "client_id", label: None };
const HEALTH: [&str; 1] = ["health"];

/// Reads the file. The error is the label it is counted under.
pub fn read_file(data_dir: &Path) -> Result<Uuid, &'static str> {
    let text = fs::read(data_dir.join(CLIENT_ID_FILE)).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "file-not-found",
        ErrorKind::PermissionDenied => "permission-denied",
        _ => "io",
    })?;
    let text = std::str::from_utf8(&text).map_err(|_| "parse")?;
    Uuid::parse_str(text.trim_end()).map_err(|_| "parse")
}

impl Machine<'_> {
    /// Returns the stored client id.
    pub(crate) fn client_id(&self) -> Option<Uuid> {
        match self.state.get(CLIENT_INFO_STORE, ADDRESS) {
            Some(Value::Uuid(uuid)) => Some(*uuid),
            _ => None,
        }
    }

    pub(crate) fn set_client_id(&mut self, client_id: Uuid) {
        self.state.set(CLIENT_INFO_STORE, ADDRESS, Value::Uuid(client_id));
    }

    pub(crate) fn remove_client_id(&mut self) {
        self.state.remove(CLIENT_INFO_STORE, ADDRESS.lifetime, ADDRESS.identifier);
    }

    fn write_client_id_file(&mut self, client_id: Uuid) {
        self.outgoing.push(Effect::WriteClientId(client_id));
    }

    /// Makes database and file agree; `was_empty` tells that nothing was stored before this start.
    ///
    /// Which of the two counts depends on what is left of them, and the health ping tells which case it was.
    pub(crate) fn recover_client_id(&mut self, was_empty: bool) {
        let in_file = match read_file(self.data_dir) {
            Ok(PLACEHOLDER) => {
                self.count("glean.health.file_read_error", Some("c0ffee-in-file"), &HEALTH, 1);
                None
            }
            Ok(client_id) => Some(client_id),
            Err(label) => {
                self.count("glean.health.file_read_error", Some(label), &HEALTH, 1);
                None
            }
        };
        let stored = self.client_id();
        match (in_file, stored) {
            (Some(in_file), None) => {
                self.set_client_id(in_file);
                let (state, recovered) = if was_empty { ("empty-db", Some(in_file)) } else { ("regen-db", None) };
                self.note_recovery(state, recovered);
            }
            (Some(in_file), Some(PLACEHOLDER)) => {
                self.set_client_id(in_file);
                self.note_recovery("c0ffee-in-db", Some(in_file));
            }
            (Some(in_file), Some(stored)) if in_file != stored => {
                self.write_client_id_file(stored);
                self.note_recovery("client-id-mismatch", Some(in_file));
            }
            (Some(_), Some(_)) => (),
            (None, Some(stored)) if stored != PLACEHOLDER => self.write_client_id_file(stored),
            (None, _) => (),
        }
    }

    fn note_recovery(&mut self, state: &str, recovered: Option<Uuid>) {
        self.set_in_pings("glean.health.exception_state", &HEALTH, &Value::String(state.to_owned()));
        if let Some(client_id) = recovered {
            self.set_in_pings("glean.health.recovered_client_id", &HEALTH, &Value::Uuid(client_id));
        }
    }

    /// Makes a client id if there is none that may be sent.
    pub(crate) fn ensure_client_id(&mut self) {
        if self.client_id().is_none_or(|client_id| client_id == PLACEHOLDER) {
            let client_id = Uuid::new_v4();
            self.set_client_id(client_id);
            self.write_client_id_file(client_id);
        }
    }
}
