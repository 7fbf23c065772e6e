//! Names of files that come from somebody else.

use scrip_protocol::text::is_unseen;

/// The longest name of a file, in bytes.
pub(crate) const MAX_NAME: usize = 255;

/// Names that mean a device on Windows, with any extension.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Whether `name` can become the name of a file in a directory of the user's choice, and nothing else: no path, no hidden
/// file that a program reads as its settings, no option of a command, no device, nothing that looks like another name.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let forbidden = |c: char| is_unseen(c) || matches!(c, '/' | '\\' | ':');
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with(['.', '-'])
        && !name.ends_with(|c: char| c == '.' || c.is_whitespace())
        && !name.contains(forbidden)
        && !is_device(name)
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    let is_port = |rest: &str| {
        let mut rest = rest.chars();
        let digit = rest.next().is_some_and(|c| matches!(c, '0'..='9' | '¹' | '²' | '³'));
        digit && rest.next().is_none()
    };
    DEVICES.contains(&stem.as_str()) || numbered.is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_plain() {
        for name in ["a", "Ein Bild.png", "console.log", "com10", "컴.txt", "a.b.c", "communism"] {
            assert!(is_plain_name(name), "{name:?}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_not() {
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "c:x", "nul\0", "a\nb"] {
            assert!(!is_plain_name(name), "{name:?}");
        }
        assert!(!is_plain_name(&"x".repeat(MAX_NAME + 1)));
    }

    #[test]
    fn names_that_do_something_are_not() {
        for name in
            [".bash_profile", "-rf", "x.", "x ", "x\u{a0}", "CON", "nul.txt", "Com1.log", "lpt9"]
        {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }

    #[test]
    fn names_that_look_like_others_are_not() {
        for c in ['\u{200e}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{feff}', '\u{85}']
        {
            assert!(!is_plain_name(&format!("photo{c}gpj.exe")), "{c:?}");
        }
    }
}
