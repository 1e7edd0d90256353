//! Switching collection, and what is removed when it is off.

use super::{Machine, activity, client_id};
use crate::common_metric_data::Lifetime;
use crate::store::base::Effect;
use crate::store::{Address, CLIENT_INFO_STORE, INTERNAL_STORE, Value};
use crate::time::Moment;
use crate::time::TimeUnit;

/// Name of the ping that asks for the removal of what was sent.
pub(crate) const DELETION_REQUEST_PING: &str = "deletion-request";
const FIRST_RUN_DATE: &str = "first_run_date";

impl Machine<'_> {
    /// Switches collection. Off submits a `deletion-request`, then removes client id, values and waiting pings.
    pub(crate) fn set_collection_enabled(&mut self, enabled: bool, moment: &Moment) {
        if enabled == self.context.collection_enabled {
            return;
        }
        if enabled {
            self.context.collection_enabled = true;
            self.context.settings.upload_enabled = true;
            self.ensure_identity(moment);
            self.set_core_values();
        } else {
            self.submit(DELETION_REQUEST_PING, Some("set_upload_enabled"), moment);
            self.clear_collected();
            self.context.collection_enabled = false;
            self.context.settings.upload_enabled = false;
        }
    }

    /// What a start does about collection: makes sure of the client id, or that there is none.
    pub(crate) fn start_collection(&mut self, moment: &Moment) {
        if self.context.collection_enabled {
            self.ensure_identity(moment);
            return;
        }
        match self.client_id() {
            None => self.clear_collected(),
            Some(client_id::PLACEHOLDER) => {
                self.clear_collected();
            }
            Some(_) => {
                // The ping follows collection, and this is the last one for which it is on.
                self.context.collection_enabled = true;
                // They are removed anyway, and not one of them is about the request.
                self.state.events.clear();
                self.submit(DELETION_REQUEST_PING, Some("at_init"), moment);
                self.clear_collected();
                self.context.collection_enabled = false;
            }
        }
    }

    fn ensure_identity(&mut self, moment: &Moment) {
        self.ensure_client_id();
        self.ensure_first_run_date(moment);
    }

    /// Makes the date of the first run; every ping with info sections has to have it, even while collection is off.
    pub(crate) fn ensure_first_run_date(&mut self, moment: &Moment) {
        let address = Address::plain(Lifetime::User, FIRST_RUN_DATE);
        if self.state.get(CLIENT_INFO_STORE, address).is_none() {
            self.state.set(CLIENT_INFO_STORE, address, Value::Datetime(moment.local.clone(), TimeUnit::Day));
        }
    }

    /// Tells whether no start in this directory ever made a first run date.
    pub(crate) fn has_first_run_date(&self) -> bool {
        self.state.get(CLIENT_INFO_STORE, Address::plain(Lifetime::User, FIRST_RUN_DATE)).is_some()
    }

    /// Removes everything that was collected. What stays: `first_run_date` and client info, attribution and
    /// distribution, experiments, and all of the pings that don't follow collection.
    pub(crate) fn clear_collected(&mut self) {
        let (following, others): (Vec<String>, Vec<String>) = self
            .context
            .pings
            .keys()
            .cloned()
            .partition(|name| self.context.pings[name].definition.follows_collection_enabled);
        self.outgoing.push(Effect::RemovePendingExcept(others));
        self.outgoing.push(Effect::RemoveClientId);
        self.remove_client_id();
        self.state.clear(INTERNAL_STORE, Lifetime::User);
        for ping in &following {
            Lifetime::ALL.into_iter().for_each(|lifetime| self.state.clear(ping, lifetime));
        }
        self.state.events.clear();
        self.state.set_internal(Lifetime::User, activity::DIRTY, Value::Boolean(false));
    }
}
