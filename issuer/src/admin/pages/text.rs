//! Numbers, shares, times and short names, as people read them.

use maud::{Markup, html};
use scrip_protocol::time::{SECONDS_PER_DAY, UnixSeconds};

/// `1,234,567`
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3` of 123 tenths.
pub(super) fn tenths(value: u64) -> String {
    format!("{}.{}", number(value / 10), value % 10)
}

/// `one grant`, `3 grants`
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {many}", number(count)) }
}

/// A day, for readers and for machines.
pub(super) fn day(time: UnixSeconds) -> Markup {
    let day = time.day().to_string();
    html! { time datetime=(day) { (day) } }
}

/// `in 3 days`, `2 hours ago`
pub(super) fn from_now(time: UnixSeconds, now: UnixSeconds) -> String {
    let (seconds, is_past) =
        if time < now { (now.since(time), true) } else { (time.since(now), false) };
    let span = match seconds {
        0..60 => return String::from("now"),
        60..3_600 => counted(seconds / 60, "minute", "minutes"),
        3_600..172_800 => counted(seconds / 3_600, "hour", "hours"),
        _ => counted(seconds / SECONDS_PER_DAY, "day", "days"),
    };
    if is_past { format!("{span} ago") } else { format!("in {span}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!(tenths(12_345), "1,234.5");
        assert_eq!(
            (counted(1, "day", "days"), counted(0, "day", "days")),
            ("1 day".into(), "0 days".into())
        );
    }

    #[test]
    fn times_are_told_from_now() {
        let now = UnixSeconds(10_000_000);
        for (time, text) in [
            (now, "now"),
            (now.plus(60), "in 1 minute"),
            (now.plus(7_200), "in 2 hours"),
            (now.minus(86_400), "24 hours ago"),
            (now.plus(30 * 86_400), "in 30 days"),
        ] {
            assert_eq!(from_now(time, now), text);
        }
    }
}
