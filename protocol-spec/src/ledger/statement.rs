//! What an operator is told that it earned (ledger.md, "Statements").

use super::contract::Currency;
use crate::codec::{DecodeError, Reader, Writer};
use crate::credits::{Credits, Exponent};
use crate::hash::Label;
use crate::id::{OperatorId, VendorId};
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey, verify_by_one_of};
use crate::limits::MAX_STATEMENT;
use crate::time::Day;

/// Certificates of one denomination that were redeemed under one contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct EarnedLine {
    /// The contract's number; 0 before the first one.
    pub contract: u32,
    /// The epoch of their key.
    pub epoch: u32,
    /// Their denomination.
    pub exponent: Exponent,
    /// How many.
    pub certificates: u64,
}

/// What the operator sold on the vendor's behalf under one contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ResoldLine {
    /// The contract's number; 0 before the first one.
    pub contract: u32,
    /// How many purchases.
    pub purchases: u64,
    /// What they granted.
    pub credits: Credits,
}

/// An amount that does not follow from the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adjustment {
    /// In millionths; above 0 in favour of the operator.
    pub amount: i64,
    /// Why: 1 to 200 bytes of UTF-8.
    pub reason: String,
}

/// What is settled of an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    /// The epoch.
    pub epoch: u32,
    /// What its certificates among the earned lines are worth.
    pub credits: Credits,
    /// The blinding of the commitment to that.
    pub blinding: [u8; 32],
}

/// What an operator earned and owes by a part of the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The operator.
    pub operator_id: OperatorId,
    /// 1, 2, ... of this operator.
    pub number: u32,
    /// The vendor's day.
    pub day: Day,
    /// The first index that it covers.
    pub from: u64,
    /// The first index that it does not cover any more.
    pub until: u64,
    /// What amounts are in.
    pub currency: Currency,
    /// What was redeemed with production keys, ascending.
    pub earned: Vec<EarnedLine>,
    /// What was resold, ascending.
    pub resold: Vec<ResoldLine>,
    /// What was agreed besides.
    pub adjustments: Vec<Adjustment>,
    /// The credits of `earned` by epoch, ascending.
    pub settled: Vec<Settled>,
    /// In millionths; below 0 the operator pays the vendor.
    pub total: i64,
}

/// A statement with its signature, as it lies in the ledger: parsed, not yet verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedStatement {
    bytes: Vec<u8>,
    statement: Statement,
}

/// Why a statement cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It has too many lines for one leaf.
    #[error(
        "the statement has {bytes} bytes, and a leaf of the ledger has room for {MAX_STATEMENT}; make statements more often"
    )]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
}

impl Statement {
    /// The signed statement.
    ///
    /// # Errors
    /// [`StatementError::TooLarge`].
    pub fn sign(self, receipt_key: &SigningKey) -> Result<SignedStatement, StatementError> {
        // First, since no vector may be longer than its length can say.
        let adjustments: usize = self.adjustments.iter().map(|one| 9 + one.reason.len()).sum();
        let lines = self.earned.len() * 17 + self.resold.len() * 20 + self.settled.len() * 44;
        if lines + adjustments > MAX_STATEMENT {
            return Err(StatementError::TooLarge { bytes: lines + adjustments });
        }
        let mut writer = Writer::default();
        self.write(&mut writer);
        let signature = receipt_key.sign(Label::Statement, writer.as_bytes());
        writer.put(signature.as_bytes());
        let bytes = writer.into_bytes();
        if bytes.len() > MAX_STATEMENT {
            return Err(StatementError::TooLarge { bytes: bytes.len() });
        }
        Ok(SignedStatement { bytes, statement: self })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .put(self.vendor_id.as_bytes())
            .put(self.operator_id.as_bytes())
            .u32(self.number)
            .u32(self.day.0)
            .u64(self.from)
            .u64(self.until);
        self.currency.write(writer);
        writer
            .nested(2, |writer| {
                for line in &self.earned {
                    writer
                        .u32(line.contract)
                        .u32(line.epoch)
                        .u8(line.exponent.get())
                        .u64(line.certificates);
                }
            })
            .nested(2, |writer| {
                for line in &self.resold {
                    writer.u32(line.contract).u64(line.purchases).u64(line.credits.0);
                }
            })
            .nested(2, |writer| {
                for adjustment in &self.adjustments {
                    writer.u64(adjustment.amount as u64).vec8(adjustment.reason.as_bytes());
                }
            })
            .nested(2, |writer| {
                for settled in &self.settled {
                    writer.u32(settled.epoch).u64(settled.credits.0).put(&settled.blinding);
                }
            })
            .u64(self.total as u64);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vendor_id: VendorId::from_bytes(reader.array()?),
            operator_id: OperatorId::from_bytes(reader.array()?),
            number: reader.u32()?,
            day: Day(reader.u32()?),
            from: reader.u64()?,
            until: reader.u64()?,
            currency: Currency::read(reader)?,
            earned: Reader::elements(reader.vec16()?, |reader| {
                Ok(EarnedLine {
                    contract: reader.u32()?,
                    epoch: reader.u32()?,
                    exponent: Exponent::new(reader.u8()?)
                        .ok_or(DecodeError::BadValue("exponent"))?,
                    certificates: reader.u64()?,
                })
            })?,
            resold: Reader::elements(reader.vec16()?, |reader| {
                Ok(ResoldLine {
                    contract: reader.u32()?,
                    purchases: reader.u64()?,
                    credits: Credits(reader.u64()?),
                })
            })?,
            adjustments: Reader::elements(reader.vec16()?, |reader| {
                let amount = reader.u64()? as i64;
                let reason = reader.vec8()?;
                let reason = std::str::from_utf8(reason).map_err(|_| BAD_REASON)?;
                if !(1..=200).contains(&reason.len()) || reason.chars().any(char::is_control) {
                    return Err(BAD_REASON);
                }
                Ok(Adjustment { amount, reason: reason.to_owned() })
            })?,
            settled: Reader::elements(reader.vec16()?, |reader| {
                Ok(Settled {
                    epoch: reader.u32()?,
                    credits: Credits(reader.u64()?),
                    blinding: reader.array()?,
                })
            })?,
            total: reader.u64()? as i64,
        })
    }
}

const BAD_REASON: DecodeError = DecodeError::BadValue("reason");

impl SignedStatement {
    /// Parses a signed statement, which has to be the whole of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_STATEMENT)?;
        let statement = Statement::read(&mut reader)?;
        let _: [u8; 64] = reader.array()?;
        reader.finish()?;
        let earned = statement.earned.windows(2).all(|pair| pair[0] < pair[1]);
        let resold = statement.resold.windows(2).all(|pair| pair[0].contract < pair[1].contract);
        let settled = statement.settled.windows(2).all(|pair| pair[0].epoch < pair[1].epoch);
        if !(earned && resold && settled && statement.from <= statement.until) {
            return Err(DecodeError::BadValue("statement"));
        }
        Ok(Self { bytes: bytes.to_vec(), statement })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says, before the signature is verified.
    pub fn unverified(&self) -> &Statement {
        &self.statement
    }

    /// What it says, if one of the vendor's receipt keys signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify<'k>(
        &self,
        receipt_keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<&Statement, BadSignature> {
        let (signed, signature) = self.bytes.split_last_chunk::<64>().ok_or(BadSignature)?;
        let signature = Signature::from_bytes(*signature);
        verify_by_one_of(receipt_keys, Label::Statement, signed, &signature)?;
        Ok(&self.statement)
    }
}
