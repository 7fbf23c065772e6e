//! Text that somebody else wrote and somebody reads (keys.md, "Names").

/// Bytes of a name in the manifest.
const MAX_NAME: usize = 64;

/// Whether `c` is not seen itself and steers a terminal, or changes the order or the look of what is around it.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Whether `c` is a letter that looks like a space, a selector of another look, or somebody's own character.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{e0080}'..='\u{10ffff}'
    )
}

/// Whether `name` can be printed as it is and read as one name: 1 to 64 bytes, nothing unseen, no space but single ones
/// between its words.
pub fn is_name(name: &str) -> bool {
    let words = || name.split(' ');
    (1..=MAX_NAME).contains(&name.len())
        && words().all(|word| !word.is_empty())
        && !name.chars().any(|c| is_unseen(c) || is_blank(c) || c.is_whitespace() && c != ' ')
}

/// Whether `name` can name a product: 1 to 64 of `a`–`z`, `0`–`9`, `.`, `_` and `-`, with a letter or digit at both ends.
/// It is typed, and part of what is typed: a voucher's code.
pub fn is_product_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= MAX_NAME
        && bytes.iter().all(|byte| plain(*byte) || b"._-".contains(byte))
        && bytes.first().is_some_and(|byte| plain(*byte))
        && bytes.last().is_some_and(|byte| plain(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_look_like() {
        for name in ["a", "Relay One", "Müller & Söhne", "컴퓨터", "x-1.example", &"x".repeat(64)]
        {
            assert!(is_name(name), "{name:?}");
        }
        for name in [
            "",
            " ",
            "a ",
            " a",
            "a  b",
            "a\tb",
            "a\nb",
            "a\u{a0}b",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "a\u{200b}",
            "a\u{feff}",
            "a\u{ad}b",
            "a\u{3164}",
            "a\u{e0041}",
            &"x".repeat(65),
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn products_have_plain_names() {
        for name in ["a", "starter", "credits.100", "big-2", "0", &"x".repeat(64)] {
            assert!(is_product_name(name), "{name:?}");
        }
        for name in ["", "-", "a-", ".a", "A", "a b", "a/b", "é", "a\0", &"x".repeat(65)] {
            assert!(!is_product_name(name), "{name:?}");
        }
    }
}
