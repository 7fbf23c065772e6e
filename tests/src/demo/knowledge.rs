//! What each party has on its disk at the end, in words and figures.

use serde::Serialize;

use super::cast::Cast;
use super::narrator::Narrator;
use crate::Failure;

/// What a party knew, and what it could not.
#[derive(Serialize)]
pub struct Knowledge {
    /// The party.
    pub party: String,
    /// What it has seen.
    pub knows: Vec<String>,
    /// What nothing that it has seen tells, nor all of it together with what the others have.
    pub cannot_know: Vec<String>,
}

pub(super) async fn of(cast: &Cast) -> Result<Vec<Knowledge>, Failure> {
    let status = cast.vendor.issuer()?.status().await?;
    let mut vendor = vec![format!(
        "vouchers used: {} of {}; {} signed, none of them seen",
        status.vouchers.used, status.vouchers.total, status.credits_issued
    )];
    vendor.extend(status.operators.iter().map(|operator| {
        format!(
            "{} certificates redeemed by operator {}, by day",
            operator.certificates, operator.name
        )
    }));
    let mut parties = vec![Knowledge {
        party: "vendor".into(),
        knows: vendor,
        cannot_know: vec![
            "which voucher a redeemed certificate came from".into(),
            "what it paid for, or which certificates were spent together".into(),
        ],
    }];
    for relay in &cast.relays {
        let report = scrip_relay::report::status(relay.relay()?.config(), cast.now()).await?;
        let taken: u64 = report.vendors.iter().map(|v| v.accepted.0 + v.pending.0 + v.lost.0).sum();
        let name = report.name;
        parties.push(Knowledge {
            party: format!("operator {name}"),
            knows: vec![format!(
                "{taken} credits taken; queues: {}, chunks: {}, all with keys of their own, all ciphertext",
                report.usage.queues, report.usage.chunks
            )],
            cannot_know: vec!["who paid, and which resources belong together".into()],
        });
    }
    parties.push(Knowledge {
        party: "Bob".into(),
        knows: vec!["two links: one sends to a queue, one fetches a file".into()],
        cannot_know: vec!["what else Alice has, or what she paid".into()],
    });
    Ok(parties)
}

pub(super) fn print(narrator: &Narrator, parties: &[Knowledge]) {
    for Knowledge { party, knows, cannot_know } in parties {
        narrator.line(&format!("\n{party}"));
        for line in knows {
            narrator.line(&format!("  knows    {line}"));
        }
        for line in cannot_know {
            narrator.line(&format!("  cannot   {line}"));
        }
    }
}
