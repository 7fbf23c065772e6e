//! Shares, times and short names, as people read them.

use maud::{Markup, html};
use scrip_protocol::time::{SECONDS_PER_DAY, UnixSeconds};
use scrip_runtime::words::{counted, number};

/// `12.3` of 123 tenths.
pub(super) fn tenths(value: u64) -> String {
    format!("{}.{}", number(value / 10), value % 10)
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
    fn tenths_have_a_point() {
        assert_eq!(tenths(12_345), "1,234.5");
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
