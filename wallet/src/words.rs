//! A seed as 24 words that people can write down: BIP-39, whose entropy is the seed (keys.md).

use bip39::Mnemonic;
use scrip_protocol::seed::WalletSeed;
use zeroize::Zeroizing;

use crate::error::WalletError;

/// How many words make a seed of 32 bytes.
pub const COUNT: usize = 24;

/// The words of a seed, with single spaces.
///
/// # Errors
/// None in practice: 32 bytes are a length that BIP-39 knows.
pub fn of_seed(seed: &WalletSeed) -> Result<Zeroizing<String>, WalletError> {
    let mnemonic = Mnemonic::from_entropy(seed.as_bytes())
        .map_err(|error| WalletError::Words(error.to_string()))?;
    Ok(Zeroizing::new(mnemonic.to_string()))
}

/// The seed of 24 words, however they are spaced.
///
/// # Errors
/// [`WalletError::Words`] where a word is unknown, the checksum is wrong, or there are not 24.
pub fn to_seed(words: &str) -> Result<WalletSeed, WalletError> {
    let count = words.split_whitespace().count();
    if count != COUNT {
        return Err(WalletError::Words(format!("there are {count} of them")));
    }
    let mnemonic: Mnemonic =
        words.parse().map_err(|error: bip39::Error| WalletError::Words(error.to_string()))?;
    let entropy = Zeroizing::new(mnemonic.to_entropy());
    let bytes = entropy.as_slice().try_into();
    bytes
        .map(WalletSeed::from_bytes)
        .map_err(|_| WalletError::Words("of another length".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_seed() {
        let seed = WalletSeed::from_bytes([0x42; 32]);
        let words = of_seed(&seed).unwrap();
        assert_eq!(words.split(' ').count(), COUNT);
        let spaced = format!("  {}\n", words.replace(' ', "\n "));
        assert_eq!(to_seed(&spaced).unwrap().as_bytes(), seed.as_bytes());
    }

    #[test]
    fn the_words_are_those_of_the_standard() {
        // The last of the vectors of BIP-39's reference implementation for 256 bits.
        let seed = "void come effort suffer camp survey warrior heavy shoot primary clutch crush \
                    open amazing screen patrol group space point ten exist slush involve unfold";
        let bytes = to_seed(seed).unwrap();
        assert_eq!(&bytes.as_bytes()[..4], [0xf5, 0x85, 0xc1, 0x1a]);
        assert_eq!(*of_seed(&bytes).unwrap(), seed);
    }

    #[test]
    fn other_words_are_refused() {
        let words = of_seed(&WalletSeed::from_bytes([0x42; 32])).unwrap();
        let swapped = words.replacen(words.split(' ').next().unwrap(), "abandon", 1);
        let twelve = Mnemonic::from_entropy(&[1; 16]).unwrap().to_string();
        for text in ["", "not words at all", swapped.as_str(), twelve.as_str()] {
            assert!(matches!(to_seed(text), Err(WalletError::Words(_))), "{text}");
        }
    }
}
