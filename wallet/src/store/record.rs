//! Kinds of records, and changes that are made together.

use serde::{Serialize, de::DeserializeOwned};

use super::{Plain, StoreError};

/// What a record is. The numbers are on disk and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    NameKey = 0,
    Identity = 1,
    Settings = 2,
    Manifest = 3,
    Relay = 4,
    Purchase = 5,
    Certificate = 6,
    Payment = 7,
    Lease = 8,
    Upload = 9,
    Restore = 10,
    Evidence = 11,
    Tending = 20,
    Offered = 24,
    Held = 25,
    Copy = 12,
    Notices = 13,
    Caught = 16,
    Restock = 21,
    Answered = 26,
}

impl Kind {
    pub(super) const ALL: [Self; 20] = [
        Self::NameKey,
        Self::Identity,
        Self::Settings,
        Self::Manifest,
        Self::Relay,
        Self::Purchase,
        Self::Certificate,
        Self::Payment,
        Self::Lease,
        Self::Upload,
        Self::Restore,
        Self::Evidence,
        Self::Copy,
        Self::Notices,
        Self::Tending,
        Self::Caught,
        Self::Restock,
        Self::Offered,
        Self::Held,
        Self::Answered,
    ];

    /// The kind with this number; `None` for one of a newer release.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// For messages about damaged records.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NameKey => "name key",
            Self::Identity => "identity",
            Self::Settings => "settings",
            Self::Manifest => "manifest",
            Self::Relay => "relay",
            Self::Purchase => "purchase",
            Self::Certificate => "certificate",
            Self::Payment => "payment",
            Self::Lease => "lease",
            Self::Upload => "upload",
            Self::Restore => "restore",
            Self::Evidence => "evidence",
            Self::Tending => "tending",
            Self::Copy => "copy",
            Self::Notices => "notices",
            Self::Caught => "caught relay",
            Self::Restock => "restock",
            Self::Offered => "offered manifest",
            Self::Held => "earlier manifest",
            Self::Answered => "answered renewal",
        }
    }
}

/// Something that the wallet file keeps.
pub(crate) trait Record: Serialize + DeserializeOwned {
    const KIND: Kind;

    /// What tells it from others of its kind; empty where there is only one.
    fn name(&self) -> Vec<u8>;
}

/// Changes that are made together or not at all. A failure to encode shows when they are committed.
#[derive(Default)]
pub(crate) struct Changes(Vec<Result<Row, StoreError>>);

/// Kind, natural name, and the new content or `None` to delete.
pub(super) type Row = (Kind, Vec<u8>, Option<Plain>);

impl Changes {
    /// Writes `record`, in the place of an earlier one of its name.
    #[must_use]
    pub(crate) fn put<R: Record>(mut self, record: &R) -> Self {
        self.add(record);
        self
    }

    /// As [`Changes::put`], in a loop.
    pub(crate) fn add<R: Record>(&mut self, record: &R) {
        self.0.push(encode(R::KIND, record).map(|plain| (R::KIND, record.name(), Some(plain))));
    }

    /// Deletes the record of this name, if there is one.
    #[must_use]
    pub(crate) fn delete<R: Record>(mut self, name: &[u8]) -> Self {
        self.0.push(Ok((R::KIND, name.to_vec(), None)));
        self
    }

    pub(super) fn into_rows(self) -> Result<Vec<Row>, StoreError> {
        self.0.into_iter().collect()
    }
}

pub(super) fn encode<T: Serialize>(kind: Kind, value: &T) -> Result<Plain, StoreError> {
    serde_json::to_vec(value)
        .map(Plain::new)
        .map_err(|error| StoreError::Damaged { kind: kind.name(), reason: error.to_string() })
}
