//! An operator's leaves, from what the database has of them, added to its account.

use scrip_protocol::ledger::{Leaf, Redemption, settlement::Account};

use super::{Books, StatementError};
use crate::store::{OperatorRow, RangeRow, What};

/// How many ranges are read at once.
const PAGE: u16 = 64;

/// Adds the operator's leaves from the account's own beginning up to `until`. Statements are in the account already.
pub(super) async fn replay(
    books: &Books<'_>,
    operator: &OperatorRow,
    account: &mut Account,
    until: u64,
) -> Result<(), StatementError> {
    let mut from = account.settled_until();
    loop {
        let ranges = books.store.ledger_ranges_of(operator.number, from, until, PAGE).await?;
        for range in &ranges {
            for (index, leaf) in (range.first..).zip(leaves(books, operator, range).await?) {
                if matches!(leaf, Leaf::Statement(_)) {
                    continue;
                }
                account.add(index, &leaf, books.manifest).map_err(|source| {
                    StatementError::Settlement { name: operator.name.clone(), source }
                })?;
            }
        }
        match ranges.last() {
            Some(last) if ranges.len() == usize::from(PAGE) => from = last.first + last.leaves,
            _ => return Ok(()),
        }
    }
}

async fn leaves(
    books: &Books<'_>,
    operator: &OperatorRow,
    range: &RangeRow,
) -> Result<Vec<Leaf>, StatementError> {
    let gone = || StatementError::Leaf { index: range.first };
    let leaves = match (range.what, range.batch, &range.body) {
        (What::Redemptions, Some(batch), _) => {
            let evidence = books.store.evidence(batch).await?.into_iter();
            let operator_id = operator.id;
            let leaf = |item| Leaf::Redemption(Box::new(Redemption { operator_id, item }));
            evidence.map(|row| leaf(row.item)).collect()
        }
        (What::Leaf, _, Some(body)) => vec![Leaf::decode(body).map_err(|_| gone())?],
        _ => Vec::new(),
    };
    if leaves.len() as u64 == range.leaves { Ok(leaves) } else { Err(gone()) }
}
