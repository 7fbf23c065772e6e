//! Who may do what: commands are signed by a key of the resource (resources.md, "Commands").

use scrip_protocol::{
    id::ResourceId,
    keys::PublicKey,
    limits::COMMAND_SKEW,
    resource::{Command, CommandAuth},
    time::UnixSeconds,
};

use crate::{
    core::{Core, REMEMBERED},
    store::{LeaseKind, LeaseRow, StoreError},
};

/// A command, but for its body.
#[derive(Clone, Debug)]
pub(crate) struct CommandHead {
    pub(crate) auth: CommandAuth,
    /// Upper case.
    pub(crate) method: String,
    /// As sent, from the first slash.
    pub(crate) path: String,
}

/// As whom somebody comes to a resource, by the address that he names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Of a queue.
    Recipient,
    /// Of a queue.
    Sender,
    /// Of a chunk.
    Owner,
    /// Of a chunk.
    Reader,
    /// The recipient or owner of any lease.
    Holder,
}

/// Why a command is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("the command's time is too far from the relay's")]
    Stale,
    #[error("there is no such resource, or the command is not signed by its key")]
    NotFound,
    #[error("the lease has ended")]
    Ended,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Role {
    fn has_kind(self, kind: &LeaseKind) -> bool {
        match self {
            Self::Recipient | Self::Sender => matches!(kind, LeaseKind::Queue),
            Self::Owner | Self::Reader => matches!(kind, LeaseKind::Chunk(_)),
            Self::Holder => true,
        }
    }

    fn is_peer(self) -> bool {
        matches!(self, Self::Sender | Self::Reader)
    }

    fn key(self, lease: &LeaseRow) -> &PublicKey {
        if self.is_peer() { &lease.peer_key } else { &lease.owner_key }
    }
}

impl Core {
    /// The live lease that a command is about, if its key signed the command with a body of this digest.
    pub(crate) async fn authorize(
        &self,
        head: &CommandHead,
        address: ResourceId,
        role: Role,
        body_digest: [u8; 32],
    ) -> Result<LeaseRow, AccessError> {
        let lease = self.authorize_ended_too(head, address, role, body_digest).await?;
        if lease.is_live(self.believed.earlier()) { Ok(lease) } else { Err(AccessError::Ended) }
    }

    /// As [`Core::authorize`], also where the lease ended not long ago.
    pub(crate) async fn authorize_ended_too(
        &self,
        head: &CommandHead,
        address: ResourceId,
        role: Role,
        body_digest: [u8; 32],
    ) -> Result<LeaseRow, AccessError> {
        self.check_time(head)?;
        let found = self.find(address, role).await?;
        match (self.is_signed(head, role, found.as_ref(), body_digest), found) {
            (true, Some(lease)) => Ok(lease),
            _ => Err(AccessError::NotFound),
        }
    }

    /// Refuses a command whose time is too far from ours, whatever it is about.
    pub(crate) fn check_time(&self, head: &CommandHead) -> Result<(), AccessError> {
        let skew = head.auth.time.0.abs_diff(self.now().0);
        if skew > COMMAND_SKEW { Err(AccessError::Stale) } else { Ok(()) }
    }

    /// The lease with this address, unless it ended so long ago that it is forgotten.
    pub(crate) async fn find(
        &self,
        address: ResourceId,
        role: Role,
    ) -> Result<Option<LeaseRow>, StoreError> {
        let reader = self.store.reader();
        let found = match role.is_peer() {
            true => reader.lease_of_peer(address).await?,
            false => reader.lease_of_owner(address).await?,
        };
        let now = self.believed.earlier();
        Ok(found.filter(|lease| role.has_kind(&lease.kind) && !is_forgotten(lease, now)))
    }

    /// Whether the key of the resource signed the command. Where there is no resource, a signature is checked all the
    /// same, so that the time of the answer does not tell a wrong address from a wrong key.
    pub(crate) fn is_signed(
        &self,
        head: &CommandHead,
        role: Role,
        lease: Option<&LeaseRow>,
        body_digest: [u8; 32],
    ) -> bool {
        let nobody = self.operator.public();
        let key = lease.map_or(&nobody, |lease| role.key(lease));
        let command = Command {
            operator_id: &self.operator_id,
            method: &head.method,
            path: &head.path,
            body_digest,
        };
        command.verify(&head.auth, key, head.auth.time).is_ok() && lease.is_some()
    }
}

fn is_forgotten(lease: &LeaseRow, now: UnixSeconds) -> bool {
    now >= lease.end().plus(REMEMBERED)
}
