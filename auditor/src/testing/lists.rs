//! Lists of voided certificates, true ones and others.

use scrip_protocol::{
    ledger::Leaf,
    time::Day,
    voided::{Edition, ProvenIndex, Voided},
};

use super::{Forger, receipt_key};

/// How a vendor cheats with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListCheat {
    /// Not at all.
    Honest,
    /// A certificate that was voided is not in it.
    LeftOut,
    /// One is in it that was not.
    OneTooMany,
    /// What was redeemed is said to have been renewed.
    OtherKind,
    /// Its padding is not what follows from the salt that auditors are shown.
    OtherPadding,
    /// It ends before what was recorded by its day.
    TooEarly,
    /// It has the number of the edition before.
    OutOfOrder,
    /// Auditors are not shown its salt.
    NoSalt,
}

impl Forger {
    /// A round with an edition of an epoch's list. Gives the file `newest` of it, without a proof.
    ///
    /// # Panics
    /// Where there are too many certificates for a list.
    pub fn list(&mut self, epoch: u32, number: u32, day: u32, cheat: ListCheat) -> Vec<u8> {
        let all = self.leaves.len() as u64;
        let mut edition = Edition {
            vendor_id: self.vendor,
            epoch,
            number: if cheat == ListCheat::OutOfOrder { number - 1 } else { number },
            day: Day(day),
            covered: if cheat == ListCheat::TooEarly { 8 } else { all },
            salt: self.draw(),
        };
        let salt = Leaf::VoidedSalt(edition.salt_leaf());
        let mut voided = self.voided(epoch, edition.covered);
        match cheat {
            ListCheat::LeftOut => drop(voided.pop()),
            ListCheat::OneTooMany => voided.push((self.draw(), Voided::Redeemed)),
            ListCheat::OtherKind => voided[0].1 = Voided::Renewed,
            ListCheat::OtherPadding => edition.salt = self.draw(),
            _ => {}
        }
        let index = edition.list(voided).expect("a list").index;
        let mut round = vec![Leaf::Voided(index.commitment())];
        if cheat != ListCheat::NoSalt {
            round.push(salt);
        }
        self.round(round);
        let signed = index.sign(&receipt_key());
        ProvenIndex { index: signed, proof: b"none".to_vec() }.encode()
    }

    /// What was voided of an epoch before this leaf.
    fn voided(&self, epoch: u32, covered: u64) -> Vec<([u8; 32], Voided)> {
        let manifest = self.manifest();
        let leaves = self.leaves.iter().take(usize::try_from(covered).unwrap_or(usize::MAX));
        let tokens = leaves.filter_map(|leaf| match leaf {
            Leaf::Redemption(redemption) => Some((&redemption.item.token, Voided::Redeemed)),
            Leaf::Renewal(renewal) => Some((&renewal.token, Voided::Renewed)),
            _ => None,
        });
        let its = |(token, _): &(&scrip_protocol::token::Token, Voided)| {
            manifest.key(&token.key_id).is_some_and(|key| key.epoch() == epoch)
        };
        tokens.filter(its).map(|(token, what)| (token.nonce, what)).collect()
    }
}
