//! Payments up to the moment when they are on disk (spending.md, "Payment").

use std::sync::atomic::Ordering;

use scrip_protocol::{
    address::RelayAddress,
    credits::Credits,
    id::OperatorId,
    issuance::Certificate,
    payment::{PaidRequest, Payment},
    resource::{PriceList, RelayInfo, ResourceRequest},
    spend::Salt,
    token::Token,
};

use super::Wallet;
use crate::{
    error::WalletError,
    net::{CallError, RelayClient, Route},
    privacy::{Privacy, When},
    purse::Choosable,
    records::{
        Blob, CertificateRecord, CertificateState, LeaseRecord, PaidWith, PaymentRecord,
        PaymentState, Purpose, Subject,
    },
    store::Changes,
};

/// Whether certificates that are in doubt since a restore may be spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doubtful {
    /// They stay.
    #[default]
    Keep,
    /// They pay where the others do not suffice. If one was spent before, the relay will end the lease.
    Spend,
}

/// Something to be paid for.
pub(super) struct Order<'a> {
    pub(super) client: &'a RelayClient,
    pub(super) info: &'a RelayInfo,
    pub(super) route: Route,
    pub(super) request: ResourceRequest,
    /// What the relay announced for such a resource, in credits per 30 days.
    pub(super) per_period: u32,
    /// Which certificates may pay.
    pub(super) from: Choosable,
}

impl Order<'_> {
    /// The price that follows from what the relay signed.
    pub(super) fn announced(&self) -> Credits {
        PriceList::price(self.per_period, self.request.days)
    }
}

impl Wallet {
    /// Asks for the price, pays it, and returns the lease.
    pub(super) async fn ask_and_pay(
        &self,
        order: Order<'_>,
        purpose: Purpose,
    ) -> Result<LeaseRecord, WalletError> {
        let relay = order.client.address();
        let price = order.client.price(order.route, &order.request.encode()).await;
        let asked = match price {
            Ok(price) => price.credits,
            Err(error) => {
                if matches!(error, CallError::Transport(_)) {
                    self.missed(relay).await?;
                }
                return Err(WalletError::call(&relay.authority)(error));
            }
        };
        let announced = order.announced();
        if asked > announced {
            let relay = Box::new(relay.clone());
            return Err(WalletError::PriceAboveAnnounced { relay, asked, announced });
        }
        self.pay(order, asked, purpose).await
    }

    /// Pays `price` and returns the lease.
    pub(super) async fn pay(
        &self,
        order: Order<'_>,
        price: Credits,
        purpose: Purpose,
    ) -> Result<LeaseRecord, WalletError> {
        let payment = self.record_payment(&order, price, purpose).await?;
        self.at("wallet.payment.recorded");
        let lease = self.finish_payment(order.client, payment, true).await;
        if let Err(WalletError::PaymentOpen { .. } | WalletError::Call { .. }) = &lease {
            self.missed(order.client.address()).await?;
        }
        lease
    }

    /// Builds a paid request for the relay of `operator` with certificates that this wallet could spend, and neither
    /// records nor sends it.
    ///
    /// For tests and tools. To *send* what this returns is what a dishonest wallet does: the certificates stay spendable
    /// here, and a second use of them is a double spend that ends the lease.
    ///
    /// # Errors
    /// [`WalletError::Shortage`].
    pub async fn draft_payment(
        &self,
        operator: &OperatorId,
        resource_request: &[u8],
        price: Credits,
        doubtful: Doubtful,
    ) -> Result<PaidRequest, WalletError> {
        let from = Choosable { excess: true, ..self.choosable(doubtful, When::InTime).await };
        let purse = self.purse.lock().await;
        let chosen = purse.choose(price, self.now(), from, operator)?;
        self.sign(&chosen, operator, resource_request)
    }

    /// Lets this wallet pay with certificates of test keys from now on, and with no others, or no longer. They are worth
    /// nothing, and only relays that say so take them.
    pub fn pay_with_test_certificates(&self, test: bool) {
        self.pays_with_test.store(test, Ordering::Relaxed);
    }

    /// Lets this wallet pay anybody with certificates that another relay saw in a payment that it refused, or no longer. Both
    /// relays together can then tell that one wallet paid them.
    pub fn pay_with_seen_certificates(&self, seen: bool) {
        self.pays_with_seen.store(seen, Ordering::Relaxed);
    }

    /// Which certificates this wallet pays with now, those far above a price left out.
    pub(super) async fn choosable(&self, doubtful: Doubtful, when: When) -> Choosable {
        let unripe = when == When::Now || self.privacy().await == Privacy::Off;
        Choosable {
            doubtful: doubtful == Doubtful::Spend,
            test: self.pays_with_test(),
            seen: self.pays_with_seen.load(Ordering::Relaxed),
            unripe,
            excess: false,
        }
    }

    /// Whether the purse pays a price to an operator, so that nobody is asked for something that it does not pay.
    pub(super) async fn rehearse(
        &self,
        price: Credits,
        from: Choosable,
        operator: &OperatorId,
    ) -> Result<(), WalletError> {
        self.purse.lock().await.choose(price, self.now(), from, operator)?;
        Ok(())
    }

    fn pays_with_test(&self) -> bool {
        self.pays_with_test.load(Ordering::Relaxed)
    }

    /// Refuses a relay that would refuse the certificates that this wallet pays with now.
    pub(super) fn check_use(
        &self,
        relay: &RelayAddress,
        info: &RelayInfo,
    ) -> Result<(), WalletError> {
        let takes_test = self.entry_of(info).is_some_and(|entry| entry.test);
        if self.pays_with_test() && !takes_test {
            return Err(WalletError::TestNotTaken(relay.clone().into()));
        }
        Ok(())
    }

    /// Chooses certificates and puts the whole request on disk: from here on they are bound to this payment.
    async fn record_payment(
        &self,
        order: &Order<'_>,
        price: Credits,
        purpose: Purpose,
    ) -> Result<PaymentRecord, WalletError> {
        let relay = order.client.address();
        self.check_use(relay, order.info)?;
        self.check_honest(relay).await?;
        let purse = self.lock_purse().await;
        let chosen = purse.choose(price, self.now(), order.from, &relay.id)?;
        let paid = Credits::total(chosen.iter().map(|one| one.value()));
        let request = self.sign(&chosen, &relay.id, &order.request.encode())?;
        let id = request.payment_id();
        let record = PaymentRecord {
            id,
            relay: relay.clone(),
            operator_key: order.info.operator_key,
            route: order.route,
            credits: paid,
            certificates: paid_with(&chosen, &request),
            at: self.now(),
            subject: subject(&purpose),
            purpose: Some(purpose),
            state: PaymentState::InFlight { request: Blob(request.encode()) },
        };
        let mut changes = Changes::default().put(&record);
        let mut changed: Vec<CertificateRecord> = chosen.into_iter().cloned().collect();
        for one in &mut changed {
            let doubtful = one.state == CertificateState::InDoubt;
            one.state = CertificateState::InFlight { payment: id, doubtful };
            changes.add(one);
        }
        self.commit_purse(purse, changes, changed).await?;
        Ok(record)
    }

    /// Signs with the keys that follow from the seed.
    fn sign(
        &self,
        chosen: &[&CertificateRecord],
        operator: &OperatorId,
        resource_request: &[u8],
    ) -> Result<PaidRequest, WalletError> {
        let certificates: Result<Vec<Certificate>, WalletError> =
            chosen.iter().map(|one| self.certificate(one)).collect();
        let payment = Payment::make(
            &certificates?,
            self.vendor.id,
            *operator,
            self.environment.clock.today(),
            Salt(self.environment.entropy.bytes()),
            resource_request,
        );
        Ok(PaidRequest { resource_request: resource_request.to_vec(), payment })
    }

    pub(super) fn certificate(
        &self,
        record: &CertificateRecord,
    ) -> Result<Certificate, WalletError> {
        let token = Token::decode(&record.token.0).map_err(|_| WalletError::ForeignCertificate)?;
        let key = self.seed.certificate_key(&record.key_id, record.counter());
        Certificate::from_parts(token, key).map_err(|_| WalletError::ForeignCertificate)
    }
}

fn paid_with(chosen: &[&CertificateRecord], request: &PaidRequest) -> Vec<PaidWith> {
    let evidence = request.payment.evidence(&request.resource_request);
    let chosen = chosen.iter().zip(evidence);
    chosen.map(|(record, one)| PaidWith { key: record.key, binding: one.binding }).collect()
}

fn subject(purpose: &Purpose) -> Subject {
    match purpose {
        Purpose::Queue { queue } => Subject::Queue { name: queue.name.clone() },
        Purpose::Chunk { chunk } => Subject::File { upload: chunk.upload },
        Purpose::Extension { lease } => Subject::Extension { lease: *lease },
    }
}
