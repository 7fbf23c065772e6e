//! Charts as inline SVG. They hold shapes alone and stretch to any width; words and scales around them are HTML, so that
//! they are as large on a phone as everywhere, and a table says the same for whoever cannot see shapes.

use maud::{Markup, html};

use super::{super::figures::Sums, text::number};

/// Where the credits are, as one bar: redeemed, expired, outstanding.
pub(super) fn share(sums: &Sums) -> Markup {
    let whole = (sums.redeemed + sums.expired + sums.outstanding).max(1);
    let per_mille = |part: u64| u128::from(part) * 1_000 / u128::from(whole);
    let (redeemed, expired) = (per_mille(sums.redeemed), per_mille(sums.expired));
    let outstanding = per_mille(sums.outstanding);
    let label = format!(
        "{} redeemed, {} expired, {} outstanding",
        number(sums.redeemed),
        number(sums.expired),
        number(sums.outstanding)
    );
    html! {
        svg.share viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" {
            title { (label) }
            rect.track width="1000" height="10" {}
            rect.redeemed width=(redeemed) height="10" {}
            rect.expired x=(redeemed) width=(expired) height="10" {}
            rect.outstanding x=(redeemed + expired) width=(outstanding) height="10" {}
        }
    }
}

/// What the parts of [`share`] mean.
pub(super) fn share_legend() -> Markup {
    html! {
        ul.legend {
            li { i.redeemed {} "redeemed" }
            li { i.expired {} "expired" }
            li { i.outstanding {} "outstanding" }
        }
    }
}
