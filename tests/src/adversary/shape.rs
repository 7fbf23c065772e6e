//! What a wallet did, without the values: to compare two wallets, or one that was lied to with one that was not.

use super::Exchange;

/// One request without what is random in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// Who was asked.
    pub peer: String,
    /// The method and the path, with `{id}` for whatever names something.
    pub route: String,
    /// The length of the request's body in bytes.
    pub length: usize,
}

/// The steps of these exchanges, in their order.
pub fn steps<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> Vec<Step> {
    exchanges
        .into_iter()
        .map(|exchange| Step {
            peer: exchange.peer.clone(),
            route: route(&exchange.request.method, &exchange.request.path),
            length: exchange.request.body.len(),
        })
        .collect()
}

/// `GET /v1/leases/{id}` and the like.
pub fn route(method: &str, path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let segments = path.split('/').map(|segment| match segment.len() {
        0..20 if !segment.bytes().any(|byte| byte.is_ascii_digit()) || segment == "v1" => segment,
        _ => "{id}",
    });
    format!("{method} {}", segments.collect::<Vec<_>>().join("/"))
}

/// The first place where two sequences of steps differ, said in words; `None` where they are the same.
pub fn difference(one: &[Step], other: &[Step]) -> Option<String> {
    let at = (0..one.len().max(other.len())).find(|&at| one.get(at) != other.get(at))?;
    Some(format!("step {at}: {:?} / {:?}", one.get(at), other.get(at)))
}

#[cfg(test)]
mod tests {
    use super::route;

    #[test]
    fn names_are_taken_out_of_paths() {
        assert_eq!(route("POST", "/v1/renewals"), "POST /v1/renewals");
        let id = "kx4Y3mNWcVFZJx9m1b2Q3kx4Y3mNWcVFZJx9m1b2Q3A";
        assert_eq!(route("GET", &format!("/v1/leases/{id}?x=1")), "GET /v1/leases/{id}");
        assert_eq!(route("GET", "/voided/3/20454/bucket/7"), "GET /voided/{id}/{id}/bucket/{id}");
    }
}
