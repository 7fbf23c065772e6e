//! Sending, receiving and acknowledging messages.

use scrip_protocol::{
    id::{MessageId, ResourceId},
    resource::Command,
};

use crate::{
    access::{AccessError, CommandHead, Role},
    core::Core,
    store::{Sent, StoreError, StoredMessage},
};

/// Why a message is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("the queue is full")]
    Full,
}

impl From<StoreError> for SendError {
    fn from(error: StoreError) -> Self {
        Self::Access(error.into())
    }
}

impl Core {
    /// Puts a block, whose size was checked, into a queue. The command's nonce names the message: the same again is the
    /// same message, also after it was read.
    pub(crate) async fn send(
        &self,
        head: &CommandHead,
        sender_id: ResourceId,
        block: Vec<u8>,
    ) -> Result<(), SendError> {
        let digest = Command::digest_of(&block);
        let queue = self.authorize(head, sender_id, Role::Sender, digest).await?;
        let id = MessageId::from_bytes(self.random());
        match self
            .store
            .send(queue.number, head.auth.nonce, id, block, self.believed.earlier())
            .await?
        {
            Sent::Stored => {
                self.steps.at("relay.message.stored");
                Ok(())
            }
            Sent::Repeated => Ok(()),
            Sent::Full => Err(SendError::Full),
            Sent::Ended => Err(AccessError::Ended.into()),
        }
    }

    /// The oldest message of a queue. It stays until it is removed.
    pub(crate) async fn receive(
        &self,
        head: &CommandHead,
        recipient_id: ResourceId,
    ) -> Result<Option<StoredMessage>, AccessError> {
        let digest = Command::digest_of(&[]);
        let queue = self.authorize(head, recipient_id, Role::Recipient, digest).await?;
        Ok(self.store.reader().oldest_message(queue.number, self.believed.earlier()).await?)
    }

    /// Removes a message, if it is there.
    pub(crate) async fn acknowledge(
        &self,
        head: &CommandHead,
        recipient_id: ResourceId,
        message: MessageId,
    ) -> Result<(), AccessError> {
        let digest = Command::digest_of(&[]);
        let queue = self.authorize(head, recipient_id, Role::Recipient, digest).await?;
        Ok(self.store.remove_message(queue.number, message).await?)
    }
}
