//! Charts as inline SVG: shapes alone, which stretch to any width; words and scales around them are HTML, and a table says the same.

use std::collections::BTreeMap;

use maud::{Markup, html};
use scrip_protocol::{id::OperatorId, time::Day};
use scrip_runtime::words::number;

use super::{DailyReport, KeyReport};

/// Operators with a colour of their own; the others share one.
const NAMED: usize = 5;
/// Bars of a chart.
const MOST_BARS: u32 = 92;

/// Redemptions by operator over time.
pub(super) struct OverTime {
    /// Days of a bar.
    step: u32,
    /// First days of the bars.
    days: Vec<u32>,
    /// A name, and one value for each bar.
    series: Vec<(String, Vec<u64>)>,
}

impl OverTime {
    /// `operators` are in the order of their size. `None` where nothing was redeemed.
    pub(super) fn new(redemptions: &[DailyReport], operators: &[OperatorId]) -> Option<Self> {
        let first = redemptions.iter().map(|one| one.day.0).min()?;
        let last = redemptions.iter().map(|one| one.day.0).max()?;
        let step = [1, 7, 28, 91, 364].into_iter().find(|step| (last - first) / step < MOST_BARS);
        let step = step.unwrap_or((last - first) / MOST_BARS + 1);
        let days: Vec<u32> = (0..=(last - first) / step).map(|at| first + at * step).collect();
        let mut sums: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for one in redemptions {
            let rank = operators.iter().position(|id| *id == one.operator);
            let rank = rank.unwrap_or(NAMED).min(NAMED);
            let values = sums.entry(rank).or_insert_with(|| vec![0; days.len()]);
            if let Some(value) = values.get_mut(((one.day.0 - first) / step) as usize) {
                *value = value.saturating_add(one.credits);
            }
        }
        let name = |rank: usize| match operators.get(rank) {
            Some(id) if rank < NAMED => short(id),
            _ => "others".to_owned(),
        };
        let series = sums.into_iter().map(|(rank, values)| (name(rank), values)).collect();
        Some(Self { step, days, series })
    }

    fn total(&self, at: usize) -> u64 {
        let values = self.series.iter().filter_map(|(_, values)| values.get(at));
        values.fold(0, |sum, value| sum.saturating_add(*value))
    }

    fn name(&self, at: usize) -> String {
        let first = Day(self.days.get(at).copied().unwrap_or(0));
        match self.step {
            1 => first.to_string(),
            step => format!("{first} to {}", Day(first.0 + step - 1)),
        }
    }

    pub(super) fn show(&self) -> Markup {
        let top = round_up((0..self.days.len()).map(|at| self.total(at)).max().unwrap_or(0));
        let width = self.days.len() * 10;
        html! {
            figure.chart {
                ul.legend {
                    @for (at, (name, _)) in self.series.iter().enumerate() {
                        li { i class={ "s" (at) } {} (name) }
                    }
                }
                div.plot {
                    div.scale aria-hidden="true" { span { (number(top)) } span { (number(top / 2)) } span { "0" } }
                    svg.bars viewBox={ "0 0 " (width) " 1000" } preserveAspectRatio="none" role="img" {
                        title { "Credits redeemed, by operator over time" }
                        @for y in [0, 500, 1_000] { line.grid x1="0" x2=(width) y1=(y) y2=(y) {} }
                        @for at in 0..self.days.len() {
                            g {
                                title { (self.name(at)) ": " (number(self.total(at))) " credits" }
                                @for (series, y, height) in self.stacked(at, top) {
                                    rect class={ "s" (series) } x=(at * 10 + 1) width="8" y=(y) height=(height) {}
                                }
                            }
                        }
                    }
                }
                div.axis aria-hidden="true" {
                    span { (self.name(0)) }
                    @if self.days.len() > 1 { span { (self.name(self.days.len() - 1)) } }
                }
                (self.table())
            }
        }
    }

    /// Series, upper edge and height of each part of a bar, in thousandths of the chart.
    fn stacked(&self, at: usize, top: u64) -> Vec<(usize, u64, u64)> {
        let mut below = 0_u64;
        let part = |(series, (_, values)): (usize, &(String, Vec<u64>))| {
            let from = thousandths(below, top);
            below = below.saturating_add(values.get(at).copied().unwrap_or(0));
            let to = thousandths(below, top);
            (to > from).then(|| (series, 1_000 - to.min(1_000), to - from))
        };
        self.series.iter().enumerate().filter_map(part).collect()
    }

    fn table(&self) -> Markup {
        html! {
            details {
                summary { "As a table" }
                div.scroll tabindex="0" role="region" aria-label="Credits redeemed" {
                    table {
                        thead { tr {
                            th scope="col" { "Day" }
                            @for (name, _) in &self.series { th.n scope="col" { (name) } }
                            th.n scope="col" { "All" }
                        } }
                        tbody {
                            @for at in (0..self.days.len()).rev() {
                                @if self.total(at) > 0 {
                                    tr {
                                        th scope="row" { (self.name(at)) }
                                        @for (_, values) in &self.series {
                                            td.n { (number(values.get(at).copied().unwrap_or(0))) }
                                        }
                                        td.n { (number(self.total(at))) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where the certificates of a key are, as one bar.
pub(super) fn share(key: &KeyReport) -> Markup {
    let outstanding = u64::try_from(key.outstanding).unwrap_or(0);
    let parts = [
        ("redeemed", key.redeemed),
        ("renewed", key.renewed),
        ("expired", key.expired),
        ("outstanding", outstanding),
    ];
    let whole = parts.iter().fold(0_u64, |sum, (_, part)| sum.saturating_add(*part));
    let words: Vec<String> =
        parts.iter().map(|(name, part)| format!("{} {name}", number(*part))).collect();
    let mut below = 0_u64;
    let edges = parts.map(|(name, part)| {
        let from = thousandths(below, whole);
        below = below.saturating_add(part);
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

/// An operator's id, as far as it takes to tell it from others at a glance.
pub(super) fn short(id: &OperatorId) -> String {
    id.to_string().chars().take(8).collect::<String>() + "…"
}

fn thousandths(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 1_000 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
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
    fn long_times_become_fewer_bars_and_nothing_is_lost() {
        let id = |n: u8| OperatorId::from_bytes([n; 32]);
        let redemptions: Vec<DailyReport> = (0..3_000)
            .map(|day| DailyReport {
                day: Day(20_000 + day),
                operator: id((day % 9) as u8),
                credits: 2,
            })
            .collect();
        let operators: Vec<OperatorId> = (0..9).map(id).collect();
        let chart = OverTime::new(&redemptions, &operators).unwrap();
        assert_eq!((chart.step, chart.days.len()), (91, 33));
        assert_eq!((0..33).map(|at| chart.total(at)).sum::<u64>(), 6_000);
        assert_eq!(chart.series.len(), NAMED + 1);
        assert_eq!(chart.series[NAMED].0, "others");
        assert!(OverTime::new(&[], &operators).is_none());
        let one = OverTime::new(&redemptions[..1], &operators).unwrap();
        assert_eq!(one.stacked(0, 4), [(0, 500, 500)]);
    }

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, top) in [(0, 2), (3, 4), (9, 10), (39, 40), (51, 60), (1_001, 2_000)] {
            assert_eq!(round_up(value), top);
        }
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }
}
