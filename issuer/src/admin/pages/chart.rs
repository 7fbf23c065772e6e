//! Charts as inline SVG. They hold shapes alone and stretch to any width; words and scales around them are HTML, so that
//! they are as large on a phone as everywhere, and a table says the same for whoever cannot see shapes.

use maud::{Markup, html};
use scrip_protocol::time::Day;
use scrip_runtime::words::number;

use super::super::figures::Sums;

/// Colours that there are for series; more than that share the last one.
const COLOURS: usize = 6;

/// One row of bars.
pub(super) struct Series {
    pub(super) name: String,
    /// One value for each day.
    pub(super) values: Vec<u64>,
}

/// Stacked bars, one for each day.
pub(super) struct Daily<'a> {
    /// What is counted, such as "credits".
    pub(super) unit: &'a str,
    pub(super) title: &'a str,
    pub(super) days: &'a [Day],
    pub(super) series: &'a [Series],
}

impl Daily<'_> {
    fn total(&self, index: usize) -> u64 {
        self.series.iter().filter_map(|series| series.values.get(index)).sum()
    }

    /// What a bar says, for whoever points at it and whoever hears it.
    fn words(&self, index: usize, day: Day) -> String {
        let parts = self.series.iter().filter_map(|series| {
            let value = *series.values.get(index)?;
            (value > 0).then(|| format!("{} {}", series.name, number(value)))
        });
        let parts: Vec<String> = parts.collect();
        format!("{day}: {} {} ({})", number(self.total(index)), self.unit, parts.join(", "))
    }

    /// The chart, its legend and its table.
    pub(super) fn show(&self) -> Markup {
        let totals = (0..self.days.len()).map(|index| self.total(index));
        let top = round_up(totals.clone().max().unwrap_or(0));
        let sum: u64 = totals.sum();
        let description = format!(
            "{} {} in {} days; the table below has each day.",
            number(sum),
            self.unit,
            self.days.len()
        );
        html! {
            figure.chart {
                ul.legend {
                    @for (index, series) in self.series.iter().enumerate() {
                        li { i class=(colour(index)) {} (series.name) }
                    }
                }
                div.plot {
                    div.scale aria-hidden="true" { span { (number(top)) } span { (number(top / 2)) } span { "0" } }
                    (self.bars(top, &description))
                }
                div.axis aria-hidden="true" {
                    @for day in ends(self.days) { span { (day) } }
                }
                (self.table())
            }
        }
    }

    fn bars(&self, top: u64, description: &str) -> Markup {
        let width = self.days.len() * 10;
        html! {
            svg.bars viewBox={ "0 0 " (width) " 1000" } preserveAspectRatio="none" role="img" {
                title { (self.title) }
                desc { (description) }
                @for y in [0, 500, 1_000] { line.grid x1="0" x2=(width) y1=(y) y2=(y) {} }
                @for (index, day) in self.days.iter().enumerate() {
                    @if self.total(index) > 0 {
                        g {
                            title { (self.words(index, *day)) }
                            @for (series, y, height) in self.stacked(index, top) {
                                rect class=(colour(series)) x=(index * 10 + 1) width="8" y=(y) height=(height) {}
                            }
                        }
                    }
                }
            }
        }
    }

    /// Series, upper edge and height of each part of a day's bar, in thousandths of the chart.
    fn stacked(&self, index: usize, top: u64) -> Vec<(usize, u64, u64)> {
        let mut below = 0;
        let part = |(series, one): (usize, &Series)| {
            let value = one.values.get(index).copied().unwrap_or(0);
            let from = thousandths(below, top);
            below += value;
            let to = thousandths(below, top);
            (to > from).then_some((series, 1_000 - to, to - from))
        };
        self.series.iter().enumerate().filter_map(part).collect()
    }

    fn table(&self) -> Markup {
        html! {
            details {
                summary { "As a table" }
                div.scroll tabindex="0" role="region" aria-label=(self.title) {
                    table {
                        thead { tr {
                            th scope="col" { "Day" }
                            @for series in self.series { th.n scope="col" { (series.name) } }
                            th.n scope="col" { "All" }
                        } }
                        tbody {
                            @for (index, day) in self.days.iter().enumerate().rev() {
                                tr {
                                    th scope="row" { (day) }
                                    @for series in self.series {
                                        td.n { (number(series.values.get(index).copied().unwrap_or(0))) }
                                    }
                                    td.n { (number(self.total(index))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where the credits are, as one bar: redeemed, renewed, expired, outstanding.
pub(super) fn share(sums: &Sums) -> Markup {
    let parts = [
        ("redeemed", sums.redeemed),
        ("renewed", sums.renewed),
        ("expired", sums.expired),
        ("outstanding", sums.outstanding),
    ];
    let whole: u64 = parts.iter().map(|(_, part)| part).sum();
    let words: Vec<String> =
        parts.iter().map(|(name, part)| format!("{} {name}", number(*part))).collect();
    let mut below = 0;
    let edges = parts.map(|(name, part)| {
        let from = thousandths(below, whole);
        below += part;
        (name, from, thousandths(below, whole) - from)
    });
    html! {
        svg.share viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" {
            title { (words.join(", ")) }
            rect.track width="1000" height="10" {}
            @for (name, from, width) in edges {
                @if width > 0 { rect class=(name) x=(from) width=(width) height="10" {} }
            }
        }
    }
}

/// What the parts of [`share`] mean.
pub(super) fn share_legend(sums: &Sums) -> Markup {
    html! {
        ul.legend {
            li { i.redeemed {} "redeemed" }
            @if sums.renewed > 0 { li { i.renewed {} "renewed" } }
            @if sums.expired > 0 { li { i.expired {} "expired" } }
            li { i.outstanding {} "outstanding" }
        }
    }
}

fn thousandths(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 1_000 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

fn colour(series: usize) -> String {
    format!("s{}", series.min(COLOURS - 1))
}

/// The first, the middle and the last.
fn ends(days: &[Day]) -> Vec<Day> {
    let last = days.len().saturating_sub(1);
    [0, last / 2, last].into_iter().filter_map(|index| days.get(index).copied()).collect()
}

/// The next of 2, 4, 6, 8, 10, 20, 40 and so on, so that half of it is a round number as well.
fn round_up(value: u64) -> u64 {
    let mut step = 1_u64;
    loop {
        for factor in [2, 4, 6, 8, 10] {
            let top = step.saturating_mul(factor);
            if top >= value {
                return top;
            }
        }
        step = step.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, top) in [(0, 2), (2, 2), (3, 4), (9, 10), (39, 40), (51, 60), (1_001, 2_000)] {
            assert_eq!(round_up(value), top);
        }
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }

    #[test]
    fn bars_stand_on_each_other_and_names_are_text() {
        let series =
            |name: &str, values: &[u64]| Series { name: name.into(), values: values.into() };
        let series = [series("apple", &[3, 0]), series("<voucher>", &[1, 0])];
        let days = [Day(20_000), Day(20_001)];
        let daily = Daily { unit: "purchases", title: "Sales", days: &days, series: &series };
        assert_eq!(daily.stacked(0, 4), [(0, 250, 750), (1, 0, 250)]);
        assert_eq!(daily.stacked(1, 4), []);
        let html = daily.show().into_string();
        assert!(html.contains("2024-10-04: 4 purchases (apple 3, &lt;voucher&gt; 1)"), "{html}");
        assert!(!html.contains("<voucher>") && html.contains("<desc>4 purchases in 2 days"));
    }

    #[test]
    fn a_share_is_never_wider_than_the_bar() {
        let sums = Sums { issued: 1, redeemed: u64::MAX / 2, ..Sums::default() };
        assert!(share(&sums).into_string().contains("class=\"redeemed\" x=\"0\" width=\"1000\""));
        assert!(!share(&Sums::default()).into_string().contains("class=\"redeemed\""));
    }
}
