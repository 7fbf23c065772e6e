//! What an operator hands in as its receipt of a batch: what it sent, and what the vendor answered (ledger.md, "Statements").

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::{MAX_REDEMPTION_BATCH, MAX_REDEMPTION_OUTCOME};

/// Bytes of a receipt of a batch.
pub const MAX_BATCH_RECEIPT: usize = 3 + MAX_REDEMPTION_BATCH + 3 + MAX_REDEMPTION_OUTCOME;

/// A signed batch with its signed outcome. Neither is parsed or verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchReceipt {
    /// The signed batch (redemption.md).
    pub batch: Vec<u8>,
    /// The signed outcome.
    pub outcome: Vec<u8>,
}

impl BatchReceipt {
    /// What the names of files with such a receipt end in.
    pub const EXTENSION: &str = "receipt";

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(6 + self.batch.len() + self.outcome.len());
        for part in [&self.batch, &self.outcome] {
            writer.nested(3, |writer| {
                writer.put(part);
            });
        }
        writer.into_bytes()
    }

    /// Parses a receipt.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_BATCH_RECEIPT)?;
        let receipt = Self { batch: reader.vec24()?.to_vec(), outcome: reader.vec24()?.to_vec() };
        reader.finish()?;
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_receipt_is_read_as_it_was_written(batch: Vec<u8>, outcome: Vec<u8>, cut: usize) {
            let receipt = BatchReceipt { batch, outcome };
            let bytes = receipt.encode();
            prop_assert_eq!(BatchReceipt::decode(&bytes), Ok(receipt));
            prop_assert!(BatchReceipt::decode(&bytes[..cut % bytes.len()]).is_err());
        }
    }
}
