//! An operator's leaves, added to its account: from the database, or, of epochs that were dropped there, from the ledger itself.

use scrip_protocol::ledger::{Leaf, Redemption, settlement::Account};

use super::{Books, StatementError};
use crate::{
    ledger::entries::Entries,
    store::{OperatorRow, RangeRow, What},
};

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
    let mut entries = Entries::new(books.storage, until);
    loop {
        let ranges = books.store.ledger_ranges_of(operator.number, from, until, PAGE).await?;
        for range in &ranges {
            for (index, leaf) in
                (range.first..).zip(leaves(books, operator, range, &mut entries).await?)
            {
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
    entries: &mut Entries<'_>,
) -> Result<Vec<Leaf>, StatementError> {
    let decode =
        |index: u64, leaf: &[u8]| Leaf::decode(leaf).map_err(|_| StatementError::Leaf { index });
    if let (What::Leaf, Some(body)) = (range.what, &range.body) {
        return Ok(vec![decode(range.first, body)?]);
    }
    if let (What::Redemptions, Some(batch)) = (range.what, range.batch) {
        let evidence = books.store.evidence(batch).await?;
        if evidence.len() as u64 == range.leaves {
            let operator_id = operator.id;
            let leaf = |item| Leaf::Redemption(Box::new(Redemption { operator_id, item }));
            return Ok(evidence.into_iter().map(|row| leaf(row.item)).collect());
        }
    }
    let mut leaves = Vec::new();
    for index in range.first..range.first + range.leaves {
        leaves.push(decode(index, &entries.leaf(index).await?)?);
    }
    Ok(leaves)
}
