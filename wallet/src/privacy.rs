//! How far apart a wallet keeps what it does (spending.md, "What a wallet contacts, and when").

use std::{fmt, ops::RangeInclusive, str::FromStr};

use rand_core::RngCore;
use scrip_protocol::time::{SECONDS_PER_DAY, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::entropy::Entropy;

/// How much time lies between things that must not be seen beside each other: a purchase and what is paid with it, one relay
/// and another, a payment and its repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privacy {
    /// None: everything is done when it can be. Whoever compares the vendor's and the relays' times can tie a wallet's purchases
    /// to its payments.
    Off,
    /// New certificates ripen for three days on average, and what can wait waits for minutes or hours.
    #[default]
    Normal,
    /// Seven days, and twice the time for everything else.
    High,
}

/// Whether a command keeps to the wallet's level of [`Privacy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Only ripe certificates pay, and what must not be seen together is left to [`crate::Wallet::tend`].
    #[default]
    InTime,
    /// Certificates that are not ripe pay too, and nothing waits. The times then say what the level would have hidden.
    Now,
}

/// How the chunks of a file come to one relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// All of them over one connection: the relay sees one file, its size, and its payments as those of one payer.
    #[default]
    Together,
    /// Each over a connection of its own, at a time of its own: the relay sees single chunks, and the file takes hours or days.
    Apart,
}

impl FromStr for Pace {
    type Err = PaceError;

    fn from_str(text: &str) -> Result<Self, PaceError> {
        match text {
            "together" => Ok(Self::Together),
            "apart" => Ok(Self::Apart),
            _ => Err(PaceError),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Together => "together",
            Self::Apart => "apart",
        })
    }
}

/// Text that names no pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pace is `together` or `apart`")]
pub struct PaceError;

/// From the least to the most seconds until something is done; the moment is drawn between them.
pub(crate) type Span = RangeInclusive<u64>;

impl Privacy {
    /// How long a certificate ripens on average, in seconds.
    pub const fn mean_ripening(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::Normal => 3 * SECONDS_PER_DAY,
            Self::High => 7 * SECONDS_PER_DAY,
        }
    }

    /// Seconds that pass between two calls that the wallet makes by itself for different purposes, and after a command's.
    pub(crate) const fn quiet(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::Normal => 600,
            Self::High => 1_200,
        }
    }

    /// What takes `normal` at the usual level.
    pub(crate) fn span(self, normal: Span) -> Span {
        match self {
            Self::Off => 0..=0,
            Self::Normal => normal,
            Self::High => normal.start() * 2..=normal.end() * 2,
        }
    }

    /// When a certificate that was issued at `now` may be spent: an exponential time of this level's mean, cut off at a third of
    /// what is left until `spend_until`, so that it can be spent for the other two thirds.
    pub(crate) fn ripe_at(
        self,
        now: UnixSeconds,
        spend_until: UnixSeconds,
        entropy: &mut Entropy,
    ) -> UnixSeconds {
        let most = spend_until.0.saturating_sub(now.0) / 3;
        let mean = self.mean_ripening();
        if mean == 0 || most == 0 {
            return now;
        }
        // Drawn within the bound: what is cut to a bound would all be ripe at one time.
        let uniform = (entropy.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let within = 1.0 - (-(most as f64) / mean as f64).exp();
        let seconds = -(mean as f64) * (1.0 - uniform * within).ln();
        now.plus((seconds as u64).min(most))
    }
}

/// A moment within the span, counted from now.
pub(crate) fn draw(span: &Span, entropy: &mut Entropy) -> u64 {
    let width = span.end().saturating_sub(*span.start()).saturating_add(1);
    span.start() + entropy.next_u64() % width
}

impl FromStr for Privacy {
    type Err = PrivacyError;

    fn from_str(text: &str) -> Result<Self, PrivacyError> {
        let all = [Self::Off, Self::Normal, Self::High];
        all.into_iter().find(|level| level.to_string() == text).ok_or(PrivacyError)
    }
}

impl fmt::Display for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Normal => "normal",
            Self::High => "high",
        })
    }
}

/// Text that names no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a level is `off`, `normal` or `high`")]
pub struct PrivacyError;

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    const DAY: u64 = SECONDS_PER_DAY;

    fn times(privacy: Privacy, life: u64) -> Vec<u64> {
        let mut entropy = Entropy::new(ChaCha20Rng::from_seed([3; 32]));
        let now = UnixSeconds(1_000_000);
        let ripe = |_| privacy.ripe_at(now, now.plus(life), &mut entropy).0 - now.0;
        (0..20_000).map(ripe).collect()
    }

    #[test]
    fn certificates_ripen_as_long_as_the_level_says_on_average() {
        for (privacy, days) in [(Privacy::Normal, 3.0), (Privacy::High, 7.0)] {
            let times = times(privacy, 400 * DAY);
            let mean = times.iter().sum::<u64>() as f64 / times.len() as f64 / DAY as f64;
            assert!((mean - days).abs() < 0.03 * days, "{mean}");
            // An exponential time: about a seventh within 15 % of the mean, a twentieth after three of it.
            let within = |part: f64| {
                times.iter().filter(|one| (**one as f64) < part * days * DAY as f64).count()
            };
            let share = |part: f64| within(part) as f64 / times.len() as f64;
            assert!((share(0.15) - 0.139).abs() < 0.01 && (share(3.0) - 0.950).abs() < 0.01);
        }
        assert!(times(Privacy::Off, 400 * DAY).iter().all(|one| *one == 0));
    }

    #[test]
    fn what_expires_soon_is_ripe_long_before_and_not_all_at_once() {
        let times = times(Privacy::High, 6 * DAY);
        assert!(times.iter().all(|one| *one <= 2 * DAY));
        let last_hour = times.iter().filter(|one| **one > 2 * DAY - 3_600).count();
        assert!(last_hour < times.len() / 40, "{last_hour}");
    }

    #[test]
    fn levels_are_written_as_they_are_read() {
        for level in [Privacy::Off, Privacy::Normal, Privacy::High] {
            assert_eq!(level.to_string().parse(), Ok(level));
            let json = serde_json::to_string(&level).unwrap();
            assert_eq!(json, format!("\"{level}\""));
        }
        assert_eq!("none".parse::<Privacy>(), Err(PrivacyError));
    }
}
