//! What is said of proxies: whom this machine's address is shown to.

use super::output::note;
use crate::net::ProxySetting;

/// Says once, on the error output, what the ways to the vendor and to relays show. Nothing where nothing is to be said.
pub(super) fn say(buy: Option<&ProxySetting>, spend: Option<&ProxySetting>) {
    shown(buy, spend).iter().for_each(|line| note(line));
}

fn shown(buy: Option<&ProxySetting>, spend: Option<&ProxySetting>) -> Vec<String> {
    let mut lines = Vec::new();
    let half = |through: &str, who: &str, what: &str, option: &str| {
        format!(
            "warning: only the way for {through} goes through a proxy. That is half a protection: {who} this machine's address, and \
             with it {what}; `scrip settings {option} …` closes that way too"
        )
    };
    match (buy, spend) {
        (None, None) => lines.push(
            "note: no proxy is set. The vendor sees this machine's address when it buys, and every relay sees it when it pays, so \
             that together they can tell whose payments are whose, whatever the certificates hide. \
             `scrip settings --proxy tor://127.0.0.1:9050` sends everything through Tor"
                .to_owned(),
        ),
        (Some(_), None) => lines.push(half(
            "buying",
            "every relay sees",
            "which payments, files and queues are yours",
            "--proxy-spend",
        )),
        (None, Some(_)) => lines.push(half(
            "spending",
            "the vendor sees",
            "when somebody here buys and how much",
            "--proxy-buy",
        )),
        (Some(_), Some(_)) => {}
    }
    if [buy, spend].into_iter().flatten().any(ProxySetting::takes_all_alike) {
        lines.push(
            "note: everything comes to the proxy alike, so that it can tell what belongs together; for Tor leave out what is before the \
             @, and every purchase and every resource gets a circuit of its own"
                .to_owned(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_without_a_proxy_is_said_and_so_is_a_name_for_everything() {
        let tor: ProxySetting = "tor://127.0.0.1:9050".parse().unwrap();
        let named: ProxySetting = "socks5h://me:secret@127.0.0.1:9050".parse().unwrap();
        let words = |buy, spend| shown(buy, spend).join("\n");
        assert_eq!(words(Some(&tor), Some(&tor)), "");
        let none = words(None, None);
        assert!(none.contains("The vendor sees") && none.contains("every relay sees"), "{none}");
        let buying = words(Some(&tor), None);
        assert!(buying.contains("half a protection: every relay sees"), "{buying}");
        let spending = words(None, Some(&tor));
        assert!(spending.contains("half a protection: the vendor sees"), "{spending}");
        let one_name = words(Some(&named), Some(&tor));
        assert!(one_name.contains("comes to the proxy alike"), "{one_name}");
        assert!(!one_name.contains("secret"));
    }
}
