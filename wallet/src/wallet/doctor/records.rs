//! What the records say: each state that is not an end, explained.

use std::collections::BTreeSet;

use scrip_protocol::{
    credits::Credits,
    id::PaymentId,
    time::{SECONDS_PER_DAY, UnixSeconds},
};

use super::{Finding, RUN_RESUME};
use crate::{
    error::WalletError,
    records::{
        CertificateRecord, CertificateState, EvidenceRecord, LeaseRecord, PaymentRecord,
        PaymentState, Purchase, PurchaseState, RestoreRecord, Subject, UploadRecord,
    },
    store::Changes,
    wallet::Wallet,
};

/// A clock that is this far behind what was recorded is wrong.
const CLOCK_TOLERANCE: u64 = SECONDS_PER_DAY;

impl Wallet {
    pub(super) async fn check_records(&self) -> Result<Vec<Finding>, WalletError> {
        let purchases = self.store.all::<Purchase>().await?;
        let payments = self.store.all::<PaymentRecord>().await?;
        let mut findings: Vec<Finding> = purchases.iter().filter_map(purchase).collect();
        let copied = self.copied().await?;
        let old = copied.as_ref().map(|copy| copy.payments.clone()).unwrap_or_default();
        findings.extend(payments.iter().filter_map(|one| payment(one, old.contains(&one.id))));
        findings.extend(self.check_certificates(&payments).await);
        let lost = self.lost_parts().await?;
        for upload in self.store.all::<UploadRecord>().await? {
            match lost.get(&upload.id) {
                _ if upload.link.is_none() => findings.push(self.check_upload(&upload).await?),
                Some(parts) => findings.push(lost_parts(&upload, parts)),
                None => {}
            }
        }
        let restore = self.store.get::<RestoreRecord>(&[]).await?;
        if let Some(progress) = restore.filter(|progress| !progress.is_over()) {
            let what = format!(
                "A restore is under way: the vendor was asked for {} purchases so far.",
                progress.next
            );
            findings.push(Finding::open("restore.open", what, RUN_RESUME));
        }
        for caught in self.caught().await?.iter().filter(|one| one.forgiven.is_none()) {
            let what = format!(
                "On {} it was found that {} redeemed a certificate of a payment that it had refused under its signature.",
                caught.at, caught.relay
            );
            let todo = "It is not paid any more. `scrip relay evidence` prints what shows its fault; `scrip relay forgive` \
                        lets this wallet pay it again.";
            findings.push(Finding::note("relay.caught", what, todo));
        }
        for used in self.complaints().await?.iter().filter_map(|one| one.used) {
            let what = format!(
                "On {used} it was found that the vendor used a renewal that it had refused under its signature."
            );
            let todo = "`scrip evidence` prints what shows its fault: for auditors, and for others who use this vendor.";
            findings.push(Finding::note("vendor.caught", what, todo));
        }
        if let Some(copy) = copied {
            let what =
                format!("This wallet was made on {} of a backup of {}.", copy.restored, copy.made);
            let todo = "Do not use the wallet that the backup was made of any more.";
            findings.push(Finding::note("wallet.copy", what, todo));
        }
        let newest = purchases.iter().map(|one| one.at).chain(payments.iter().map(|one| one.at));
        findings.extend(clock(newest.max(), self.now()));
        findings.extend(self.check_manifest().await?);
        Ok(findings)
    }

    /// Certificates that are bound to no open payment are free again, in doubt: nothing says what became of them.
    pub(super) async fn free_lost_bindings(&self) -> Result<(), WalletError> {
        let open = open_payments(&self.store.all::<PaymentRecord>().await?);
        let purse = self.lock_purse().await;
        let lost = purse.all().filter(|one| is_lost(one, &open));
        let freed: Vec<CertificateRecord> = lost
            .map(|one| CertificateRecord { state: CertificateState::InDoubt, ..one.clone() })
            .collect();
        if freed.is_empty() {
            return Ok(());
        }
        let mut changes = Changes::default();
        freed.iter().for_each(|one| changes.add(one));
        self.commit_purse(purse, changes, freed).await
    }

    async fn check_certificates(&self, payments: &[PaymentRecord]) -> Vec<Finding> {
        let open = open_payments(payments);
        let now = self.now();
        let purse = self.purse.lock().await;
        let sum = |chosen: &dyn Fn(&CertificateRecord) -> bool| {
            Credits::total(purse.all().filter(|one| chosen(one)).map(CertificateRecord::value))
        };
        let usable = |one: &CertificateRecord| {
            matches!(one.state, CertificateState::Held | CertificateState::InDoubt)
        };
        let found = [
            (
                sum(&|one| is_lost(one, &open)),
                Finding::open(
                    "certificates.bound",
                    "are bound to a payment that is not under way.".to_owned(),
                    "`scrip doctor --repair` frees them; they are in doubt then.",
                ),
            ),
            (
                sum(&|one| matches!(one.state, CertificateState::Renewing { .. })),
                Finding::open(
                    "certificates.renewing",
                    "are being exchanged for new ones, and the vendor's answer is not here yet."
                        .to_owned(),
                    format!("{RUN_RESUME}; the same is asked for again, and the vendor keeps its answer."),
                ),
            ),
            (
                sum(&|one| one.state == CertificateState::InDoubt && now < one.spend_until),
                Finding::note(
                    "certificates.in_doubt",
                    "are in doubt: the wallet that was restored, or a copy of this one, may have spent them."
                        .to_owned(),
                    "They are not used without --spend-doubtful. `scrip check` looks for them in the vendor's lists.",
                ),
            ),
            (
                sum(&|one| {
                    one.state == CertificateState::Held
                        && !one.seen_by.is_empty()
                        && now < one.spend_until
                }),
                Finding::note(
                    "certificates.seen",
                    "were seen by a relay in a payment that it refused.".to_owned(),
                    "They pay there, and are of use everywhere once they are renewed. With --even-seen they pay elsewhere, \
                     and both relays together can tell that one wallet paid them.",
                ),
            ),
            (
                sum(&|one| one.state == CertificateState::SpentElsewhere),
                Finding::note(
                    "certificates.spent_elsewhere",
                    "were spent before a restore, or by another copy of this wallet. Each loss is proved.".to_owned(),
                    "If nothing was restored, another copy is in use: use one only. If you know of none, somebody has your \
                     files or your 24 words, or the vendor lies: `scrip evidence` prints what it signed, for an auditor to \
                     look. Make a new wallet, and buy for that one.",
                ),
            ),
            (
                sum(&|one| usable(one) && one.spend_until <= now),
                Finding::note(
                    "certificates.expired",
                    "expired before they were spent.".to_owned(),
                    "They are lost. `scrip` warns a month before.",
                ),
            ),
        ];
        let shown = |(credits, finding): (Credits, Finding)| {
            let what = format!("{credits} {}", finding.what);
            (credits > Credits::ZERO).then_some(Finding { what, ..finding })
        };
        found.into_iter().filter_map(shown).collect()
    }

    async fn check_upload(&self, upload: &UploadRecord) -> Result<Finding, WalletError> {
        let (name, path) = (&upload.name, upload.path.display());
        let what = format!("{name} is not stored completely; what was paid for is kept.");
        let todo = if self.has_ended(&upload.id).await? {
            format!(
                "A lease of it has ended: {RUN_RESUME}, which gives it up. Then store {path} again."
            )
        } else {
            format!("{RUN_RESUME}, as long as {path} is unchanged.")
        };
        Ok(Finding::open("upload.open", what, todo))
    }

    async fn check_manifest(&self) -> Result<Vec<Finding>, WalletError> {
        let mut findings = Vec::new();
        let report = self.manifest_report().await?;
        if !report.agreed {
            let what = match report.quorum {
                0 => format!(
                    "{} of {} operators have shown this wallet the vendor's manifest; nothing is bought before that.",
                    report.operators, report.agreement
                ),
                _ => "The wallet has no manifest that its witnesses stand for; nothing is bought before that."
                    .to_owned(),
            };
            let todo = "Relays are asked at random times; `scrip manifest --now` asks now.";
            findings.push(Finding::note("manifest.unconfirmed", what, todo));
        }
        if let Some(change) = self.receipt_key_change().await? {
            let what = format!(
                "Since {}, from version {} of its manifest on, the vendor signs receipts with the key {}. The key before endorses it.",
                change.since, change.version, change.key
            );
            let todo =
                "Ask the vendor whether that was its doing. What it signed before stays its word.";
            findings.push(Finding::note("manifest.receipt_key", what, todo));
        }
        let kept = self.store.all::<EvidenceRecord>().await?;
        if let Some(latest) = kept.iter().max_by_key(|one| one.at) {
            let what = format!(
                "On {} the vendor was found to have signed what contradicts itself, about its manifest of version {}. It is kept.",
                latest.at, latest.version
            );
            let todo = "`scrip doctor --json` prints it under `evidence`: show it to others who use this vendor.";
            findings.push(Finding::note("manifest.evidence", what, todo));
        }
        Ok(findings)
    }
}

fn purchase(purchase: &Purchase) -> Option<Finding> {
    let at = purchase.at;
    let finding = match &purchase.state {
        PurchaseState::Ordering { product } => Finding::open(
            "purchase.ordering",
            format!("On {at}, an order of {product} was about to be made. Nothing was paid."),
            RUN_RESUME,
        ),
        PurchaseState::Asked if purchase.order.is_some() => Finding::note(
            "purchase.ordered",
            format!("The order of {at} is not known to be paid."),
            "Once it is, `scrip buy` or `scrip resume` fetches what it bought.",
        ),
        PurchaseState::Asked => Finding::open(
            "purchase.asked",
            format!("Whether the vendor has taken what was shown to it on {at} is not known."),
            format!("{RUN_RESUME}; the same is shown again, which is never counted twice."),
        ),
        PurchaseState::Granted { answer } => Finding::open(
            "purchase.granted",
            format!("{} of {at} ({}) is paid, and not signed yet.", answer.product, answer.credits),
            RUN_RESUME,
        ),
        PurchaseState::Requested { answer, .. } => Finding::open(
            "purchase.requested",
            format!(
                "The certificates of {} of {at} ({}) were asked for, and are not here yet.",
                answer.product, answer.credits
            ),
            format!("{RUN_RESUME}: the vendor keeps its answer."),
        ),
        PurchaseState::Unusable { answer } => Finding::note(
            "purchase.unusable",
            format!("{} of {at} was used up by another program, token by token.", answer.product),
            "Look for the certificates there.",
        ),
        PurchaseState::Issued { .. } => return None,
    };
    Some(finding)
}

fn payment(payment: &PaymentRecord, from_backup: bool) -> Option<Finding> {
    let PaymentState::InFlight { .. } = payment.state else { return None };
    let (name, subject) = match &payment.subject {
        Subject::Queue { name } => ("payment.queue", format!("the queue {name}")),
        Subject::File { .. } => ("payment.chunk", "a part of a file".to_owned()),
        Subject::Extension { lease } => ("payment.extension", format!("more time for {lease}")),
    };
    let what = format!(
        "The payment of {} to {} of {} for {subject} has no definite answer; its certificates are bound.",
        payment.credits, payment.relay.authority, payment.at
    );
    let todo = if from_backup {
        format!(
            "It was under way when the backup was made. {RUN_RESUME}: the same bytes get the same receipt, if the \
             relay took it then. If it had refused, and the certificates were spent elsewhere since, the relay \
             ends what it pays for."
        )
    } else {
        format!(
            "{RUN_RESUME}: the same bytes are sent until the relay gives its receipt, or signs that it took \
             nothing. While it does neither, they stay bound."
        )
    };
    Some(Finding::open(name, what, todo))
}

fn clock(newest: Option<UnixSeconds>, now: UnixSeconds) -> Option<Finding> {
    let newest = newest.filter(|newest| now.plus(CLOCK_TOLERANCE) < *newest)?;
    let what = format!("This machine's clock says {now}, and the wallet was used on {newest}.");
    let todo = "Set the clock: relays refuse payments and commands of another day.";
    Some(Finding::open("clock.behind", what, todo))
}

fn open_payments(payments: &[PaymentRecord]) -> BTreeSet<PaymentId> {
    let open = payments.iter().filter(|one| matches!(one.state, PaymentState::InFlight { .. }));
    open.map(|one| one.id).collect()
}

fn is_lost(certificate: &CertificateRecord, open: &BTreeSet<PaymentId>) -> bool {
    match certificate.state {
        CertificateState::InFlight { payment, .. } => !open.contains(&payment),
        _ => false,
    }
}

fn lost_parts(upload: &UploadRecord, parts: &[LeaseRecord]) -> Finding {
    let relays: BTreeSet<&str> = parts.iter().map(|lease| &*lease.relay.authority).collect();
    let relays: Vec<&str> = relays.into_iter().collect();
    let lost = match parts.len() {
        1 => "A part".to_owned(),
        many => format!("{many} parts"),
    };
    let what = format!("{lost} of {}: lost by {}.", upload.name, relays.join(", "));
    let todo = format!(
        "{RUN_RESUME}: it is uploaded again, from {} or another copy, and costs nothing.",
        upload.path.display()
    );
    Finding::open("upload.lost", what, todo)
}
