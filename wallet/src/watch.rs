//! What a long operation tells whoever waits for it.

use std::sync::Arc;

use scrip_protocol::address::RelayAddress;

/// Something worth showing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Work begins; `total` counts what [`Event::Done`] reports.
    Started {
        /// What is done, for people.
        what: &'static str,
        /// How much of it there is.
        total: u64,
    },
    /// So much is done since [`Event::Started`]. It can go back, where something has to be sent again.
    Done(u64),
    /// The work has ended, well or not.
    Finished,
    /// A relay cannot be used now, and another one is taken.
    RelaySkipped {
        /// The relay.
        relay: RelayAddress,
        /// Why.
        reason: String,
    },
    /// Something went wrong that does not stop the operation.
    Warning(String),
}

/// Hears of events; clones share one listener.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<dyn Fn(Event) + Send + Sync>>);

impl Watch {
    /// Nobody listens.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Calls `listener` for every event, on the thread that it happens on.
    pub fn listen(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(crate) fn tell(&self, event: Event) {
        if let Some(listener) = &self.0 {
            listener(event);
        }
    }

    pub(crate) fn warn(&self, warning: impl Into<String>) {
        self.tell(Event::Warning(warning.into()));
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Watch(heard)" } else { "Watch(none)" })
    }
}
